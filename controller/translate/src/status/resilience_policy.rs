//! ResiliencePolicies, once per target: whether a waypoint does as one says, or another policy decides there.

use super::backend_tls_policy::{AncestorStatus, PolicyStatus};
use super::condition::{Condition, observe};
use super::rate_limit_policy::{Refusal, check_route, check_service};
use super::route::ParentRef;
use crate::cluster::{ADIT_CONTROLLER, Cluster, Name, ServiceObject};
use crate::objects::{Kind, ResiliencePolicySpec, ResilienceTarget, Resolution};
use crate::resources::{
    convert_health_check, convert_hedging, deciding_resilience_policy, resilience_target,
};

pub(super) fn derive(cluster: &Cluster, name: &Name) -> Option<PolicyStatus> {
    let object = cluster.resilience_policies.get(name)?;
    let ancestors = object.spec.target_refs.iter().map(|reference| {
        let accepted = match check(cluster, name, &object.spec, reference) {
            Ok(place) => {
                let message = format!("Waypoints hold to it for requests {place}");
                Condition::holds("Accepted", "Accepted", message)
            }
            Err((reason, message)) => Condition::fails("Accepted", reason, message),
        };
        let mut conditions = vec![accepted];
        conditions.extend(unchecked(cluster, name, &object.spec, reference));
        observe(&mut conditions, object.facts.generation);
        let target = (&*reference.group, &*reference.kind, &*reference.name);
        let ancestor_ref = ParentRef::of_target(name, target, reference.section_name.as_deref());
        AncestorStatus { ancestor_ref, controller_name: ADIT_CONTROLLER, conditions }
    });
    Some(PolicyStatus { ancestors: ancestors.collect() })
}

/// That endpoints of a target cannot be asked, for nobody says where they are.
fn unchecked(
    cluster: &Cluster,
    name: &Name,
    spec: &ResiliencePolicySpec,
    reference: &ResilienceTarget,
) -> Option<Condition> {
    spec.health_check.as_ref()?;
    let key = resilience_target(cluster, name, reference).ok()?;
    let ServiceObject::Entry(_, entry) = cluster.find_service_object(&key)? else { return None };
    let has_addresses = entry.resolution == Resolution::Static;
    let message = || {
        format!(
            "spec.healthCheck: endpoints of {key} without addresses of their own are not checked; list addresses, with resolution STATIC"
        )
    };
    (!has_addresses).then(|| Condition::holds("PartiallyInvalid", "UnsupportedValue", message()))
}

/// Which requests a policy is about at a target; or why there are none.
fn check(
    cluster: &Cluster,
    name: &Name,
    spec: &ResiliencePolicySpec,
    reference: &ResilienceTarget,
) -> Result<String, Refusal> {
    let invalid = |reason| ("Invalid", reason);
    let section = reference.section_name.as_deref();
    let key = resilience_target(cluster, name, reference).map_err(invalid)?;
    let is_route = matches!(key.kind, Kind::HttpRoute | Kind::VirtualService);
    let place = match is_route {
        true => check_route(cluster, &key, section)?,
        false => check_service(cluster, &key, section)?,
    };
    if let Some((winner, _)) = deciding_resilience_policy(cluster, &key, section)
        && winner != name
    {
        let message = format!("ResiliencePolicy {winner} is older and decides about {key}");
        return Err(("Conflicted", message));
    }
    if let Some(asked) = &spec.health_check {
        if is_route {
            return Err(invalid(format!(
                "spec.healthCheck: {key} has no endpoints; name its Service instead"
            )));
        }
        let object = cluster.find_service_object(&key);
        let ports = object.iter().flat_map(|object| object.ports()).map(|port| port.number);
        let converted = convert_health_check(asked, "", ports);
        converted.map_err(|reason| {
            invalid(format!("spec.healthCheck: {key}: {reason}; endpoints are not checked"))
        })?;
    }
    if let Some(asked) = &spec.hedging {
        convert_hedging(asked).map_err(|reason| invalid(format!("spec.hedging: {reason}")))?;
    }
    Ok(place)
}
