//! Policies: who enforces them, and how much of them (api.md §5.7, ST-06, L4-23, L4-29).

use super::condition::{Condition, observe};
use crate::cluster::{Attachment, Cluster, Kept, Name};
use crate::objects::{AuthorizationPolicySpec, ObjectKey, PolicyAction, TargetRef};
use crate::resources::{
    Target, convert, convert_for_waypoints, find_provider_problem, find_token_problems, target,
};

const ZTUNNEL: &str = "ZtunnelAccepted";
const WAYPOINT: &str = "WaypointAccepted";

pub(super) fn derive_authorization(cluster: &Cluster, name: &Name) -> Option<Vec<Condition>> {
    let object = cluster.authorization_policies.get(name)?;
    let has_targets = object.spec.targets().next().is_some();
    let condition = match has_targets {
        true => at_waypoint(cluster, name, object),
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

/// Whether waypoints enforce it, at which of its targets, and what of it they do not do as written.
fn at_waypoint(cluster: &Cluster, name: &Name, object: &Kept<AuthorizationPolicySpec>) -> Condition {
    let mut problems = convert_for_waypoints(name, object).problems;
    if object.spec.action == PolicyAction::Custom {
        let provider = object.spec.provider.as_ref().map(|it| it.name.as_str()).unwrap_or_default();
        let problem = find_provider_problem(cluster, provider);
        problems.extend(problem.map(|it| format!("spec.provider.name: {it}, so what matches is denied")));
    }
    attached(cluster, name, object.spec.targets(), problems)
}

/// The first problem where no target can be used; else those there are.
pub(super) fn attached<'t>(
    cluster: &Cluster,
    name: &Name,
    targets: impl Iterator<Item = (String, &'t TargetRef)>,
    mut problems: Vec<String>,
) -> Condition {
    let (mut attached, mut first) = (Vec::new(), None);
    for (field, reference) in targets {
        match check_target(cluster, name, reference) {
            Ok(()) => attached.push(format!("{} {}", reference.kind, reference.name)),
            Err((reason, message)) => {
                let message = format!("{field}: {message}");
                problems.push(message.clone());
                first.get_or_insert((reason, message));
            }
        }
    }
    if attached.is_empty() {
        let (reason, message) = first.unwrap_or(("TargetNotFound", "no target is named".to_owned()));
        return Condition::fails(WAYPOINT, reason, message);
    }
    in_force(&format!("for {}", attached.join(", ")), &problems)
}

/// Waypoints enforce it somewhere, but for the problems there are.
pub(super) fn in_force(place: &str, problems: &[String]) -> Condition {
    match problems {
        [] => Condition::holds(WAYPOINT, "Accepted", format!("enforced {place}")),
        problems => {
            let message = format!("enforced {place}; but {}", problems.join("; "));
            Condition::holds(WAYPOINT, "PartiallyInvalid", message)
        }
    }
}

fn check_target(
    cluster: &Cluster,
    policy: &Name,
    reference: &TargetRef,
) -> Result<(), (&'static str, String)> {
    match target(cluster, policy, reference).map_err(|reason| ("Invalid", reason))? {
        Target::Object(key) => check_service(cluster, &key),
        Target::Gateway(name) => match cluster.gateways.get(&name) {
            Some(gateway) if cluster.is_waypoint(gateway) => Ok(()),
            Some(_) => Err(("Invalid", format!("Gateway {name} is not a waypoint"))),
            None => Err(("TargetNotFound", format!("there is no Gateway {name}"))),
        },
        Target::Class(class) => match cluster.is_waypoint_class(&class) {
            true => Ok(()),
            false => Err(("TargetNotFound", format!("{class:?} is not a class of waypoints"))),
        },
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

/// Only with targets it is for waypoints; without, for sidecars, of which there are none.
pub(super) fn derive_request_authentication(cluster: &Cluster, name: &Name) -> Option<Vec<Condition>> {
    let object = cluster.request_authentications.get(name)?;
    object.spec.targets().next()?;
    let problems = find_token_problems(cluster, &object.spec);
    let mut conditions = vec![attached(cluster, name, object.spec.targets(), problems)];
    observe(&mut conditions, object.facts.generation);
    Some(conditions)
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
