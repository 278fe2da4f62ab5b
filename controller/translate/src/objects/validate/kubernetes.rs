//! Checks of the kinds of Kubernetes, as far as their fields mean something here.

use std::net::IpAddr;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Container, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Checks, repeated};
use crate::expand::MAX_REPLICAS;
use crate::objects::{Gateway, Object};

pub(super) fn metadata(object: &Object, checks: &mut Checks) {
    let key = object.key();
    match key.name.as_ref() {
        "" => checks.fail("metadata.name", "a name is needed"),
        name if !is_dns_name(name, 253) => checks.fail(
            "metadata.name",
            format!("{name:?} is not a name; use at most 253 of a-z, 0-9, '-' and '.', beginning and ending with a-z or 0-9"),
        ),
        _ => {}
    }
    let namespace = key.namespace.as_ref();
    if key.kind.is_namespaced() && (!is_dns_name(namespace, 63) || namespace.contains('.')) {
        checks.fail("metadata.namespace", format!("{namespace:?} is not the name of a namespace"));
    }
}

fn is_dns_name(text: &str, most: usize) -> bool {
    let is_word = |word: &str| {
        !word.is_empty()
            && !word.starts_with('-')
            && !word.ends_with('-')
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    text.len() <= most && text.split('.').all(is_word)
}

pub(super) fn pod(object: &Pod, checks: &mut Checks) {
    if let Some(spec) = &object.spec {
        containers(&spec.containers, "spec.containers", checks);
        containers(spec.init_containers.as_deref().unwrap_or_default(), "spec.initContainers", checks);
    }
    let ips =
        object.status.iter().flat_map(|status| status.pod_ips.iter().flatten().map(|it| it.ip.as_str()));
    let ips = ips.chain(object.status.iter().filter_map(|status| status.pod_ip.as_deref()));
    for ip in ips.filter(|ip| ip.parse::<IpAddr>().is_err()) {
        checks.fail("status.podIP", format!("{ip:?} is not an address"));
    }
}

fn containers(containers: &[Container], path: &str, checks: &mut Checks) {
    for at in repeated(containers.iter().map(|it| &it.name)) {
        checks.fail(format!("{path}[{at}].name"), format!("{:?} is there twice", containers[at].name));
    }
    for (at, container) in containers.iter().enumerate() {
        for (index, port) in container.ports.iter().flatten().enumerate() {
            checks.port(format!("{path}[{at}].ports[{index}].containerPort"), port.container_port);
        }
    }
}

pub(super) fn deployment(object: &Deployment, checks: &mut Checks) {
    let Some(spec) = &object.spec else { return checks.fail("spec", "is needed") };
    let replicas = spec.replicas.unwrap_or(1);
    if !(0..=MAX_REPLICAS).contains(&replicas) {
        checks.fail("spec.replicas", format!("{replicas} is not possible; use 0 to {MAX_REPLICAS}"));
    }
    let labels = spec.template.metadata.as_ref().and_then(|it| it.labels.clone()).unwrap_or_default();
    let wanted = spec.selector.match_labels.clone().unwrap_or_default();
    if wanted.is_empty() && spec.selector.match_expressions.is_none() {
        checks.fail("spec.selector", "is needed");
    }
    for (name, value) in wanted.iter().filter(|(name, value)| labels.get(*name) != Some(value)) {
        let reason = format!("{name}={value} is not among spec.template.metadata.labels");
        checks.fail("spec.selector.matchLabels", reason);
    }
    if let Some(pod) = &spec.template.spec {
        containers(&pod.containers, "spec.template.spec.containers", checks);
    }
}

pub(super) fn service(object: &Service, checks: &mut Checks) {
    let Some(spec) = &object.spec else { return checks.fail("spec", "is needed") };
    let ports = spec.ports.as_deref().unwrap_or_default();
    checks.at_most("spec.ports", ports, 128);
    for (at, port) in ports.iter().enumerate() {
        checks.port(format!("spec.ports[{at}].port"), port.port);
        if let Some(IntOrString::Int(target)) = port.target_port {
            checks.port(format!("spec.ports[{at}].targetPort"), target);
        }
        if ports.len() > 1 && port.name.as_deref().unwrap_or_default().is_empty() {
            checks.fail(format!("spec.ports[{at}].name"), "is needed where there are several ports");
        }
    }
    let number_and_protocol = |at: &usize| (ports[*at].port, ports[*at].protocol.as_deref().unwrap_or("TCP"));
    for at in repeated((0..ports.len()).map(|at| number_and_protocol(&at))) {
        checks.fail(format!("spec.ports[{at}].port"), format!("{} is there twice", ports[at].port));
    }
    let names = ports.iter().map(|port| port.name.as_deref());
    for at in repeated(names.enumerate().map(|(at, name)| name.ok_or(at))) {
        checks.fail(format!("spec.ports[{at}].name"), "is there twice");
    }
    let ips = spec.cluster_ip.iter().chain(spec.cluster_ips.iter().flatten());
    for ip in ips.filter(|ip| !ip.is_empty() && *ip != "None" && ip.parse::<IpAddr>().is_err()) {
        checks.fail("spec.clusterIP", format!("{ip:?} is not an address, nor None"));
    }
}

pub(super) fn gateway(object: &Gateway, checks: &mut Checks) {
    let listeners = &object.spec.listeners;
    if listeners.is_empty() {
        checks.fail("spec.listeners", "one is needed");
    }
    checks.at_most("spec.listeners", listeners, 64);
    for (at, listener) in listeners.iter().enumerate() {
        checks.port(format!("spec.listeners[{at}].port"), listener.port);
    }
    for at in repeated(listeners.iter().map(|it| &it.name)) {
        checks.fail(format!("spec.listeners[{at}].name"), format!("{:?} is there twice", listeners[at].name));
    }
}

pub(super) fn endpoint_slice(object: &EndpointSlice, checks: &mut Checks) {
    checks.at_most("endpoints", &object.endpoints, 1000);
    for (at, port) in object.ports.iter().flatten().enumerate() {
        if let Some(port) = port.port {
            checks.port(format!("ports[{at}].port"), port);
        }
    }
    if object.address_type == "FQDN" {
        return;
    }
    for (at, endpoint) in object.endpoints.iter().enumerate().take(1000) {
        for text in endpoint.addresses.iter().filter(|text| text.parse::<IpAddr>().is_err()) {
            checks.fail(format!("endpoints[{at}].addresses"), format!("{text:?} is not an address"));
        }
    }
}
