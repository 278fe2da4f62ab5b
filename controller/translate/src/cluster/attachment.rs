//! Which waypoint an object's traffic goes through (api.md §5.3).

use gateway_api::experimental::gateways::GatewayListenersAllowedRoutesNamespacesFrom as From;
use mesh_model::{GatewayAddress, GatewayDestination, NamespacedHostname, NetworkAddress};

use super::Cluster;
use super::gateway::{Gateway, Traffic};
use super::mesh_service::ServiceObject;
use super::pod::Pod;
use super::selector;
use super::table::{Facts, Name};
use crate::labels;
use crate::objects::EntryVisibility;

/// The port of HBONE; fixed, whatever the listener says.
const HBONE_PORT: u16 = 15008;

/// A waypoint that can be used.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Waypoint {
    pub(crate) gateway: Name,
    pub(crate) address: GatewayAddress,
}

/// How an object stands to the waypoint its labels name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Attachment {
    /// None is asked for.
    Unasked,
    /// Its traffic goes through it.
    Bound(Waypoint),
    /// One is asked for, but cannot be used: the traffic goes without (WP-05).
    Refused {
        /// The Gateway that was asked for.
        gateway: Name,
        /// Why not.
        refusal: Refusal,
    },
}

/// Why a waypoint cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Missing,
    NotReady,
    WrongTraffic,
    NamespaceNotAllowed,
    /// EG-08: it is of another namespace, which the object is not to be seen by.
    OutOfSight,
}

/// Whether a label opts out instead of naming a Gateway.
pub(super) fn is_none(name: &str) -> bool {
    name.eq_ignore_ascii_case("none")
}

/// The waypoint that an object's own labels ask for.
pub(crate) fn asked_by(namespace: &str, facts: &Facts) -> Option<Name> {
    asked_in(namespace, facts).filter(|asked| !is_none(&asked.name))
}

/// What the labels say, be it that no waypoint is wanted.
fn asked_in(namespace: &str, facts: &Facts) -> Option<Name> {
    let name = facts.label(labels::USE_WAYPOINT).filter(|name| !name.is_empty())?;
    let in_namespace = facts.label(labels::USE_WAYPOINT_NAMESPACE).unwrap_or(namespace);
    Some(Name::new(in_namespace, name))
}

impl Attachment {
    pub(crate) fn waypoint(self) -> Option<Waypoint> {
        match self {
            Attachment::Bound(waypoint) => Some(waypoint),
            _ => None,
        }
    }
}

impl Cluster {
    /// The waypoint for traffic addressed to a service.
    pub(crate) fn attachment_of_service(&self, object: ServiceObject<'_>) -> Attachment {
        if let ServiceObject::Service(_, service) = object
            && service.is_managed()
        {
            return Attachment::Unasked; // WP-32: else a waypoint would be behind itself
        }
        let namespace = &object.name().namespace;
        match self.waypoint_asked_for(namespace, object.facts()) {
            None => Attachment::Unasked,
            Some(name) => self.bind_service(name, object),
        }
    }

    /// A Gateway as the waypoint of a service.
    pub(super) fn bind_service(&self, name: Name, object: ServiceObject<'_>) -> Attachment {
        let namespace = &object.name().namespace;
        if name.namespace != *namespace && self.visibility_of(object) == EntryVisibility::Namespace {
            return Attachment::Refused { gateway: name, refusal: Refusal::OutOfSight };
        }
        self.bind(name, namespace, &[Traffic::Service, Traffic::All])
    }

    /// The waypoint for traffic addressed to a pod.
    pub(crate) fn attachment_of_pod(&self, name: &Name, pod: &Pod) -> Attachment {
        let managed = pod.facts.label(labels::MANAGED);
        if pod.gateway(name).is_some()
            || matches!(managed, Some(labels::MANAGED_WAYPOINT | labels::MANAGED_EAST_WEST))
        {
            return Attachment::Unasked;
        }
        self.attachment_of_workload(&name.namespace, &pod.facts)
    }

    /// The waypoint for traffic addressed to a workload outside Kubernetes.
    pub(crate) fn attachment_of_workload(&self, namespace: &str, facts: &Facts) -> Attachment {
        match self.waypoint_asked_for(namespace, facts) {
            None => Attachment::Unasked,
            Some(name) => self.bind(name, namespace, &[Traffic::Workload, Traffic::All]),
        }
    }

    fn bind(&self, name: Name, namespace: &str, kinds: &[Traffic]) -> Attachment {
        let refused = |refusal| Attachment::Refused { gateway: name.clone(), refusal };
        let Some(gateway) = self.gateways.get(&name).filter(|it| self.is_waypoint(it)) else {
            return refused(Refusal::Missing);
        };
        if !gateway.was_ready {
            return refused(Refusal::NotReady);
        }
        if !self.admits(&name, gateway, namespace) {
            return refused(Refusal::NamespaceNotAllowed);
        }
        if !kinds.contains(&self.traffic_of(gateway)) {
            return refused(Refusal::WrongTraffic);
        }
        Attachment::Bound(Waypoint { address: self.address_of(&name, gateway), gateway: name })
    }

    /// The Gateway that the labels of an object, or else of its namespace, name.
    pub(crate) fn waypoint_asked_for(&self, namespace: &str, facts: &Facts) -> Option<Name> {
        let asked = asked_in(namespace, facts)
            .or_else(|| asked_in(namespace, &self.namespaces.get(namespace)?.facts))?;
        // WP-09: `none` opts out, whatever the namespace says.
        (!is_none(&asked.name)).then_some(asked)
    }

    /// WP-08: the listener's `allowedRoutes` say which namespaces may use a waypoint.
    fn admits(&self, name: &Name, gateway: &Gateway, namespace: &str) -> bool {
        let Some(listener) = gateway.mesh_listener() else { return false };
        let allowed = listener.allowed_routes.as_ref().and_then(|routes| routes.namespaces.as_ref());
        match allowed.and_then(|allowed| allowed.from.as_ref()).unwrap_or(&From::Same) {
            From::All => true,
            From::Same => name.namespace.as_ref() == namespace,
            From::Selector => {
                let Some(wanted) = allowed.and_then(|allowed| allowed.selector.as_ref()) else {
                    return false;
                };
                selector::selects(wanted, &self.labels_of_namespace(namespace))
            }
        }
    }

    /// With the label that Kubernetes adds to every namespace.
    pub(super) fn labels_of_namespace(&self, namespace: &str) -> std::collections::BTreeMap<String, String> {
        let mut labels = self.namespaces.get(namespace).map(|it| it.facts.labels.clone()).unwrap_or_default();
        labels.insert(labels::NAMESPACE_NAME.to_owned(), namespace.to_owned());
        labels
    }

    /// By host name if the status has one, else by address, else by the name of the generated Service.
    fn address_of(&self, name: &Name, gateway: &Gateway) -> GatewayAddress {
        let hostname = gateway.addresses.iter().find(|(kind, _)| kind.as_deref() == Some("Hostname"));
        let address = gateway.addresses.iter().find_map(|(_, value)| value.parse().ok());
        let destination = match (hostname, address) {
            (Some((_, hostname)), _) => GatewayDestination::Hostname(NamespacedHostname::new(
                name.namespace.clone(),
                hostname.as_str(),
            )),
            (None, Some(ip)) => {
                GatewayDestination::Address(NetworkAddress::new(self.settings.network.clone(), ip))
            }
            (None, None) => {
                let service = Name::new(name.namespace.clone(), gateway.generated_name(name));
                let hostname = self.hostname(&service);
                GatewayDestination::Hostname(NamespacedHostname::new(name.namespace.clone(), hostname))
            }
        };
        GatewayAddress { destination, hbone_mtls_port: HBONE_PORT }
    }
}
