//! BackendTLSPolicies, once per target (ST-11, ST-13).

use gateway_api::backendtlspolicies::BackendTlsPolicyTargetRefs;
use serde::Serialize;

use super::condition::{Condition, observe};
use super::route::ParentRef;
use crate::cluster::{Attachment, Cluster, ISTIO_CONTROLLER, Name};
use crate::objects::ObjectKey;
use crate::resources::{BackendTls, backend_tls_target, deciding_backend_tls, translate_backend_tls};

/// The status of a policy of the Gateway API.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PolicyStatus {
    /// One entry for each target that is our business.
    pub ancestors: Vec<AncestorStatus>,
}

/// What holds of a policy at one of its targets.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AncestorStatus {
    /// The target.
    pub ancestor_ref: ParentRef,
    /// Who says so.
    pub controller_name: &'static str,
    /// What holds.
    pub conditions: Vec<Condition>,
}

/// Nothing is said where no target is our business.
pub(super) fn derive(cluster: &Cluster, name: &Name) -> Option<PolicyStatus> {
    let object = cluster.backend_tls_policies.get(name)?;
    let made = translate_backend_tls(cluster, name, &object.spec);
    let ancestors = object.spec.target_refs.iter().filter_map(|reference| {
        let key = backend_tls_target(name, reference)?;
        let accepted = accepted(cluster, name, &key, reference, &made)?;
        let mut conditions = vec![accepted, resolved(&made)];
        observe(&mut conditions, object.facts.generation);
        let target = (&*reference.group, &*reference.kind, &*reference.name);
        let ancestor_ref = ParentRef::of_target(name, target, reference.section_name.as_deref());
        Some(AncestorStatus { ancestor_ref, controller_name: ISTIO_CONTROLLER, conditions })
    });
    let ancestors: Vec<_> = ancestors.collect();
    (!ancestors.is_empty()).then_some(PolicyStatus { ancestors })
}

/// Services without a waypoint are somebody else's, a gateway's for instance.
fn accepted(
    cluster: &Cluster,
    name: &Name,
    key: &ObjectKey,
    reference: &BackendTlsPolicyTargetRefs,
    made: &BackendTls,
) -> Option<Condition> {
    let fails = |reason: &'static str, message: String| Some(Condition::fails("Accepted", reason, message));
    let Some(object) = cluster.find_service_object(key) else {
        return fails("TargetNotFound", format!("There is no {key}"));
    };
    let Attachment::Bound(waypoint) = cluster.attachment_of_service(object) else { return None };
    let section = reference.section_name.as_deref();
    if let Some(section) = section
        && !object.ports().iter().any(|port| port.name.as_deref() == Some(section))
    {
        return fails("TargetNotFound", format!("{key} has no TCP port of the name {section:?}"));
    }
    if let Some((winner, _)) = deciding_backend_tls(cluster, key, section)
        && winner != name
    {
        return fails("Conflicted", format!("BackendTLSPolicy {winner} is older and decides about {key}"));
    }
    match &made.unusable {
        Some((reason, message)) => fails(reason, message.clone()),
        None => {
            let message = format!("Waypoint {} uses it for endpoints outside the mesh", waypoint.gateway);
            Some(Condition::holds("Accepted", "Accepted", message))
        }
    }
}

fn resolved(made: &BackendTls) -> Condition {
    match made.broken.first() {
        None => Condition::holds("ResolvedRefs", "ResolvedRefs", "All references resolved"),
        Some((reason, _)) => {
            let messages: Vec<_> = made.broken.iter().map(|(_, message)| message.as_str()).collect();
            Condition::fails("ResolvedRefs", reason, messages.join("; "))
        }
    }
}
