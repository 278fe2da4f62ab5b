//! EndpointSlices that somebody wrote by hand, or a controller other than Kubernetes' own.
//!
//! Those of services with a selector are not kept: they repeat what the pods say themselves, later than these
//! do, and are the most frequently changing objects of a cluster.

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::discovery::v1;
use mesh_model::Uid;

use super::affected::ResourceKey;
use super::table::Name;
use super::{Cluster, Service};
use crate::labels;

/// What Kubernetes calls its controller of the slices of services with a selector.
const KUBERNETES: &str = "endpointslice-controller.k8s.io";

/// What is used of an EndpointSlice.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EndpointSlice {
    /// The service it is of.
    pub(crate) service: Name,
    pub(crate) endpoints: Vec<Endpoint>,
    /// Name, empty for the port of a service with one port, and number. TCP only.
    ports: Vec<(String, u16)>,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Endpoint {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) ready: bool,
    pub(crate) node: Arc<str>,
    /// The pod it is; then the pod's own workload stands for it.
    pub(crate) pod: Option<Name>,
}

impl EndpointSlice {
    /// `None` if there is nothing to learn from it.
    pub(super) fn new(name: &Name, object: v1::EndpointSlice) -> Option<Self> {
        let labels = object.metadata.labels.unwrap_or_default();
        if labels.get(labels::SLICE_MANAGED_BY).is_some_and(|by| by == KUBERNETES) {
            return None;
        }
        let service = labels.get(labels::SLICE_SERVICE)?;
        let tcp = |port: &&v1::EndpointPort| matches!(port.protocol.as_deref(), None | Some("TCP"));
        let ports = object.ports.iter().flatten().filter(tcp).filter_map(|port| {
            Some((
                port.name.clone().unwrap_or_default(),
                u16::try_from(port.port?).ok().filter(|it| *it > 0)?,
            ))
        });
        Some(EndpointSlice {
            service: Name::new(name.namespace.clone(), service.as_str()),
            endpoints: object.endpoints.iter().map(|it| Endpoint::new(name, it)).collect(),
            ports: ports.collect(),
        })
    }

    /// The port of the endpoints for each port of the service, which have their names in common.
    pub(crate) fn port_map(&self, service: &Service) -> mesh_model::PortMap {
        let target = |name: &Option<String>| {
            let name = name.as_deref().unwrap_or_default();
            self.ports.iter().find(|it| it.0 == name).map(|it| it.1)
        };
        service.ports.iter().filter_map(|port| Some((port.number, target(&port.name)?))).collect()
    }

    /// The endpoint that a workload of its own stands for.
    pub(crate) fn find_endpoint(&self, address: IpAddr) -> Option<&Endpoint> {
        self.endpoints.iter().find(|it| it.pod.is_none() && it.addresses.first() == Some(&address))
    }
}

impl Endpoint {
    fn new(slice: &Name, written: &v1::Endpoint) -> Self {
        let pod = written.target_ref.as_ref().filter(|it| it.kind.as_deref() == Some("Pod"));
        let pod = pod.and_then(|it| it.name.as_deref());
        // What is not said counts as ready.
        let conditions = written.conditions.as_ref();
        let ready = conditions.and_then(|it| it.ready).unwrap_or(true);
        let terminating = conditions.and_then(|it| it.terminating).unwrap_or(false);
        Endpoint {
            // Slices of names, not addresses, have none here.
            addresses: written.addresses.iter().filter_map(|it| it.parse().ok()).collect(),
            ready: ready && !terminating,
            node: written.node_name.as_deref().unwrap_or_default().into(),
            pod: pod.map(|pod| Name::new(slice.namespace.clone(), pod)),
        }
    }
}

impl Cluster {
    /// The workloads a slice has a say in: of its addresses, and of the pods it names.
    pub(crate) fn workloads_of_slice(&self, name: &Name, slice: &EndpointSlice) -> Vec<ResourceKey> {
        let key = |endpoint: &Endpoint| match (&endpoint.pod, endpoint.addresses.first()) {
            (Some(pod), _) => Some(self.workload_key(pod)),
            (None, Some(address)) => Some(ResourceKey::Workload(self.endpoint_uid(name, *address))),
            (None, None) => None,
        };
        slice.endpoints.iter().filter_map(key).collect()
    }

    fn endpoint_uid(&self, slice: &Name, address: IpAddr) -> Uid {
        Uid(format!("{}{slice}/{address}", self.endpoint_prefix()).into())
    }

    fn endpoint_prefix(&self) -> String {
        format!("{}/discovery.k8s.io/EndpointSlice/", self.settings.cluster_id)
    }

    /// The slice and the address that a uid names.
    pub(crate) fn endpoint_of(&self, uid: &Uid) -> Option<(Name, IpAddr)> {
        let rest = uid.0.strip_prefix(&self.endpoint_prefix())?;
        let (namespace, rest) = rest.split_once('/')?;
        let (slice, address) = rest.split_once('/')?;
        Some((Name::new(namespace, slice), address.parse().ok()?))
    }

    /// The slices of a service.
    pub(crate) fn slices_of<'a>(
        &'a self,
        service: &'a Name,
    ) -> impl Iterator<Item = (&'a Name, &'a EndpointSlice)> {
        let slices = self.endpoint_slices.in_namespace(&service.namespace);
        slices.filter(move |(_, slice)| slice.service == *service)
    }
}
