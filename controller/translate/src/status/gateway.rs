//! Gateways that ask for waypoints, and their classes (api.md §4.1, §4.4).

use gateway_api::experimental::gateways::GatewayListeners;
use serde::Serialize;

use super::condition::{Condition, observe};
use super::own_waypoint;
use crate::cluster::{ADIT_CONTROLLER, Cluster, Gateway, ISTIO_CONTROLLER, Name, Obstacle};

/// The status of a Gateway.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GatewayStatus {
    /// Where it can be reached; none until it is ready for the first time.
    pub addresses: Vec<StatusAddress>,
    /// What holds of it.
    pub conditions: Vec<Condition>,
    /// What holds of each listener.
    pub listeners: Vec<ListenerStatus>,
}

/// An address of a Gateway.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatusAddress {
    /// `IPAddress` or `Hostname`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The address.
    pub value: String,
}

/// The status of a listener.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerStatus {
    /// Its name.
    pub name: String,
    /// How many routes are attached to it: none, since routes in a mesh are attached to services.
    pub attached_routes: u32,
    /// The kinds of route it takes: none, for the same reason.
    pub supported_kinds: Vec<String>,
    /// What holds of it.
    pub conditions: Vec<Condition>,
}

pub(super) fn derive(cluster: &Cluster, name: &Name) -> Option<GatewayStatus> {
    let gateway = cluster.gateways.get(name).filter(|gateway| cluster.is_waypoint(gateway))?;
    let valid = gateway.mesh_listener().is_some();
    let mut conditions =
        vec![accepted(cluster, name, gateway, valid), programmed(cluster, name, gateway, valid)];
    conditions.push(Condition::holds("ResolvedRefs", "ResolvedRefs", "All references resolved"));
    conditions.extend(own_waypoint::derive(cluster, name, gateway));
    observe(&mut conditions, gateway.facts.generation);
    let addresses = if gateway.was_ready { addresses(cluster, name, gateway) } else { Vec::new() };
    let listeners = gateway.spec.listeners.iter().map(|it| listener(it, gateway.facts.generation));
    Some(GatewayStatus { addresses, conditions, listeners: listeners.collect() })
}

fn accepted(cluster: &Cluster, name: &Name, gateway: &Gateway, valid: bool) -> Condition {
    if let Some(Obstacle::Parameters(message)) = cluster.obstacle_of(name) {
        return Condition::fails("Accepted", "InvalidParameters", message);
    }
    let parameters = gateway.spec.infrastructure.as_ref().and_then(|it| it.parameters_ref.as_ref());
    if parameters.is_some() && !cluster.reads_parameters() {
        let message =
            "spec.infrastructure.parametersRef: is read in a cluster only; the waypoint runs without";
        return Condition::fails("Accepted", "InvalidParameters", message);
    }
    if !valid {
        let message = "No listener is usable; a waypoint needs one with port 15008 and protocol HBONE";
        return Condition::fails("Accepted", "ListenersNotValid", message);
    }
    Condition::holds("Accepted", "Accepted", "Resource accepted")
}

fn programmed(cluster: &Cluster, name: &Name, gateway: &Gateway, valid: bool) -> Condition {
    let service = Name::new(name.namespace.clone(), gateway.generated_name(name));
    if !valid {
        return Condition::fails("Programmed", "Invalid", "No listener is usable");
    }
    match cluster.obstacle_of(name) {
        Some(Obstacle::Parameters(_)) => {
            let message = "The parameters are invalid, see Accepted; what was deployed before stays as it is";
            return Condition::fails("Programmed", "Invalid", message);
        }
        Some(Obstacle::Objects(message)) => return Condition::fails("Programmed", "Invalid", message),
        None => {}
    }
    if cluster.serves(name, gateway) || (gateway.was_ready && !gateway.addresses.is_empty()) {
        let host = cluster.hostname(&service);
        let message = format!("Resource programmed, assigned to service(s) {host}:15008");
        return Condition::holds("Programmed", "Programmed", message);
    }
    let message = match cluster.services.get(&service) {
        None => format!("Service {service} does not exist (yet)"),
        Some(service) if service.addresses.is_empty() => "The Service has no address (yet)".to_owned(),
        Some(_) => "No pod of the waypoint is ready (yet)".to_owned(),
    };
    Condition::fails("Programmed", "AddressNotAssigned", message)
}

/// What its status has already, or else the addresses of its Service.
fn addresses(cluster: &Cluster, name: &Name, gateway: &Gateway) -> Vec<StatusAddress> {
    if !gateway.addresses.is_empty() {
        let written = gateway.addresses.iter().map(|(kind, value)| StatusAddress {
            kind: kind.clone().unwrap_or_else(|| "IPAddress".to_owned()),
            value: value.clone(),
        });
        return written.collect();
    }
    let service = Name::new(name.namespace.clone(), gateway.generated_name(name));
    let ips = cluster.services.get(&service).into_iter().flat_map(|service| &service.addresses);
    let ips = ips.map(|ip| StatusAddress { kind: "IPAddress".into(), value: ip.to_string() });
    let hostname = StatusAddress { kind: "Hostname".into(), value: cluster.hostname(&service).to_string() };
    ips.chain([hostname]).collect()
}

fn listener(listener: &GatewayListeners, generation: Option<i64>) -> ListenerStatus {
    let usable = listener.protocol == "HBONE" && listener.port == 15008;
    let accepted = match usable {
        true => Condition::holds("Accepted", "Accepted", "No errors found"),
        false => {
            let message = format!(
                "A waypoint listens on port 15008 with protocol HBONE, not on {} with {:?}",
                listener.port, listener.protocol
            );
            Condition::fails("Accepted", "UnsupportedProtocol", message)
        }
    };
    let kinds = listener.allowed_routes.as_ref().and_then(|routes| routes.kinds.as_ref());
    let resolved = match kinds.is_none_or(Vec::is_empty) {
        true => Condition::holds("ResolvedRefs", "ResolvedRefs", "No errors found"),
        false => {
            let message = "allowedRoutes.kinds: a waypoint takes no routes; attach them to Services";
            Condition::fails("ResolvedRefs", "InvalidRouteKinds", message)
        }
    };
    let programmed = match usable {
        true => Condition::holds("Programmed", "Programmed", "No errors found"),
        false => Condition::fails("Programmed", "Invalid", "The listener is not usable"),
    };
    let conflicted = Condition::fails("Conflicted", "NoConflicts", "No errors found");
    let mut conditions = vec![accepted, programmed, resolved, conflicted];
    observe(&mut conditions, generation);
    ListenerStatus {
        name: listener.name.clone(),
        attached_routes: 0,
        supported_kinds: Vec::new(),
        conditions,
    }
}

/// ST-01: classes of waypoints are accepted.
pub(super) fn derive_class(cluster: &Cluster, name: &str) -> Option<Vec<Condition>> {
    let class = cluster.gateway_classes.get(name)?;
    if !matches!(class.controller.as_ref(), ISTIO_CONTROLLER | ADIT_CONTROLLER) {
        return None;
    }
    let mut conditions = vec![Condition::holds("Accepted", "Accepted", "Handled by the Adit controller")];
    observe(&mut conditions, class.facts.generation);
    Some(conditions)
}
