//! The parts of a cluster that are not ours: addresses for services, pods for Deployments, all of them ready.

use std::collections::BTreeMap;

use controller_translate::expand::{WaypointTemplate, expand};
use controller_translate::{Object, Settings};
use k8s_openapi::api::core::v1::{Pod, PodCondition, PodStatus, Service};

const MODE: &str = "istio.io/dataplane-mode";

/// What a cluster makes of these objects.
pub(crate) fn run(mut objects: Vec<Object>) -> Vec<Object> {
    objects.extend(expand(&objects, &Settings::default(), &WaypointTemplate::default()));
    let mut modes = BTreeMap::new();
    for object in &objects {
        if let (Object::Namespace(_), Some(labels)) = (object, &object.metadata().labels) {
            modes.insert(object.key().name.to_string(), labels.get(MODE).cloned());
        }
    }
    let (mut services, mut pods) = (0, 0);
    for object in &mut objects {
        let mode = modes.get(object.key().namespace.as_ref()).cloned().flatten();
        match object {
            Object::Service(service) => give_address(service, &mut services),
            Object::Pod(pod) => start(pod, mode, &mut pods),
            _ => {}
        }
    }
    objects
}

/// It belongs to a waypoint.
pub(crate) fn is_generated(object: &Object) -> bool {
    object.metadata().labels.iter().flatten().any(|(name, _)| name == "gateway.istio.io/managed")
}

fn give_address(service: &mut Service, count: &mut u8) {
    let spec = service.spec.get_or_insert_default();
    if spec.cluster_ip.is_none() && spec.type_.as_deref() != Some("ExternalName") {
        *count += 1;
        spec.cluster_ip = Some(format!("10.96.0.{count}"));
    }
}

fn start(pod: &mut Pod, mode_of_namespace: Option<String>, count: &mut u8) {
    if pod.status.is_some() {
        return;
    }
    *count += 1;
    pod.spec.get_or_insert_default().node_name.get_or_insert_with(|| "node-1".to_owned());
    let ready =
        PodCondition { type_: "Ready".to_owned(), status: "True".to_owned(), ..PodCondition::default() };
    pod.status = Some(PodStatus {
        phase: Some("Running".to_owned()),
        pod_ip: Some(format!("10.244.0.{count}")),
        conditions: Some(vec![ready]),
        ..PodStatus::default()
    });
    let own = pod.metadata.labels.as_ref().and_then(|labels| labels.get(MODE).cloned());
    if own.or(mode_of_namespace).as_deref() == Some("ambient") {
        let annotations = pod.metadata.annotations.get_or_insert_default();
        annotations.insert("ambient.istio.io/redirection".to_owned(), "enabled".to_owned());
    }
}
