//! Endpoints by EndpointSlice: a workload for each address that is no pod's (api.md §5.2, GW-43).

use std::collections::BTreeMap;

use mesh_model::{
    Health, NamespacedHostname, NetworkMode, PortMap, SmallMap, TunnelProtocol, Uid, Workload, WorkloadKind,
};

use super::locality;
use crate::cluster::{Cluster, EndpointSlice, Name};

/// The workload of an address in a slice. It is in nobody's network namespace as far as can be told, so
/// nobody finds it by its address, and it has no identity.
pub(super) fn derive(cluster: &Cluster, uid: &Uid) -> Option<Workload> {
    let (name, address) = cluster.endpoint_of(uid)?;
    let slice = cluster.endpoint_slices.get(&name)?;
    let endpoint = slice.find_endpoint(address)?;
    let settings = &cluster.settings;
    Some(Workload {
        uid: uid.clone(),
        name: name.name.clone(),
        namespace: name.namespace.clone(),
        addresses: endpoint.addresses.clone(),
        network: settings.network.clone(),
        tunnel: TunnelProtocol::Tcp,
        native_tunnel: false,
        trust_domain: settings.trust_domain.clone(),
        // What the wire has where there is none.
        service_account: "default".into(),
        waypoint: None,
        network_gateway: None,
        node: endpoint.node.clone(),
        canonical_name: name.name.clone(),
        canonical_revision: "latest".into(),
        kind: WorkloadKind::Pod,
        workload_name: name.name.clone(),
        authorization_policies: Vec::new(),
        health: if endpoint.ready { Health::Healthy } else { Health::Unhealthy },
        cluster_id: settings.cluster_id.clone(),
        hostname: "".into(),
        labels: SmallMap::new(),
        services: SmallMap::from([service_of(cluster, slice)?]),
        application_tunnel: None,
        locality: locality(cluster, &endpoint.node),
        network_mode: NetworkMode::HostNetwork,
        capacity: 1,
    })
}

/// The services that count a pod among their endpoints by a slice.
pub(super) fn services_of_pod(cluster: &Cluster, pod: &Name) -> BTreeMap<NamespacedHostname, PortMap> {
    let slices = cluster.endpoint_slices.in_namespace(&pod.namespace).map(|(_, slice)| slice);
    let naming = slices.filter(|slice| slice.endpoints.iter().any(|it| it.pod.as_ref() == Some(pod)));
    naming.filter_map(|slice| service_of(cluster, slice)).collect()
}

fn service_of(cluster: &Cluster, slice: &EndpointSlice) -> Option<(NamespacedHostname, PortMap)> {
    let service = cluster.services.get(&slice.service).filter(|service| !service.external_name)?;
    Some((cluster.host_key(&slice.service), slice.port_map(service)))
}
