//! Services: names with virtual addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::table::Facts;
use crate::labels;

/// What is used of a service.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Service {
    pub(crate) facts: Facts,
    /// An alias in DNS, nothing the mesh could route to.
    pub(crate) external_name: bool,
    pub(crate) addresses: Vec<IpAddr>,
    /// TCP only.
    pub(crate) ports: Vec<ServicePort>,
    pub(crate) selector: BTreeMap<String, String>,
    pub(crate) internal_traffic_local: bool,
    pub(crate) traffic_distribution: Option<String>,
    pub(crate) publish_not_ready: bool,
}

/// A port of a service.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ServicePort {
    pub(crate) number: u16,
    pub(crate) target: TargetPort,
    pub(crate) name: Option<String>,
    pub(crate) app_protocol: Option<String>,
}

/// What endpoints listen on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TargetPort {
    Number(u16),
    Name(String),
}

impl TargetPort {
    /// The number, unless each endpoint has its own.
    pub(crate) fn number(&self) -> Option<u16> {
        match self {
            TargetPort::Number(number) => Some(*number),
            TargetPort::Name(_) => None,
        }
    }
}

impl From<v1::Service> for Service {
    fn from(object: v1::Service) -> Self {
        let spec = object.spec.unwrap_or_default();
        let mut addresses = Vec::new();
        for text in spec.cluster_ip.iter().chain(spec.cluster_ips.iter().flatten()) {
            // A headless service has the text "None" here.
            addresses.extend(text.parse::<IpAddr>().ok().filter(|ip| !addresses.contains(ip)));
        }
        Service {
            facts: Facts::new(&object.metadata),
            external_name: spec.type_.as_deref() == Some("ExternalName"),
            addresses,
            ports: spec.ports.iter().flatten().filter_map(port).collect(),
            selector: spec.selector.unwrap_or_default(),
            internal_traffic_local: spec.internal_traffic_policy.as_deref() == Some("Local"),
            traffic_distribution: spec.traffic_distribution,
            publish_not_ready: spec.publish_not_ready_addresses == Some(true),
        }
    }
}

impl Service {
    /// It was generated for a waypoint or for a gateway between networks.
    pub(crate) fn is_managed(&self) -> bool {
        matches!(
            self.facts.label(labels::MANAGED),
            Some(labels::MANAGED_WAYPOINT | labels::MANAGED_EAST_WEST)
        )
    }

    /// Whether it picks its endpoints among pods by labels, and this one.
    pub(crate) fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        !self.external_name && !self.selector.is_empty() && super::selector::includes(labels, &self.selector)
    }
}

/// Ports that are not TCP, or out of range, are not the mesh's business.
fn port(port: &v1::ServicePort) -> Option<ServicePort> {
    if !matches!(port.protocol.as_deref(), None | Some("TCP")) {
        return None;
    }
    let number = u16::try_from(port.port).ok().filter(|number| *number > 0)?;
    let target = match &port.target_port {
        None | Some(IntOrString::Int(0)) => TargetPort::Number(number),
        Some(IntOrString::Int(target)) => TargetPort::Number(u16::try_from(*target).ok()?),
        Some(IntOrString::String(name)) => match name.parse() {
            Ok(target) => TargetPort::Number(target),
            Err(_) => TargetPort::Name(name.clone()),
        },
    };
    Some(ServicePort { number, target, name: port.name.clone(), app_protocol: port.app_protocol.clone() })
}
