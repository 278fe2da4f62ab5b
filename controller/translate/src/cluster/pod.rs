//! Pods: who runs where.

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1;

use super::table::{Facts, Name};
use crate::labels;

/// What is used of a pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pod {
    pub(crate) facts: Facts,
    /// Kubernetes' uid, which tokens carry.
    pub uid: Arc<str>,
    /// The node it runs on; empty until it is scheduled.
    pub node: Arc<str>,
    /// The service account it runs as.
    pub service_account: Arc<str>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// It has run to its end.
    pub finished: bool,
    /// It takes traffic.
    pub ready: bool,
    pub(crate) host_network: bool,
    /// Name and number of the ports of its containers that speak TCP.
    pub(crate) named_ports: Vec<(String, u16)>,
    /// Kind and name of its controller.
    pub(crate) owner: Option<(String, String)>,
}

impl From<v1::Pod> for Pod {
    fn from(object: v1::Pod) -> Self {
        let spec = object.spec.unwrap_or_default();
        let status = object.status.unwrap_or_default();
        let deleting = object.metadata.deletion_timestamp.is_some();
        let conditions = status.conditions.as_deref().unwrap_or_default();
        let is_ready = conditions.iter().any(|it| it.type_ == "Ready" && it.status == "True");
        let owners = object.metadata.owner_references.as_deref().unwrap_or_default();
        let owner = owners.iter().find(|owner| owner.controller == Some(true));
        Pod {
            facts: Facts::new(&object.metadata),
            uid: object.metadata.uid.as_deref().unwrap_or_default().into(),
            node: spec.node_name.as_deref().unwrap_or_default().into(),
            service_account: spec
                .service_account_name
                .as_deref()
                .filter(|it| !it.is_empty())
                .unwrap_or("default")
                .into(),
            addresses: addresses(&status),
            finished: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
            ready: is_ready && !deleting,
            host_network: spec.host_network == Some(true),
            named_ports: named_ports(&spec),
            owner: owner.map(|owner| (owner.kind.clone(), owner.name.clone())),
        }
    }
}

impl Pod {
    /// The Gateway this pod is a waypoint of.
    pub(crate) fn gateway(&self, name: &Name) -> Option<Name> {
        self.facts.label(labels::GATEWAY_NAME).map(|gateway| Name::new(name.namespace.clone(), gateway))
    }
}

fn addresses(status: &v1::PodStatus) -> Vec<IpAddr> {
    let several = status.pod_ips.as_deref().unwrap_or_default();
    let mut addresses: Vec<IpAddr> = several.iter().filter_map(|it| it.ip.parse().ok()).collect();
    if addresses.is_empty() {
        addresses.extend(status.pod_ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok()));
    }
    addresses
}

/// Init containers count when they keep running beside the others.
fn named_ports(spec: &v1::PodSpec) -> Vec<(String, u16)> {
    let init = spec.init_containers.as_deref().unwrap_or_default();
    let sidecars = init.iter().filter(|it| it.restart_policy.as_deref() == Some("Always"));
    let ports = spec.containers.iter().chain(sidecars).flat_map(|it| it.ports.iter().flatten());
    let tcp = ports.filter(|port| matches!(port.protocol.as_deref(), None | Some("TCP")));
    tcp.filter_map(|port| Some((port.name.clone()?, u16::try_from(port.container_port).ok()?))).collect()
}
