//! What the target references of a policy name (api.md §3.2).

use crate::cluster::{Cluster, Name};
use crate::objects::{Kind, ObjectKey, TargetRef};

/// What a reference names, whether it exists or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A Service or a ServiceEntry.
    Object(ObjectKey),
    /// One waypoint.
    Gateway(Name),
    /// All waypoints of a class.
    Class(String),
}

/// What a policy's reference names; or why it can name nothing.
pub(crate) fn target(cluster: &Cluster, policy: &Name, target: &TargetRef) -> Result<Target, String> {
    if !target.namespace.is_empty() && target.namespace != *policy.namespace {
        return Err("the target has to be in the policy's namespace".to_owned());
    }
    let name = Name::new(policy.namespace.clone(), target.name.as_str());
    match (target.group.as_str(), target.kind.as_str()) {
        ("" | "core", "Service") => Ok(Target::Object(name.key(Kind::Service))),
        ("networking.istio.io", "ServiceEntry") => Ok(Target::Object(name.key(Kind::ServiceEntry))),
        ("gateway.networking.k8s.io", "Gateway") => Ok(Target::Gateway(name)),
        ("gateway.networking.k8s.io", "GatewayClass") => {
            let root = &cluster.settings.root_namespace;
            match policy.namespace == *root {
                true => Ok(Target::Class(target.name.clone())),
                false => Err(format!("a GatewayClass can only be targeted from namespace {root}")),
            }
        }
        (group, kind) => Err(format!(
            "{kind} of group {group:?} cannot be targeted; use a Service, a ServiceEntry or a Gateway"
        )),
    }
}

/// Whether one of a policy's references names this.
pub(super) fn names<'t>(
    cluster: &Cluster,
    policy: &Name,
    mut targets: impl Iterator<Item = (String, &'t TargetRef)>,
    wanted: impl Fn(&Target) -> bool,
) -> bool {
    targets.any(|(_, reference)| target(cluster, policy, reference).is_ok_and(|it| wanted(&it)))
}
