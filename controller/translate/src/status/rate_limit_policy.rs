//! RateLimitPolicies, once per target: whether a waypoint holds requests to it, and what of it is not done as written.

use super::backend_tls_policy::{AncestorStatus, PolicyStatus};
use super::condition::{Condition, observe, of_problems};
use super::route::ParentRef;
use crate::cluster::{ADIT_CONTROLLER, Attachment, Cluster, Name};
use crate::objects::{Kind, ObjectKey, RateLimitTarget};
use crate::resources::{Conversion, LimitTarget, convert_rate_limits, parent_service, rate_limit_target};

pub(super) type Refusal = (&'static str, String);

pub(super) fn derive(cluster: &Cluster, name: &Name) -> Option<PolicyStatus> {
    let object = cluster.rate_limit_policies.get(name)?;
    let made = convert_rate_limits(cluster, name, &object.spec, "");
    let ancestors = object.spec.target_refs.iter().map(|reference| {
        let accepted = match usable(&made).and_then(|()| check_target(cluster, name, reference)) {
            Ok(place) => Condition::holds("Accepted", "Accepted", format!("Requests {place} are counted")),
            Err((reason, message)) => Condition::fails("Accepted", reason, message),
        };
        let mut conditions = vec![accepted];
        conditions.extend(of_problems(&made.problems));
        observe(&mut conditions, object.facts.generation);
        let target = (&*reference.group, &*reference.kind, &*reference.name);
        let ancestor_ref = ParentRef::of_target(name, target, reference.section_name.as_deref());
        AncestorStatus { ancestor_ref, controller_name: ADIT_CONTROLLER, conditions }
    });
    Some(PolicyStatus { ancestors: ancestors.collect() })
}

fn usable(made: &Conversion) -> Result<(), Refusal> {
    match made.limits.is_empty() {
        true => Err(("Invalid", "No limit of the policy can be used".to_owned())),
        false => Ok(()),
    }
}

/// Which requests a policy is about at a target; or why there are none.
fn check_target(cluster: &Cluster, policy: &Name, reference: &RateLimitTarget) -> Result<String, Refusal> {
    let section = reference.section_name.as_deref();
    match rate_limit_target(cluster, policy, reference).map_err(|reason| ("Invalid", reason))? {
        LimitTarget::Object(key) => check_service(cluster, &key, section),
        LimitTarget::Route(key) => check_route(cluster, &key, section),
        LimitTarget::Gateway(name) => match cluster.gateways.get(&name) {
            Some(gateway) if cluster.is_waypoint(gateway) => Ok(format!("through waypoint {name}")),
            Some(_) => Err(("Invalid", format!("Gateway {name} is not a waypoint"))),
            None => Err(("TargetNotFound", format!("There is no Gateway {name}"))),
        },
        LimitTarget::Class(class) => match cluster.is_waypoint_class(&class) {
            true => Ok(format!("through waypoints of class {class}")),
            false => Err(("TargetNotFound", format!("{class:?} is not a class of waypoints"))),
        },
    }
}

pub(super) fn check_service(
    cluster: &Cluster,
    key: &ObjectKey,
    section: Option<&str>,
) -> Result<String, Refusal> {
    let object = cluster.find_service_object(key);
    let object = object.ok_or_else(|| ("TargetNotFound", format!("There is no {key}")))?;
    if let Some(section) = section
        && !object.ports().iter().any(|port| port.name.as_deref() == Some(section))
    {
        return Err(("TargetNotFound", format!("{key} has no TCP port of the name {section:?}")));
    }
    match is_bound(cluster, key) {
        true => Ok(format!("to {key}")),
        false => Err(("AncestorNotBound", format!("{key} uses no waypoint"))),
    }
}

pub(super) fn check_route(
    cluster: &Cluster,
    key: &ObjectKey,
    section: Option<&str>,
) -> Result<String, Refusal> {
    let name = Name { namespace: key.namespace.clone(), name: key.name.clone() };
    let missing = || ("TargetNotFound", format!("There is no {key}"));
    let (names, services): (Vec<Option<&str>>, Vec<ObjectKey>) = if key.kind == Kind::VirtualService {
        let own = cluster.virtual_services.get(&name).ok_or_else(missing)?;
        let all = [own].into_iter().chain(cluster.delegators(&name).map(|(_, it)| it));
        let hosts = all.flat_map(|it| &it.hosts).flat_map(|host| host.hostnames(cluster));
        let services = hosts.flat_map(|host| cluster.objects_of_hostname(&host)).collect();
        (own.spec.http.iter().map(|entry| entry.name.as_deref()).collect(), services)
    } else {
        let route = cluster.find_route(key.kind, &name).ok_or_else(missing)?;
        let parents = route.spec.parent_refs.iter().flatten();
        let services = parents.filter_map(|parent| parent_service(&name, parent)).collect();
        let rules = route.spec.rules.iter().flatten();
        (rules.map(|rule| rule.name.as_deref()).collect(), services)
    };
    if let Some(section) = section
        && !names.contains(&Some(section))
    {
        return Err(("TargetNotFound", format!("{key} has no rule of the name {section:?}")));
    }
    match services.iter().any(|service| is_bound(cluster, service)) {
        true => Ok(format!("that {key} takes")),
        false => Err(("AncestorNotBound", format!("{key} is at no service that uses a waypoint"))),
    }
}

fn is_bound(cluster: &Cluster, key: &ObjectKey) -> bool {
    let object = cluster.find_service_object(key);
    object.is_some_and(|object| matches!(cluster.attachment_of_service(object), Attachment::Bound(_)))
}
