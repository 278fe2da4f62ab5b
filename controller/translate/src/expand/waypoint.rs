//! What a Gateway that asks for a waypoint gets: ServiceAccount, Deployment and Service (api.md §4.3).

mod deployment;
mod settings;
mod template;

use std::collections::BTreeMap;

use gateway_api::experimental::gateways::GatewayInfrastructureParametersRef;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Service, ServiceAccount, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use crate::cluster::{Cluster, Gateway, Name};
use crate::labels;
use crate::objects::Object;
use deployment::deployment;
pub(crate) use settings::find_problems as find_proxy_config_problems;
pub use template::WaypointTemplate;

/// The control plane that looks after what names none.
const DEFAULT_REVISION: &str = "default";
/// The label with the Gateway that a generated object belongs to.
pub const GATEWAY_NAME_LABEL: &str = labels::GATEWAY_NAME;
/// The label, and its value, of what is generated for waypoints.
pub const MANAGED_LABEL: (&str, &str) = (labels::MANAGED, labels::MANAGED_WAYPOINT);
/// The annotation with the control plane that generated an object.
pub const REVISION_ANNOTATION: &str = labels::REVISION;

/// A Gateway that asks for a waypoint, and what it gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Waypoint {
    /// The Gateway.
    pub gateway: Name,
    /// Its uid.
    pub uid: String,
    /// Its class.
    pub class: String,
    /// Where it says what is to be different from the template.
    pub parameters: Option<GatewayInfrastructureParametersRef>,
    /// The objects to make.
    pub generated: Generated,
}

/// The objects made for one Gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    /// None if the Gateway names one that is there already.
    pub service_account: Option<ServiceAccount>,
    /// The pods.
    pub deployment: Deployment,
    /// Their address.
    pub service: Service,
}

impl Generated {
    /// All of them.
    pub fn into_objects(self) -> impl Iterator<Item = Object> {
        let account = self.service_account.map(|it| Object::ServiceAccount(Box::new(it)));
        let deployment = Object::Deployment(Box::new(self.deployment));
        let service = Object::Service(Box::new(self.service));
        account.into_iter().chain([deployment, service])
    }
}

/// All that ask for a waypoint.
pub fn waypoints(cluster: &Cluster, template: &WaypointTemplate) -> Vec<Waypoint> {
    let gateways = cluster.gateways.iter().filter_map(|(name, gateway)| {
        Some(Waypoint {
            gateway: name.clone(),
            uid: gateway.uid.clone(),
            class: gateway.spec.gateway_class_name.clone(),
            parameters: gateway.spec.infrastructure.as_ref().and_then(|it| it.parameters_ref.clone()),
            generated: waypoint(cluster, name, template)?,
        })
    });
    gateways.collect()
}

/// Whether a Gateway is there, and not about to go with everything it owns.
pub fn stays(cluster: &Cluster, gateway: &Name) -> bool {
    cluster.gateways.get(gateway).is_some_and(|gateway| !gateway.is_going)
}

/// What to make for a Gateway; nothing if it asks for no waypoint, asks another revision, is going, has
/// no usable listener, or brings its own addresses. A Gateway without a revision asks the default one.
pub fn waypoint(cluster: &Cluster, name: &Name, template: &WaypointTemplate) -> Option<Generated> {
    let gateway = cluster.gateways.get(name).filter(|gateway| cluster.is_waypoint(gateway))?;
    gateway.mesh_listener()?;
    if gateway.is_going || revision(gateway) != own_revision(cluster) {
        return None;
    }
    if gateway.spec.addresses.as_ref().is_some_and(|addresses| !addresses.is_empty()) {
        return None;
    }
    let account = gateway.facts.annotation(labels::SERVICE_ACCOUNT);
    Some(Generated {
        service_account: account
            .is_none()
            .then(|| ServiceAccount { metadata: metadata(name, gateway), ..ServiceAccount::default() }),
        deployment: deployment(
            cluster,
            (name, gateway),
            template,
            account.unwrap_or(gateway.generated_name(name)),
        ),
        service: service(name, gateway),
    })
}

fn revision(gateway: &Gateway) -> &str {
    gateway.facts.label(labels::REVISION).unwrap_or(DEFAULT_REVISION)
}

fn own_revision(cluster: &Cluster) -> &str {
    Some(cluster.settings.revision.as_ref()).filter(|it| !it.is_empty()).unwrap_or(DEFAULT_REVISION)
}

/// Who owns the objects, and what they are known by.
fn metadata(name: &Name, gateway: &Gateway) -> ObjectMeta {
    let owner = OwnerReference {
        api_version: "gateway.networking.k8s.io/v1".to_owned(),
        kind: "Gateway".to_owned(),
        name: name.name.to_string(),
        uid: gateway.uid.clone(),
        ..OwnerReference::default()
    };
    let infrastructure = gateway.spec.infrastructure.as_ref();
    let mut labels = infrastructure.and_then(|it| it.labels.clone()).unwrap_or_default();
    let known = [
        (labels::GATEWAY_NAME, name.name.as_ref()),
        (labels::GATEWAY_CLASS_NAME, gateway.spec.gateway_class_name.as_str()),
        (labels::MANAGED, labels::MANAGED_WAYPOINT),
    ];
    labels.extend(texts(known));
    let mut annotations = infrastructure.and_then(|it| it.annotations.clone()).unwrap_or_default();
    annotations.extend(texts([(labels::REVISION, revision(gateway))]));
    ObjectMeta {
        name: Some(gateway.generated_name(name).to_owned()),
        namespace: Some(name.namespace.to_string()),
        labels: Some(labels),
        annotations: Some(annotations),
        owner_references: Some(vec![owner]),
        ..ObjectMeta::default()
    }
}

fn texts<const N: usize>(pairs: [(&str, &str); N]) -> impl Iterator<Item = (String, String)> {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter()
}

fn selector(name: &Name) -> BTreeMap<String, String> {
    texts([(labels::GATEWAY_NAME, name.name.as_ref())]).collect()
}

fn service(name: &Name, gateway: &Gateway) -> Service {
    let port = |name: &str, number, protocol: Option<&str>| ServicePort {
        name: Some(name.to_owned()),
        port: number,
        protocol: Some("TCP".to_owned()),
        app_protocol: protocol.map(str::to_owned),
        ..ServicePort::default()
    };
    let listeners = gateway.spec.listeners.iter().filter(|it| it.port != 15021);
    let listeners = listeners.map(|it| {
        let protocol = (it.protocol == "HBONE").then_some("hbone");
        port(&it.name, it.port, protocol)
    });
    let mut metadata = metadata(name, gateway);
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.entry(labels::TRAFFIC_DISTRIBUTION.to_owned()).or_insert_with(|| "PreferClose".to_owned());
    Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some(gateway.facts.annotation(labels::SERVICE_TYPE).unwrap_or("ClusterIP").to_owned()),
            ip_family_policy: Some("PreferDualStack".to_owned()),
            ports: Some([port("status-port", 15021, Some("tcp"))].into_iter().chain(listeners).collect()),
            selector: Some(selector(name)),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}
