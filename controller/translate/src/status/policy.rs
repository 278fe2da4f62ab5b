//! Policies: who enforces them, and how much of them (api.md §5.7, ST-06, L4-23, L4-29).

use super::condition::{Condition, observe};
use crate::cluster::{Attachment, Cluster, Name};
use crate::objects::{AuthorizationPolicySpec, Kind, ObjectKey, PolicyAction, TargetRef};
use crate::resources::convert;

const ZTUNNEL: &str = "ZtunnelAccepted";
const WAYPOINT: &str = "WaypointAccepted";

pub(super) fn derive_authorization(cluster: &Cluster, name: &Name) -> Option<Vec<Condition>> {
    let object = cluster.authorization_policies.get(name)?;
    let has_targets = object.spec.targets().next().is_some();
    let condition = match has_targets {
        true => at_waypoint(cluster, name, &object.spec),
        false => at_ztunnel(name, &object.spec),
    };
    let mut conditions = vec![condition];
    observe(&mut conditions, object.facts.generation);
    Some(conditions)
}

fn at_ztunnel(name: &Name, spec: &AuthorizationPolicySpec) -> Condition {
    let action = match spec.action {
        PolicyAction::Allow | PolicyAction::Deny => None,
        PolicyAction::Audit => Some("AUDIT"),
        PolicyAction::Custom => Some("CUSTOM"),
    };
    if let Some(action) = action {
        let message = format!(
            "spec.action: {action} is not possible without a waypoint; use targetRefs to attach the policy to one"
        );
        return Condition::fails(ZTUNNEL, "UnsupportedValue", message);
    }
    let ignored = convert(&name.namespace, spec).ignored;
    if ignored.is_empty() {
        return Condition::holds(ZTUNNEL, "Accepted", "attached to ztunnel");
    }
    let consequence = match spec.action {
        PolicyAction::Allow => "ALLOW rules with these fields never match, so less is allowed than written",
        _ => {
            "DENY rules apply without these fields, so more is denied than written; rules made only of them are void"
        }
    };
    let message = format!("ztunnel cannot judge {}; {consequence}", ignored.join(", "));
    Condition::holds(ZTUNNEL, "UnsupportedValue", message)
}

/// The first problem found; with none, that this release does not enforce such policies at all.
fn at_waypoint(cluster: &Cluster, name: &Name, spec: &AuthorizationPolicySpec) -> Condition {
    for (field, target) in spec.targets() {
        if let Err((reason, message)) = check_target(cluster, name, target) {
            return Condition::fails(WAYPOINT, reason, format!("{field}: {message}"));
        }
    }
    let message = "Waypoints of this release do not enforce AuthorizationPolicies; the policy has no effect";
    Condition::fails(WAYPOINT, "UnsupportedValue", message)
}

fn check_target(cluster: &Cluster, policy: &Name, target: &TargetRef) -> Result<(), (&'static str, String)> {
    let name = Name::new(policy.namespace.clone(), target.name.as_str());
    let not_found = || ("TargetNotFound", format!("there is no {} {name}", target.kind));
    if !target.namespace.is_empty() && target.namespace != *policy.namespace {
        return Err(("Invalid", "the target has to be in the policy's namespace".to_owned()));
    }
    match (target.group.as_str(), target.kind.as_str()) {
        ("" | "core", "Service") => check_service(cluster, &name.key(Kind::Service)),
        ("networking.istio.io", "ServiceEntry") => check_service(cluster, &name.key(Kind::ServiceEntry)),
        ("gateway.networking.k8s.io", "Gateway") => match cluster.gateways.get(&name) {
            Some(gateway) if cluster.is_waypoint(gateway) => Ok(()),
            Some(_) => Err(("Invalid", format!("Gateway {name} is not a waypoint"))),
            None => Err(not_found()),
        },
        ("gateway.networking.k8s.io", "GatewayClass") => {
            if policy.namespace != cluster.settings.root_namespace {
                let root = &cluster.settings.root_namespace;
                return Err((
                    "Invalid",
                    format!("a GatewayClass can only be targeted from namespace {root}"),
                ));
            }
            cluster
                .is_waypoint_class(&target.name)
                .then_some(())
                .ok_or_else(|| ("TargetNotFound", format!("{:?} is not a class of waypoints", target.name)))
        }
        (group, kind) => Err((
            "Invalid",
            format!(
                "{kind} of group {group:?} cannot be targeted; use a Service, a ServiceEntry or a Gateway"
            ),
        )),
    }
}

fn check_service(cluster: &Cluster, key: &ObjectKey) -> Result<(), (&'static str, String)> {
    let object = cluster.find_service_object(key);
    let object = object.ok_or_else(|| ("TargetNotFound", format!("there is no {key}")))?;
    match cluster.attachment_of_service(object) {
        Attachment::Bound(_) => Ok(()),
        _ => Err(("AncestorNotBound", format!("{key} uses no waypoint"))),
    }
}

/// Something is said only about what has no effect.
pub(super) fn derive_peer_authentication(cluster: &Cluster, name: &Name) -> Option<Vec<Condition>> {
    let object = cluster.peer_authentications.get(name)?;
    let has_selector = object.spec.selector.as_ref().is_some_and(|it| !it.match_labels.is_empty());
    let message = if has_selector && name.namespace == cluster.settings.root_namespace {
        "spec.selector: is not supported in the root namespace; the object has no effect"
    } else if !has_selector && !object.spec.port_level_mtls.is_empty() {
        "spec.portLevelMtls: needs spec.selector; the ports have no effect"
    } else {
        return None;
    };
    let mut conditions = vec![Condition::fails("Accepted", "UnsupportedValue", message)];
    observe(&mut conditions, object.facts.generation);
    Some(conditions)
}
