//! Pods become workloads (api.md §5.1), and so do endpoints that are none.

mod endpoint;
mod entry;

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh_model::{
    ApplicationTunnel, ApplicationTunnelProtocol, Health, Locality, NamespacedHostname, NetworkMode,
    PolicyKey, PortMap, SmallMap, TunnelProtocol, Uid, Workload, WorkloadKind,
};

use super::{authorization, peer_authentication};
use crate::cluster::{Cluster, Facts, Name, Pod, ServiceObject, ServicePort, TargetPort};
use crate::labels;

/// The workload of that uid, unless its pod has no address (yet) or has run to its end.
pub(super) fn derive(cluster: &Cluster, uid: &Uid) -> Option<Workload> {
    let Some(name) = cluster.pod_of(uid) else {
        return endpoint::derive(cluster, uid).or_else(|| entry::derive(cluster, uid));
    };
    let pod = cluster.pods.get(&name).filter(|pod| !pod.finished && !pod.addresses.is_empty())?;
    let facts = &pod.facts;
    let (tunnel, native_tunnel) = tunnel(facts);
    let services = services(cluster, &name, pod);
    let settings = &cluster.settings;
    Some(Workload {
        uid: uid.clone(),
        name: name.name.clone(),
        namespace: name.namespace.clone(),
        addresses: pod.addresses.clone(),
        network: facts.label(labels::NETWORK).map_or(settings.network.clone(), Arc::from),
        tunnel,
        native_tunnel,
        trust_domain: settings.trust_domain.clone(),
        service_account: pod.service_account.clone(),
        waypoint: cluster.attachment_of_pod(&name, pod).waypoint().map(|it| it.address),
        network_gateway: None,
        node: pod.node.clone(),
        canonical_name: canonical_name(facts, workload_name(&name, pod)),
        canonical_revision: canonical_revision(facts),
        // The peer marks every pod so, whatever owns it; dashboards count on it.
        kind: WorkloadKind::Pod,
        workload_name: workload_name(&name, pod),
        authorization_policies: policies(cluster, &name, facts),
        health: if pod.ready { Health::Healthy } else { Health::Unhealthy },
        cluster_id: settings.cluster_id.clone(),
        hostname: "".into(),
        labels: subset_labels(cluster, &services, facts),
        services: services.into_iter().collect(),
        application_tunnel: application_tunnel(cluster, &name, pod),
        locality: locality(cluster, &pod.node),
        network_mode: if pod.host_network { NetworkMode::HostNetwork } else { NetworkMode::Standard },
        capacity: 1,
    })
}

/// How it takes traffic of the mesh, and whether it terminates tunnels itself.
fn tunnel(facts: &Facts) -> (TunnelProtocol, bool) {
    let native = facts.label(labels::TUNNEL) == Some("http");
    match native || facts.annotation(labels::REDIRECTION) == Some("enabled") {
        true => (TunnelProtocol::Hbone, native),
        false => (TunnelProtocol::Tcp, false),
    }
}

/// The services that select the pod, or name it in an EndpointSlice, with the ports it has for them.
fn services(cluster: &Cluster, name: &Name, pod: &Pod) -> BTreeMap<NamespacedHostname, PortMap> {
    let selecting = cluster.services.in_namespace(&name.namespace);
    let selecting = selecting.filter(|(_, service)| service.selects(&pod.facts.labels));
    let mut services = endpoint::services_of_pod(cluster, name);
    services.extend(selecting.map(|(at, service)| (cluster.host_key(at), port_map(&service.ports, pod))));
    let entries = cluster.service_entries.in_namespace(&name.namespace);
    for (at, entry) in entries.filter(|(_, entry)| entry.selects(&pod.facts.labels)) {
        let keys = cluster.services_of(ServiceObject::Entry(at, entry)).into_iter();
        services.extend(keys.map(|key| (key, port_map(&entry.ports, pod))));
    }
    services
}

/// Ports whose name the pod does not have are left out (LB-03).
fn port_map(ports: &[ServicePort], pod: &Pod) -> PortMap {
    let resolve = |target: &TargetPort| match target {
        TargetPort::Number(number) => Some(*number),
        TargetPort::Name(wanted) => pod.named_ports.iter().find(|(name, _)| name == wanted).map(|it| it.1),
    };
    ports.iter().filter_map(|port| Some((port.number, resolve(&port.target)?))).collect()
}

fn workload_name(name: &Name, pod: &Pod) -> Arc<str> {
    let Some((kind, owner)) = &pod.owner else { return name.name.clone() };
    match kind.as_str() {
        // A Deployment owns its pods through a ReplicaSet named after it and the hash of the template.
        "ReplicaSet" => {
            let hash = pod.facts.label(labels::POD_TEMPLATE_HASH);
            let deployment = hash.and_then(|hash| owner.strip_suffix(hash)?.strip_suffix('-'));
            deployment.unwrap_or(owner).into()
        }
        // A CronJob owns them through a Job named after it and the minute of its start.
        "Job" => match owner.rsplit_once('-') {
            Some((cron_job, minute)) if is_minute(minute) => cron_job.into(),
            _ => owner.as_str().into(),
        },
        _ => owner.as_str().into(),
    }
}

fn is_minute(text: &str) -> bool {
    (8..=10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn canonical_name(facts: &Facts, workload_name: Arc<str>) -> Arc<str> {
    let labels = [labels::CANONICAL_NAME, labels::APP_NAME, "app"];
    labels.iter().find_map(|label| facts.label(label)).map_or(workload_name, Arc::from)
}

fn canonical_revision(facts: &Facts) -> Arc<str> {
    let labels = [labels::CANONICAL_REVISION, labels::APP_VERSION, "version"];
    labels.iter().find_map(|label| facts.label(label)).unwrap_or("latest").into()
}

/// The policies that select the workload, by name.
fn policies(cluster: &Cluster, name: &Name, facts: &Facts) -> Vec<PolicyKey> {
    let mut policies = authorization::selecting(cluster, &name.namespace, &facts.labels);
    policies.extend(peer_authentication::effective(cluster, &name.namespace, &facts.labels));
    policies.sort();
    policies
}

/// The labels by which subsets of a workload's services tell endpoints apart, and no others.
fn subset_labels(
    cluster: &Cluster,
    services: &BTreeMap<NamespacedHostname, PortMap>,
    facts: &Facts,
) -> SmallMap<Arc<str>, Arc<str>> {
    let rules = cluster.destination_rules.iter().map(|(_, rule)| rule);
    let rules = rules.filter(|rule| services.keys().any(|service| rule.host.matches(&service.hostname)));
    let names = rules.flat_map(|rule| &rule.spec.subsets).flat_map(|subset| subset.labels.keys());
    names.filter_map(|name| Some((name.as_str().into(), facts.label(name)?.into()))).collect()
}

/// How traffic is handed to a sandwiched waypoint; its Gateway says, or that one's class.
fn application_tunnel(cluster: &Cluster, name: &Name, pod: &Pod) -> Option<ApplicationTunnel> {
    let gateway = cluster.gateways.get(&pod.gateway(name)?)?;
    let class = cluster.gateway_classes.get(gateway.spec.gateway_class_name.as_str());
    let own = gateway.facts.annotation(labels::INBOUND_BINDING);
    let text = own.or_else(|| class?.facts.annotation(labels::INBOUND_BINDING))?;
    let (protocol, port) = text.split_once('/').unwrap_or((text, "0"));
    let protocol = match protocol {
        "NONE" => ApplicationTunnelProtocol::None,
        "PROXY" => ApplicationTunnelProtocol::Proxy,
        _ => return None,
    };
    Some(ApplicationTunnel { protocol, port: port.parse().ok()? })
}

fn locality(cluster: &Cluster, node: &str) -> Locality {
    let node = cluster.nodes.get(node);
    let part = |label| node.and_then(|node| node.facts.label(label)).unwrap_or_default().into();
    Locality { region: part(labels::REGION), zone: part(labels::ZONE), subzone: part(labels::SUBZONE) }
}
