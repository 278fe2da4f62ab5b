//! What a Gateway that asks for a waypoint gets: ServiceAccount, Deployment and Service (api.md §4.3).

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec};
use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, Container, ContainerPort, EnvVar, EnvVarSource, HTTPGetAction,
    ObjectFieldSelector, PodSpec, PodTemplateSpec, Probe, ProjectedVolumeSource, ResourceRequirements,
    SecurityContext, Service, ServiceAccount, ServiceAccountTokenProjection, ServicePort, ServiceSpec,
    Volume, VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::cluster::{Cluster, Gateway, Name};
use crate::labels;
use crate::objects::Object;

/// What is the same for every waypoint of an installation.
#[derive(Clone, Debug, PartialEq)]
pub struct WaypointTemplate {
    /// The image to run.
    pub image: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Environment variables beside those that say who the pod is.
    pub env: BTreeMap<String, String>,
}

impl Default for WaypointTemplate {
    fn default() -> Self {
        WaypointTemplate { image: "adit".into(), args: vec!["waypoint".into()], env: BTreeMap::new() }
    }
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

/// What to make for a Gateway; nothing if it asks for no waypoint, asks another revision, has no usable
/// listener, or brings its own addresses.
pub fn waypoint(cluster: &Cluster, name: &Name, template: &WaypointTemplate) -> Option<Generated> {
    let gateway = cluster.gateways.get(name).filter(|gateway| cluster.is_waypoint(gateway))?;
    gateway.mesh_listener()?;
    if gateway.spec.addresses.as_ref().is_some_and(|addresses| !addresses.is_empty()) {
        return None;
    }
    let account = gateway.facts.annotation(labels::SERVICE_ACCOUNT);
    Some(Generated {
        service_account: account
            .is_none()
            .then(|| ServiceAccount { metadata: metadata(name, gateway), ..ServiceAccount::default() }),
        deployment: deployment(name, gateway, template, account.unwrap_or(gateway.generated_name(name))),
        service: service(name, gateway),
    })
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
    ObjectMeta {
        name: Some(gateway.generated_name(name).to_owned()),
        namespace: Some(name.namespace.to_string()),
        labels: Some(labels),
        annotations: infrastructure.and_then(|it| it.annotations.clone()),
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

fn deployment(name: &Name, gateway: &Gateway, template: &WaypointTemplate, account: &str) -> Deployment {
    let metadata = metadata(name, gateway);
    let mut labels = metadata.labels.clone().unwrap_or_default();
    labels.extend(texts([
        (labels::SIDECAR_INJECT, "false"),
        (labels::DATAPLANE_MODE, "none"),
        (labels::CANONICAL_NAME, gateway.generated_name(name)),
        (labels::CANONICAL_REVISION, "latest"),
    ]));
    let revision = gateway.facts.label(labels::REVISION).unwrap_or("default");
    let mut annotations: BTreeMap<_, _> = texts([
        (labels::REVISION, revision),
        ("prometheus.io/path", "/stats/prometheus"),
        ("prometheus.io/port", "15020"),
        ("prometheus.io/scrape", "true"),
    ])
    .collect();
    annotations.extend(metadata.annotations.clone().unwrap_or_default());
    let pod = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            service_account_name: Some(account.to_owned()),
            containers: vec![container(template)],
            volumes: Some(volumes()),
            ..PodSpec::default()
        }),
    };
    Deployment {
        metadata,
        spec: Some(DeploymentSpec {
            selector: LabelSelector { match_labels: Some(selector(name)), match_expressions: None },
            template: pod,
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

fn container(template: &WaypointTemplate) -> Container {
    let port = |name: &str, number| ContainerPort {
        name: Some(name.to_owned()),
        container_port: number,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    let probe = |failures, period| Probe {
        http_get: Some(HTTPGetAction {
            path: Some("/healthz/ready".to_owned()),
            port: IntOrString::Int(15021),
            ..HTTPGetAction::default()
        }),
        failure_threshold: Some(failures),
        period_seconds: Some(period),
        timeout_seconds: Some(1),
        ..Probe::default()
    };
    let quantities = |cpu: &str, memory: &str| {
        let pairs = [("cpu", cpu), ("memory", memory)];
        pairs.map(|(name, value)| (name.to_owned(), Quantity(value.to_owned()))).into()
    };
    let mount = |name: &str, path: &str| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    };
    Container {
        name: "istio-proxy".to_owned(),
        image: Some(template.image.clone()),
        args: Some(template.args.clone()),
        env: Some(environment(template)),
        ports: Some(vec![port("metrics", 15020), port("status-port", 15021), port("http-envoy-prom", 15090)]),
        startup_probe: Some(probe(30, 1)),
        readiness_probe: Some(probe(4, 15)),
        resources: Some(ResourceRequirements {
            requests: Some(quantities("100m", "128Mi")),
            limits: Some(quantities("2", "1Gi")),
            ..ResourceRequirements::default()
        }),
        security_context: Some(SecurityContext {
            run_as_user: Some(1337),
            run_as_group: Some(1337),
            run_as_non_root: Some(true),
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(vec![
            mount("istio-token", "/var/run/secrets/tokens"),
            mount("istiod-ca-cert", "/var/run/secrets/istio"),
        ]),
        ..Container::default()
    }
}

/// Who the pod is, and what the installation adds.
fn environment(template: &WaypointTemplate) -> Vec<EnvVar> {
    let fields = [
        ("POD_NAME", "metadata.name"),
        ("POD_NAMESPACE", "metadata.namespace"),
        ("INSTANCE_IP", "status.podIP"),
        ("NODE_NAME", "spec.nodeName"),
        ("SERVICE_ACCOUNT", "spec.serviceAccountName"),
    ];
    let own = fields.map(|(name, path)| EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector { api_version: None, field_path: path.to_owned() }),
            ..EnvVarSource::default()
        }),
    });
    let given = template.env.iter().map(|(name, value)| EnvVar {
        name: name.clone(),
        value: Some(value.clone()),
        value_from: None,
    });
    own.into_iter().chain(given).collect()
}

/// The token for the CA, and the root that vouches for the CA.
fn volumes() -> Vec<Volume> {
    let token = VolumeProjection {
        service_account_token: Some(ServiceAccountTokenProjection {
            audience: Some("istio-ca".to_owned()),
            expiration_seconds: Some(43200),
            path: "istio-token".to_owned(),
        }),
        ..VolumeProjection::default()
    };
    let projected = ProjectedVolumeSource { sources: Some(vec![token]), default_mode: None };
    let root =
        ConfigMapVolumeSource { name: "istio-ca-root-cert".to_owned(), ..ConfigMapVolumeSource::default() };
    vec![
        Volume { name: "istio-token".to_owned(), projected: Some(projected), ..Volume::default() },
        Volume { name: "istiod-ca-cert".to_owned(), config_map: Some(root), ..Volume::default() },
    ]
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
