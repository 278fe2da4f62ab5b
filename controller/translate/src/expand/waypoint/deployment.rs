//! The Deployment of a waypoint: one container that runs the proxy, and how its pods come and go.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EnvVar, EnvVarSource,
    HTTPGetAction, Lifecycle, LifecycleHandler, ObjectFieldSelector, PodSecurityContext, PodSpec,
    PodTemplateSpec, Probe, ProjectedVolumeSource, SeccompProfile, SecurityContext,
    ServiceAccountTokenProjection, SleepAction, Volume, VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{WaypointTemplate, metadata, selector, settings, texts};
use crate::cluster::{Cluster, Gateway, Name};
use crate::labels;

/// Time for everyone to learn that a pod is going, before it stops taking connections.
const FAREWELL_SECONDS: u32 = 5;

pub(super) fn deployment(
    cluster: &Cluster,
    (name, gateway): (&Name, &Gateway),
    template: &WaypointTemplate,
    account: &str,
) -> Deployment {
    let metadata = metadata(name, gateway);
    let mut labels = metadata.labels.clone().unwrap_or_default();
    labels.extend(texts([
        (labels::SIDECAR_INJECT, "false"),
        (labels::DATAPLANE_MODE, "none"),
        (labels::CANONICAL_NAME, gateway.generated_name(name)),
        (labels::CANONICAL_REVISION, "latest"),
    ]));
    let mut annotations: BTreeMap<_, _> = texts([
        ("prometheus.io/path", "/stats/prometheus"),
        ("prometheus.io/port", "15020"),
        ("prometheus.io/scrape", "true"),
    ])
    .collect();
    annotations.extend(metadata.annotations.clone().unwrap_or_default());
    let environment = settings::environment(cluster, &name.namespace, &labels);
    let pod = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(pod_spec(name, template, account, environment)),
    };
    Deployment {
        metadata,
        spec: Some(DeploymentSpec {
            // A new pod takes traffic before an old one goes. How many there are is for others to say.
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(1)),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            selector: LabelSelector { match_labels: Some(selector(name)), match_expressions: None },
            template: pod,
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

fn pod_spec(
    name: &Name,
    template: &WaypointTemplate,
    account: &str,
    environment: BTreeMap<String, String>,
) -> PodSpec {
    let some = |is_given: bool| is_given.then_some(());
    let secrets = &template.image_pull_secrets;
    let spread = &template.topology_spread_constraints;
    PodSpec {
        service_account_name: Some(account.to_owned()),
        containers: vec![container(name, template, environment)],
        volumes: Some(volumes()),
        image_pull_secrets: some(!secrets.is_empty()).map(|()| secrets.clone()),
        affinity: some(template.affinity != Affinity::default()).map(|()| template.affinity.clone()),
        node_selector: some(!template.node_selector.is_empty()).map(|()| template.node_selector.clone()),
        tolerations: some(!template.tolerations.is_empty()).map(|()| template.tolerations.clone()),
        topology_spread_constraints: some(!spread.is_empty()).map(|()| spread.clone()),
        termination_grace_period_seconds: template.termination_grace_period_seconds.map(i64::from),
        security_context: Some(PodSecurityContext {
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        ..PodSpec::default()
    }
}

/// How long a pod that is to end goes on as if nothing were: its endpoints are withdrawn meanwhile.
fn farewell(template: &WaypointTemplate) -> Option<u32> {
    let grace = template.termination_grace_period_seconds?;
    // Of a short time most is for the connections.
    Some((grace / 3).min(FAREWELL_SECONDS)).filter(|seconds| *seconds > 0)
}

fn container(name: &Name, template: &WaypointTemplate, said: BTreeMap<String, String>) -> Container {
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
        env: Some(environment(name, template, said)),
        ports: Some(vec![port("metrics", 15020), port("status-port", 15021), port("http-envoy-prom", 15090)]),
        startup_probe: Some(probe(30, 1)),
        readiness_probe: Some(probe(4, 2)),
        resources: Some(template.resources.clone()),
        image_pull_policy: template.image_pull_policy.clone(),
        lifecycle: farewell(template).map(sleep_first),
        security_context: Some(security()),
        volume_mounts: Some(vec![
            mount("istio-token", "/var/run/secrets/tokens"),
            mount("istiod-ca-cert", "/var/run/secrets/istio"),
        ]),
        ..Container::default()
    }
}

fn security() -> SecurityContext {
    SecurityContext {
        run_as_user: Some(1337),
        run_as_group: Some(1337),
        run_as_non_root: Some(true),
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        ..SecurityContext::default()
    }
}

fn sleep_first(seconds: u32) -> Lifecycle {
    let sleep = SleepAction { seconds: seconds.into() };
    let handler = LifecycleHandler { sleep: Some(sleep), ..LifecycleHandler::default() };
    Lifecycle { pre_stop: Some(handler), ..Lifecycle::default() }
}

/// Who the pod is, what the installation adds, and what ProxyConfigs say instead.
fn environment(name: &Name, template: &WaypointTemplate, said: BTreeMap<String, String>) -> Vec<EnvVar> {
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
    let mut given = template.env.clone();
    given.extend(said);
    given.entry("GATEWAY_NAME".to_owned()).or_insert_with(|| name.name.to_string());
    if let Some(grace) = template.termination_grace_period_seconds {
        // What the farewell leaves of it.
        let left = grace - farewell(template).unwrap_or_default();
        given.entry("TERMINATION_GRACE_PERIOD_SECONDS".to_owned()).or_insert_with(|| left.to_string());
    }
    let given = given.into_iter().map(|(name, value)| EnvVar { name, value: Some(value), value_from: None });
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
