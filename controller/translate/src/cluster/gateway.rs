//! Gateways as far as waypoints go: what they are for, whom they admit, whether they are ready.

use std::sync::Arc;

use gateway_api::experimental::gatewayclasses;
use gateway_api::experimental::gateways;
use mesh_model::NamespacedHostname;

use super::table::{Facts, Name};
use super::{Cluster, Kind, ObjectKey};
use crate::labels;

/// The class of Istio's waypoints, and of ours under a name of their own.
const WAYPOINT_CLASSES: [&str; 2] = ["istio-waypoint", "adit-waypoint"];
/// Who looks after a class of waypoints.
pub(crate) const ISTIO_CONTROLLER: &str = "istio.io/mesh-controller";
/// The same for our own class.
pub(crate) const ADIT_CONTROLLER: &str = "adit.io/mesh-controller";

/// What is used of a Gateway.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Gateway {
    pub(crate) facts: Facts,
    /// Kubernetes' uid; empty where objects come from files.
    pub(crate) uid: String,
    /// It is being deleted.
    pub(crate) is_going: bool,
    pub(crate) spec: gateways::GatewaySpec,
    /// Addresses that its status has.
    pub(crate) addresses: Vec<(Option<String>, String)>,
    /// It was ready once. Traffic that a waypoint has to judge must not go
    /// around it because the waypoint is restarting, so this stays.
    pub(crate) was_ready: bool,
}

/// What is used of a GatewayClass.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GatewayClass {
    pub(crate) facts: Facts,
    pub(crate) controller: Arc<str>,
}

impl From<gatewayclasses::GatewayClass> for GatewayClass {
    fn from(object: gatewayclasses::GatewayClass) -> Self {
        GatewayClass { facts: Facts::new(&object.metadata), controller: object.spec.controller_name.into() }
    }
}

/// The traffic a waypoint is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Traffic {
    Service,
    Workload,
    All,
    None,
}

impl Gateway {
    pub(crate) fn new(object: gateways::Gateway, was_ready: bool) -> Self {
        let addresses = object.status.into_iter().flat_map(|status| status.addresses.unwrap_or_default());
        Gateway {
            facts: Facts::new(&object.metadata),
            is_going: object.metadata.deletion_timestamp.is_some(),
            uid: object.metadata.uid.unwrap_or_default(),
            spec: object.spec,
            addresses: addresses.map(|it| (it.r#type, it.value)).collect(),
            was_ready,
        }
    }

    /// The name of the objects generated for it.
    pub(crate) fn generated_name<'a>(&'a self, name: &'a Name) -> &'a str {
        self.facts.annotation(labels::NAME_OVERRIDE).unwrap_or(&name.name)
    }

    /// Whether backends are to be told who the client is (ID-22).
    pub(crate) fn forwards_client_identity(&self) -> bool {
        let annotations = self.spec.infrastructure.as_ref().and_then(|it| it.annotations.as_ref());
        annotations.and_then(|it| it.get(labels::FORWARD_CLIENT_IDENTITY)).is_some_and(|text| text == "true")
    }

    /// The listener through which the mesh comes in.
    pub(crate) fn mesh_listener(&self) -> Option<&gateways::GatewayListeners> {
        self.spec.listeners.iter().find(|it| it.protocol == "HBONE" && it.port == 15008)
    }
}

impl Cluster {
    /// Whether there is a GatewayClass of that name.
    pub fn has_gateway_class(&self, name: &str) -> bool {
        self.gateway_classes.contains_key(name)
    }

    /// Whether a Gateway asks for a waypoint, and asks this control plane.
    pub(crate) fn is_waypoint(&self, gateway: &Gateway) -> bool {
        let revision = gateway.facts.label(labels::REVISION);
        self.is_waypoint_class(&gateway.spec.gateway_class_name)
            && revision.is_none_or(|revision| revision == self.settings.revision.as_ref())
    }

    pub(crate) fn is_waypoint_class(&self, class: &str) -> bool {
        match self.gateway_classes.get(class) {
            Some(class) => matches!(class.controller.as_ref(), ISTIO_CONTROLLER | ADIT_CONTROLLER),
            None => WAYPOINT_CLASSES.contains(&class),
        }
    }

    /// What a waypoint is for: its own label, its class's, or services (WP-07).
    pub(crate) fn traffic_of(&self, gateway: &Gateway) -> Traffic {
        let class = self.gateway_classes.get(gateway.spec.gateway_class_name.as_str());
        let label = gateway.facts.label(labels::WAYPOINT_FOR);
        match label.or_else(|| class?.facts.label(labels::WAYPOINT_FOR)) {
            Some("workload") => Traffic::Workload,
            Some("all") => Traffic::All,
            Some("none") => Traffic::None,
            _ => Traffic::Service,
        }
    }

    /// The service that a waypoint's pods are endpoints of.
    pub fn service_of_waypoint(&self, gateway: &Name) -> Option<NamespacedHostname> {
        let generated = self.gateways.get(gateway)?.generated_name(gateway);
        Some(self.host_key(&Name::new(gateway.namespace.clone(), generated)))
    }

    /// Whether a Gateway's waypoint serves now: its Service has an address and a pod of it is ready.
    pub(crate) fn serves(&self, name: &Name, gateway: &Gateway) -> bool {
        let service = Name::new(name.namespace.clone(), gateway.generated_name(name));
        let has_address = self.services.get(&service).is_some_and(|service| {
            service.facts.label(labels::GATEWAY_NAME) == Some(&name.name) && !service.addresses.is_empty()
        });
        let mut pods = self.pods.in_namespace(&name.namespace);
        has_address && pods.any(|(at, pod)| pod.ready && pod.gateway(at).as_ref() == Some(name))
    }

    /// Remembers that a Gateway is ready, after a change to an object it depends on.
    pub(super) fn settle_gateway(&mut self, key: &ObjectKey) {
        let Some(name) = self.gateway_behind(key) else { return };
        let Some(gateway) = self.gateways.get(&name) else { return };
        let is_ready = !gateway.addresses.is_empty() || self.serves(&name, gateway);
        if let Some(gateway) = self.gateways.get_mut(&name) {
            gateway.was_ready |= is_ready;
        }
    }

    /// The Gateway whose readiness an object decides about.
    pub(super) fn gateway_behind(&self, key: &ObjectKey) -> Option<Name> {
        let name = Name { namespace: key.namespace.clone(), name: key.name.clone() };
        match key.kind {
            Kind::Gateway => Some(name),
            Kind::Pod => self.pods.get(&name)?.gateway(&name),
            Kind::Service => {
                let gateway = self.services.get(&name)?.facts.label(labels::GATEWAY_NAME)?;
                Some(Name::new(name.namespace, gateway))
            }
            _ => None,
        }
    }
}
