//! Checks of ServiceEntry, WorkloadEntry and WorkloadGroup.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Checks, repeated};
use crate::objects::{Port, Resolution, ServiceEntrySpec, WorkloadEntrySpec, WorkloadGroupSpec};

const PROTOCOLS: [&str; 8] = ["HTTP", "HTTPS", "GRPC", "GRPC-WEB", "HTTP2", "MONGO", "TCP", "TLS"];

pub(super) fn check(spec: &ServiceEntrySpec, checks: &mut Checks) {
    if spec.hosts.is_empty() {
        checks.fail("spec.hosts", "one host is needed");
    }
    checks.at_most("spec.hosts", &spec.hosts, 256);
    for (at, host) in spec.hosts.iter().enumerate() {
        let field = format!("spec.hosts[{at}]");
        if host == "*" {
            checks.fail(field, "cannot be every host; name one, or a part such as *.example.com");
        } else if host.starts_with('*') && spec.resolution != Resolution::None && !is_dynamic(spec) {
            checks.fail(field, "a wildcard is possible with resolution NONE and DYNAMIC_DNS only");
        } else {
            super::virtual_service::check_host(host, &field, checks);
        }
    }
    for at in repeated(spec.hosts.iter()) {
        checks.fail(format!("spec.hosts[{at}]"), "is there twice");
    }
    check_ports(spec, checks);
    check_endpoints(spec, checks);
    let blocks = spec.addresses.iter().any(|it| it.0.prefix_len() != it.0.max_prefix_len());
    if blocks && !matches!(spec.resolution, Resolution::None | Resolution::Static) {
        checks
            .fail("spec.addresses", "blocks of addresses are possible with resolution NONE and STATIC only");
    }
}

fn is_dynamic(spec: &ServiceEntrySpec) -> bool {
    spec.resolution == Resolution::DynamicDns
}

fn check_ports(spec: &ServiceEntrySpec, checks: &mut Checks) {
    for (at, port) in spec.ports.iter().enumerate() {
        let known = PROTOCOLS.iter().any(|it| it.eq_ignore_ascii_case(&port.protocol));
        if !port.protocol.is_empty() && !known {
            let reason = format!("{:?} is not possible; use one of {}", port.protocol, PROTOCOLS.join(", "));
            checks.fail(format!("spec.ports[{at}].protocol"), reason);
        }
        if port.name.is_empty() {
            checks.fail(format!("spec.ports[{at}].name"), "is needed");
        }
    }
    for at in repeated(spec.ports.iter().map(|port| port.number)) {
        checks
            .fail(format!("spec.ports[{at}].number"), format!("{} is there twice", spec.ports[at].number.0));
    }
    for at in repeated(spec.ports.iter().map(|port| &port.name)) {
        checks.fail(format!("spec.ports[{at}].name"), format!("{:?} is there twice", spec.ports[at].name));
    }
}

fn check_endpoints(spec: &ServiceEntrySpec, checks: &mut Checks) {
    let selector = spec.workload_selector.as_ref();
    if selector.is_some() && !spec.endpoints.is_empty() {
        checks.fail("spec", "only one of workloadSelector and endpoints is possible");
    }
    if selector.is_some_and(|it| it.labels.is_empty()) {
        checks.fail("spec.workloadSelector.labels", "one label is needed");
    }
    match spec.resolution {
        Resolution::None if !spec.endpoints.is_empty() => {
            checks.fail("spec.endpoints", "are not possible with resolution NONE");
        }
        Resolution::Static if spec.endpoints.is_empty() && selector.is_none() => {
            checks.fail("spec.endpoints", "resolution STATIC needs endpoints or a workloadSelector");
        }
        Resolution::DnsRoundRobin if spec.endpoints.len() > 1 => {
            checks.fail("spec.endpoints", "resolution DNS_ROUND_ROBIN takes one endpoint only");
        }
        Resolution::DynamicDns if !spec.endpoints.is_empty() => {
            checks.fail("spec.endpoints", "are not possible with resolution DYNAMIC_DNS");
        }
        _ => {}
    }
    for (at, endpoint) in spec.endpoints.iter().enumerate() {
        let path = format!("spec.endpoints[{at}]");
        check_workload(endpoint, &path, checks);
        let is_name = !endpoint.address.is_empty()
            && !endpoint.address.starts_with("unix://")
            && endpoint.address.parse::<IpAddr>().is_err();
        if is_name && spec.resolution == Resolution::Static {
            let reason = format!("{:?} is no address; resolution STATIC needs one", endpoint.address);
            checks.fail(format!("{path}.address"), reason);
        }
    }
}

pub(super) fn check_workload(spec: &WorkloadEntrySpec, path: &str, checks: &mut Checks) {
    if let Some(socket) = spec.address.strip_prefix("unix://") {
        if !spec.ports.is_empty() {
            checks.fail(format!("{path}.ports"), "are not possible with a socket of Unix");
        }
        if !socket.starts_with(['/', '@']) {
            checks.fail(format!("{path}.address"), "a socket of Unix needs an absolute path");
        }
    } else if spec.address.is_empty() {
        if spec.network.is_empty() {
            checks.fail(format!("{path}.address"), "is needed where no network is given");
        }
    } else if spec.address.parse::<IpAddr>().is_err() && !is_name(&spec.address) {
        let reason = format!(
            "{:?} is no address and no name of DNS; write for instance 10.0.0.1, db.example.com or unix:///run/db",
            spec.address
        );
        checks.fail(format!("{path}.address"), reason);
    }
    check_map(&spec.ports, path, checks);
}

/// A name whose last part is a number is a mistyped address.
fn is_name(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let mut labels = text.strip_suffix('.').unwrap_or(text).split('.');
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(is_word);
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= 253 && labels.clone().all(is_label) && !labels.next_back().is_some_and(is_number)
}

fn check_map(ports: &BTreeMap<String, Port>, path: &str, checks: &mut Checks) {
    if ports.keys().any(String::is_empty) {
        checks.fail(format!("{path}.ports"), "a port has no name");
    }
}

pub(super) fn check_group(spec: &WorkloadGroupSpec, checks: &mut Checks) {
    check_map(&spec.template.ports, "spec.template", checks);
    let Some(probe) = &spec.probe else { return };
    let ways =
        [probe.http_get.is_some(), probe.tcp_socket.is_some(), probe.exec.is_some(), probe.grpc.is_some()];
    if ways.iter().filter(|given| **given).count() != 1 {
        checks.fail("spec.probe", "exactly one of httpGet, tcpSocket, exec and grpc is needed");
    }
}
