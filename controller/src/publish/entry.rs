//! A resource as an entry of the discovery server: its name, its other names, who is sent it.

use std::sync::Arc;

use controller_translate::resources::{self, Resource};
use controller_translate::{Cluster, Name, ResourceKey};
use mesh_model::{NamespacedHostname, Service, WaypointKey, Workload, codec};
use mesh_proto::type_urls::{ADDRESS, AUTHORIZATION, SERVICE_CONFIG, WAYPOINT_CONFIG};
use mesh_xds::{Audience, Entry};

/// The types that are published.
pub(crate) const TYPES: [&str; 4] = [ADDRESS, AUTHORIZATION, SERVICE_CONFIG, WAYPOINT_CONFIG];

/// The type and the name of a resource (wire.md §5.2).
pub(super) fn name(key: &ResourceKey) -> (&'static str, Arc<str>) {
    match key {
        ResourceKey::Workload(uid) => (ADDRESS, uid.0.clone()),
        ResourceKey::Service(service) => (ADDRESS, service.to_string().into()),
        ResourceKey::Policy(policy) => (AUTHORIZATION, policy.to_string().into()),
        ResourceKey::ServiceConfig(service) => (SERVICE_CONFIG, service.to_string().into()),
        ResourceKey::WaypointConfig(waypoint) => (WAYPOINT_CONFIG, waypoint.to_string().into()),
    }
}

/// What is published of a resource.
pub(super) fn entry(cluster: &Cluster, name: Arc<str>, resource: &Resource) -> Entry {
    match resource {
        Resource::Workload(workload) => workload_entry(name, workload),
        Resource::Service(service) => service_entry(name, service),
        Resource::Policy(policy) => Entry::new(name, &codec::authorization::encode(policy)),
        Resource::ServiceConfig(config) => Entry {
            audience: Audience::Only(waypoints(cluster, &config.key)),
            ..Entry::new(name, &codec::service_config::encode(config))
        },
        Resource::WaypointConfig(config) => Entry {
            audience: Audience::Only(waypoint_itself(cluster, &config.key)),
            ..Entry::new(name, &codec::waypoint_config::encode(config))
        },
    }
}

fn workload_entry(name: Arc<str>, workload: &Workload) -> Entry {
    let aliases = workload.addresses.iter().map(|ip| format!("{}/{ip}", workload.network).into());
    let services = workload.services.keys().map(|service| service.to_string().into());
    let node = (!workload.node.is_empty()).then(|| node_name(&workload.node));
    Entry {
        aliases: aliases.collect(),
        belongs_to: services.chain(node).collect(),
        ..Entry::new(name, &codec::address::encode_workload(workload))
    }
}

fn service_entry(name: Arc<str>, service: &Service) -> Entry {
    let addresses = service.addresses.iter().map(|address| address.to_string().into());
    let cidrs = service.cidrs.iter().map(|block| format!("{}/{}", block.network, block.cidr).into());
    let aliases = addresses.chain(cidrs).collect();
    Entry { aliases, ..Entry::new(name, &codec::address::encode_service(service)) }
}

/// The name a node's own workloads go by, for proxies that subscribe by name.
pub(crate) fn node_name(node: &str) -> Arc<str> {
    format!("node/{node}").into()
}

/// The waypoints of a service, as the service names them.
fn waypoints(cluster: &Cluster, key: &NamespacedHostname) -> Vec<Arc<str>> {
    let Some(Resource::Service(service)) = resources::derive(cluster, &ResourceKey::Service(key.clone()))
    else {
        return Vec::new();
    };
    let weighted = service.weighted_waypoints.iter().map(|weighted| &weighted.destination);
    service.waypoint.iter().chain(weighted).map(|waypoint| waypoint.destination.to_string().into()).collect()
}

/// The service that a waypoint's own pods are endpoints of.
fn waypoint_itself(cluster: &Cluster, key: &WaypointKey) -> Vec<Arc<str>> {
    let gateway = Name::new(key.namespace.clone(), key.gateway.clone());
    cluster.service_of_waypoint(&gateway).into_iter().map(|service| service.to_string().into()).collect()
}

/// What services call the waypoint that runs in this pod: the names and
/// addresses of the services it is an endpoint of.
pub(crate) fn waypoint_tags(cluster: &Cluster, pod: &Name) -> Vec<Arc<str>> {
    let Some(Resource::Workload(workload)) = resources::derive(cluster, &cluster.workload_key(pod)) else {
        return Vec::new();
    };
    let mut tags = Vec::new();
    for key in workload.services.keys() {
        tags.push(key.to_string().into());
        if let Some(Resource::Service(service)) =
            resources::derive(cluster, &ResourceKey::Service(key.clone()))
        {
            tags.extend(service.addresses.iter().map(|address| address.to_string().into()));
        }
    }
    tags
}

#[cfg(test)]
mod tests {
    use controller_translate::Settings;

    use super::*;
    use crate::picture::Picture;
    use crate::tests::objects;

    const MANIFESTS: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: first, namespace: prod}
spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
status: {addresses: [{type: Hostname, value: first.prod.svc.cluster.local}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: second, namespace: prod}
spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
status: {addresses: [{type: Hostname, value: second.prod.svc.cluster.local}]}
---
apiVersion: v1
kind: Service
metadata:
  {name: web, namespace: prod, labels: {istio.io/use-waypoint: first, istio.io/use-waypoint-canary: second}}
spec: {clusterIP: 10.0.0.1, ports: [{port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: prod}
spec: {host: web, trafficPolicy: {loadBalancer: {simple: RANDOM}}}
";

    #[test]
    fn wp_22_az_19_what_holds_for_a_service_is_sent_to_its_canary_too() {
        let picture = Picture::new(Settings::default());
        picture.apply(objects(MANIFESTS));
        let cluster = picture.read();
        let key = ResourceKey::ServiceConfig(NamespacedHostname::new("prod", "web.prod.svc.cluster.local"));
        let config = resources::derive(&cluster, &key).unwrap();
        let Audience::Only(waypoints) = entry(&cluster, "web".into(), &config).audience else {
            panic!("{config:?}")
        };
        for waypoint in ["first", "second"] {
            let tag = format!("prod/{waypoint}.prod.svc.cluster.local");
            assert!(waypoints.iter().any(|it| **it == tag), "{tag} is not among {waypoints:?}");
        }
    }
}
