//! What may be asked of services and through waypoints: the policies and token rules that target them.

use mesh_model::{RequestPolicy, Security, TokenRule, WaypointConfig, WaypointKey};

use super::targets::{Target, names};
use super::{authorization_service, rate_limit, request_policy, telemetry, token_rule};
use crate::cluster::{Cluster, Name, ServiceObject};

/// The config of that waypoint: every waypoint has one, so that it can tell "nothing holds" from "not yet told".
pub(super) fn derive_waypoint(cluster: &Cluster, key: &WaypointKey) -> Option<WaypointConfig> {
    let name = Name::new(key.namespace.clone(), key.gateway.clone());
    let gateway = cluster.gateways.get(&name).filter(|gateway| cluster.is_waypoint(gateway))?;
    let class = &gateway.spec.gateway_class_name;
    let is_meant = |target: &Target| match target {
        Target::Gateway(gateway) => *gateway == name,
        Target::Class(targeted) => targeted == class,
        Target::Object(_) => false,
    };
    let mut namespaces = vec![name.namespace.clone()];
    if name.namespace != cluster.settings.root_namespace {
        namespaces.push(cluster.settings.root_namespace.clone());
    }
    let mut security = Security::default();
    for namespace in &namespaces {
        security.policies.extend(policies(cluster, namespace, is_meant));
        security.token_rules.extend(token_rules(cluster, namespace, is_meant));
    }
    let authorization_services = authorization_service::all(cluster);
    let telemetry = telemetry::of_waypoint(cluster, &name, gateway);
    let rate_limits = rate_limit::of_waypoint(cluster, &name, class);
    Some(WaypointConfig {
        key: key.clone(),
        security,
        authorization_services,
        telemetry,
        rate_limits,
        forward_client_identity: gateway.forwards_client_identity(),
    })
}

/// What targets an object that stands for services.
pub(super) fn of_object(cluster: &Cluster, object: ServiceObject<'_>) -> Security {
    let key = object.key();
    let is_meant = |target: &Target| matches!(target, Target::Object(it) if *it == key);
    Security {
        policies: policies(cluster, &key.namespace, is_meant).collect(),
        token_rules: token_rules(cluster, &key.namespace, is_meant).collect(),
    }
}

fn policies(
    cluster: &Cluster,
    namespace: &str,
    is_meant: impl Fn(&Target) -> bool,
) -> impl Iterator<Item = RequestPolicy> {
    let all = cluster.authorization_policies.in_namespace(namespace);
    let meant = all.filter(move |(name, it)| names(cluster, name, it.spec.targets(), &is_meant));
    meant.map(|(name, object)| request_policy::convert(name, object).policy)
}

fn token_rules(
    cluster: &Cluster,
    namespace: &str,
    is_meant: impl Fn(&Target) -> bool,
) -> impl Iterator<Item = TokenRule> {
    let all = cluster.request_authentications.in_namespace(namespace);
    let meant = all.filter(move |(name, it)| names(cluster, name, it.spec.targets(), &is_meant));
    meant.flat_map(|(_, object)| object.spec.jwt_rules.iter().map(|rule| token_rule::convert(cluster, rule)))
}
