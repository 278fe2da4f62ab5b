//! Objects that follow from others: what a Gateway asks for, and the pods of a Deployment.
//!
//! In a cluster the controller applies the first and Kubernetes makes the second; where objects come from
//! files, whoever runs the pods asks here for both.

mod deployment;
mod waypoint;

use std::collections::BTreeMap;

pub use deployment::{MAX_REPLICAS, pods};
pub use waypoint::{
    GATEWAY_NAME_LABEL, Generated, MANAGED_LABEL, REVISION_ANNOTATION, Waypoint, WaypointTemplate, stays,
    waypoint, waypoints,
};

pub(crate) use waypoint::find_proxy_config_problems;

use crate::cluster::{Cluster, Settings};
use crate::objects::{Object, ObjectKey};

/// Everything that follows from these objects: what their Gateways ask for, and the pods of all Deployments.
/// An object that is among them already is left as it is.
pub fn expand(objects: &[Object], settings: &Settings, template: &WaypointTemplate) -> Vec<Object> {
    let mut cluster = Cluster::new(settings.clone());
    let asking =
        |it: &&Object| matches!(it, Object::Gateway(_) | Object::GatewayClass(_) | Object::ProxyConfig(_));
    objects.iter().filter(asking).cloned().for_each(|object| drop(cluster.apply(object)));
    let given: BTreeMap<ObjectKey, &Object> = objects.iter().map(|object| (object.key(), object)).collect();
    let names: Vec<_> = cluster.gateways.iter().map(|(name, _)| name.clone()).collect();
    let generated = names.iter().filter_map(|name| waypoint(&cluster, name, template));
    let mut made: Vec<Object> = generated.flat_map(Generated::into_objects).collect();
    made.retain(|object| !given.contains_key(&object.key()));
    let deployments = objects.iter().chain(&made).filter_map(|object| match object {
        Object::Deployment(deployment) => Some(deployment),
        _ => None,
    });
    let pods = deployments.flat_map(|it| pods(it)).map(|pod| Object::Pod(Box::new(pod)));
    let pods: Vec<Object> = pods.filter(|pod| !given.contains_key(&pod.key())).collect();
    made.extend(pods);
    made
}
