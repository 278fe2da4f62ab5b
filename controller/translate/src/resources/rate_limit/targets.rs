//! What RateLimitPolicies can be attached to: what other policies can, and routes.

use crate::cluster::{Cluster, Name};
use crate::objects::{Kind, ObjectKey, RateLimitTarget, TargetRef};
use crate::resources::{Target, target as common};

/// What a reference names, whether it exists or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LimitTarget {
    /// A Service or a ServiceEntry.
    Object(ObjectKey),
    /// An HTTPRoute, a GRPCRoute or a VirtualService.
    Route(ObjectKey),
    /// One waypoint.
    Gateway(Name),
    /// All waypoints of a class.
    Class(String),
}

/// What a policy's reference names; or why it can name nothing.
pub(crate) fn target(
    cluster: &Cluster,
    policy: &Name,
    reference: &RateLimitTarget,
) -> Result<LimitTarget, String> {
    let route = match (reference.group.as_str(), reference.kind.as_str()) {
        ("gateway.networking.k8s.io", "HTTPRoute") => Some(Kind::HttpRoute),
        ("gateway.networking.k8s.io", "GRPCRoute") => Some(Kind::GrpcRoute),
        ("networking.istio.io", "VirtualService") => Some(Kind::VirtualService),
        _ => None,
    };
    if let Some(kind) = route {
        let key = ObjectKey::new(kind, policy.namespace.clone(), reference.name.as_str());
        return Ok(LimitTarget::Route(key));
    }
    let RateLimitTarget { group, kind, name, .. } = reference.clone();
    let asked = TargetRef { group, kind, name, ..TargetRef::default() };
    match common(cluster, policy, &asked) {
        Ok(Target::Object(key)) => Ok(LimitTarget::Object(key)),
        Ok(_) if reference.section_name.is_some() => {
            Err(format!("{} has no sections that could be limited; leave sectionName out", reference.kind))
        }
        Ok(Target::Gateway(gateway)) => Ok(LimitTarget::Gateway(gateway)),
        Ok(Target::Class(class)) => Ok(LimitTarget::Class(class)),
        Err(reason) => Err(reason.replace("a Service, a ServiceEntry", "a Service, a ServiceEntry, a route")),
    }
}
