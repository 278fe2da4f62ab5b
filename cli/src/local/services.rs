//! Services and the pods behind them: what the rules of nodes and the hosts files of pods are made from.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{Pod, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::hosts::Named;
use super::rollout;
use super::vips::{Transport, Vip};

/// A pod that may be behind services.
#[derive(Clone, Debug)]
pub(super) struct Backend {
    pub(super) namespace: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) address: Ipv4Addr,
    pub(super) is_ready: bool,
    /// By name and number.
    pub(super) ports: Vec<(String, u16)>,
}

impl Backend {
    pub(super) fn new(pod: &Pod, address: Ipv4Addr, is_ready: bool) -> Self {
        let spec = pod.spec.as_ref();
        let containers = spec.map(|spec| spec.containers.as_slice()).unwrap_or_default();
        let ports = containers.iter().flat_map(|container| container.ports.iter().flatten());
        Backend {
            namespace: rollout::name_of(pod).0,
            labels: pod.metadata.labels.clone().unwrap_or_default(),
            address,
            is_ready,
            ports: ports
                .filter_map(|port| Some((port.name.clone()?, u16::try_from(port.container_port).ok()?)))
                .collect(),
        }
    }
}

/// How a service is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Addressing {
    /// By an address of its own, perhaps a certain one.
    Own(Option<Ipv4Addr>),
    /// By the addresses of its pods.
    Headless,
    /// Not here: another name for something elsewhere.
    External,
}

pub(super) fn addressing(service: &Service) -> Addressing {
    let spec = service.spec.clone().unwrap_or_default();
    match (spec.type_.as_deref(), spec.cluster_ip.as_deref()) {
        (Some("ExternalName"), _) => Addressing::External,
        (_, Some("None")) => Addressing::Headless,
        (_, wanted) => Addressing::Own(wanted.and_then(|wanted| wanted.parse().ok())),
    }
}

/// A service's namespace and name.
pub(super) fn name_of(service: &Service) -> (&str, &str) {
    let metadata = &service.metadata;
    let namespace = metadata.namespace.as_deref().filter(|namespace| !namespace.is_empty());
    (namespace.unwrap_or("default"), metadata.name.as_deref().unwrap_or_default())
}

/// The pods that take the service's traffic now.
fn endpoints<'a>(service: &'a Service, pods: &'a [Backend]) -> impl Iterator<Item = &'a Backend> {
    let spec = service.spec.as_ref();
    let selector = spec.and_then(|spec| spec.selector.as_ref()).filter(|selector| !selector.is_empty());
    let all = spec.and_then(|spec| spec.publish_not_ready_addresses) == Some(true);
    let (namespace, _) = name_of(service);
    pods.iter().filter(move |pod| {
        let Some(selector) = selector else { return false };
        pod.namespace == namespace
            && (pod.is_ready || all)
            && selector.iter().all(|(name, value)| pod.labels.get(name) == Some(value))
    })
}

/// The service's ports, each with where its traffic goes.
pub(super) fn vips(service: &Service, address: Ipv4Addr, pods: &[Backend]) -> Vec<Vip> {
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    ports
        .filter_map(|port| {
            let transport = match port.protocol.as_deref() {
                None | Some("TCP") => Transport::Tcp,
                Some("UDP") => Transport::Udp,
                Some(_) => return None,
            };
            let targets = endpoints(service, pods);
            let endpoints = targets.filter_map(|pod| Some((pod.address, target_port(port, pod)?))).collect();
            Some(Vip { address, transport, port: u16::try_from(port.port).ok()?, endpoints })
        })
        .collect()
}

fn target_port(port: &ServicePort, pod: &Backend) -> Option<u16> {
    match &port.target_port {
        None => u16::try_from(port.port).ok(),
        Some(IntOrString::Int(number)) => u16::try_from(*number).ok(),
        Some(IntOrString::String(name)) => pod
            .ports
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, number)| *number)
            .or_else(|| name.parse().ok()),
    }
}

/// How the service is found by name; `address` is its own, if it has one.
pub(super) fn named(service: &Service, address: Option<Ipv4Addr>, pods: &[Backend]) -> Named {
    let (namespace, name) = name_of(service);
    let addresses = match (addressing(service), address) {
        (Addressing::Own(_), Some(address)) => vec![address],
        (Addressing::Headless, _) => endpoints(service, pods).map(|pod| pod.address).collect(),
        _ => Vec::new(),
    };
    Named { namespace: namespace.to_owned(), name: name.to_owned(), addresses }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(spec: serde_json::Value) -> Service {
        serde_json::from_value(json!({ "metadata": { "name": "web", "namespace": "prod" }, "spec": spec }))
            .unwrap()
    }

    fn pods() -> Vec<Backend> {
        let pod = |host: u16, namespace: &str, is_ready: bool| {
            let pod: Pod = serde_json::from_value(json!({
                "metadata": { "namespace": namespace, "labels": { "app": "web", "n": host.to_string() } },
                "spec": { "containers": [{ "name": "c", "ports": [{ "name": "http", "containerPort": 8000 + host }] }] },
            }))
            .unwrap();
            Backend::new(&pod, Ipv4Addr::new(10, 244, 1, host as u8), is_ready)
        };
        vec![pod(2, "prod", true), pod(3, "prod", false), pod(4, "dev", true), pod(5, "prod", true)]
    }

    #[test]
    fn ready_pods_of_the_namespace_take_the_traffic() {
        let service = service(json!({
            "selector": { "app": "web" },
            "ports": [
                { "port": 80, "targetPort": "http" }, { "port": 81, "targetPort": 9 }, { "port": 53, "protocol": "UDP" },
                { "port": 99, "protocol": "SCTP" }, { "port": 82, "targetPort": "none" },
            ],
        }));
        let ip = |host| Ipv4Addr::new(10, 244, 1, host);
        let vips = vips(&service, Ipv4Addr::new(10, 96, 1, 0), &pods());
        let ports: Vec<_> = vips.iter().map(|vip| (vip.port, vip.transport, vip.endpoints.clone())).collect();
        assert_eq!(
            ports,
            [
                (80, Transport::Tcp, vec![(ip(2), 8002), (ip(5), 8005)]),
                (81, Transport::Tcp, vec![(ip(2), 9), (ip(5), 9)]),
                (53, Transport::Udp, vec![(ip(2), 53), (ip(5), 53)]),
                (82, Transport::Tcp, vec![]),
            ]
        );
    }

    #[test]
    fn addresses_depend_on_the_kind_of_service() {
        let own = Ipv4Addr::new(10, 96, 1, 0);
        let plain = service(json!({ "selector": { "app": "web" } }));
        assert_eq!(addressing(&plain), Addressing::Own(None));
        assert_eq!(named(&plain, Some(own), &pods()).addresses, [own]);
        let headless = service(json!({
            "clusterIP": "None", "selector": { "n": "3" }, "publishNotReadyAddresses": true
        }));
        assert_eq!(named(&headless, None, &pods()).addresses, [Ipv4Addr::new(10, 244, 1, 3)]);
        let external = service(json!({ "type": "ExternalName", "externalName": "x" }));
        assert_eq!(addressing(&external), Addressing::External);
        assert!(named(&external, None, &pods()).addresses.is_empty());
        let without_selector = service(json!({ "clusterIP": "10.96.0.9" }));
        assert_eq!(addressing(&without_selector), Addressing::Own(Some(Ipv4Addr::new(10, 96, 0, 9))));
        assert_eq!(endpoints(&without_selector, &pods()).count(), 0);
    }
}
