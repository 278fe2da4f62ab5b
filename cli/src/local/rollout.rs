//! Which pods to start and which to end: pods of a changed Deployment are replaced without a gap.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Pod;

/// A pod's namespace and name.
pub(super) type PodName = (String, String);

const TEMPLATE_HASH: &str = "pod-template-hash";

/// A pod that exists.
#[derive(Clone, Debug)]
pub(super) struct Existing {
    /// As it was asked for.
    pub(super) pod: Pod,
    pub(super) is_ready: bool,
    /// It has been told to end.
    pub(super) is_ending: bool,
}

/// What to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Steps {
    /// Pods to make.
    pub(super) start: Vec<PodName>,
    /// Pods to end.
    pub(super) end: Vec<PodName>,
}

pub(super) fn name_of(pod: &Pod) -> PodName {
    let metadata = &pod.metadata;
    let namespace = metadata.namespace.clone().filter(|namespace| !namespace.is_empty());
    (namespace.unwrap_or_else(|| "default".to_owned()), metadata.name.clone().unwrap_or_default())
}

/// The Deployment a pod is of: its ReplicaSet's name without the template's hash.
fn deployment_of(pod: &Pod) -> Option<(String, String)> {
    let hash = pod.metadata.labels.as_ref()?.get(TEMPLATE_HASH)?;
    let owners = pod.metadata.owner_references.as_deref().unwrap_or_default();
    let owner = owners.iter().find(|owner| owner.controller == Some(true))?;
    let name = owner.name.strip_suffix(hash.as_str())?.strip_suffix('-')?;
    Some((name_of(pod).0, name.to_owned()))
}

/// The steps from what exists to what is wanted. A pod whose name is taken by one that ends waits for
/// its end; a pod of an old template ends when all of the new one are ready.
pub(super) fn steps(wanted: &BTreeMap<PodName, Pod>, existing: &BTreeMap<PodName, Existing>) -> Steps {
    let mut steps = Steps::default();
    steps.start.extend(wanted.keys().filter(|name| !existing.contains_key(*name)).cloned());
    // Deployments whose new pods do not all take traffic yet.
    let is_ready = |name| existing.get(name).is_some_and(|pod| pod.is_ready && !pod.is_ending);
    let unready = wanted.iter().filter(|(name, _)| !is_ready(name));
    let rolling: BTreeSet<_> = unready.filter_map(|(_, pod)| deployment_of(pod)).collect();
    for (name, pod) in existing.iter().filter(|(_, pod)| !pod.is_ending) {
        let ends = match wanted.get(name) {
            Some(wanted) => wanted.spec != pod.pod.spec,
            None => deployment_of(&pod.pod).is_none_or(|deployment| !rolling.contains(&deployment)),
        };
        if ends {
            steps.end.push(name.clone());
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, hash: Option<&str>, image: &str) -> Pod {
        let mut value = json!({
            "metadata": { "name": name, "namespace": "prod" },
            "spec": { "containers": [{ "name": "c", "image": image }] },
        });
        if let Some(hash) = hash {
            let set = name.rsplit_once('-').unwrap().0;
            value["metadata"]["labels"] = json!({ TEMPLATE_HASH: hash });
            value["metadata"]["ownerReferences"] = json!([{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": set, "uid": "", "controller": true }]);
        }
        serde_json::from_value(value).unwrap()
    }

    fn wanted(pods: &[Pod]) -> BTreeMap<PodName, Pod> {
        pods.iter().map(|pod| (name_of(pod), pod.clone())).collect()
    }

    fn existing(pods: &[(&Pod, bool, bool)]) -> BTreeMap<PodName, Existing> {
        let exists = |&(pod, is_ready, is_ending): &(&Pod, bool, bool)| {
            (name_of(pod), Existing { pod: pod.clone(), is_ready, is_ending })
        };
        pods.iter().map(exists).collect()
    }

    fn names(steps: &Steps) -> (Vec<&str>, Vec<&str>) {
        let names =
            |list: &'_ [PodName]| -> Vec<String> { list.iter().map(|(_, name)| name.clone()).collect() };
        let leak = |list: Vec<String>| list.into_iter().map(|name| &*name.leak()).collect();
        (leak(names(&steps.start)), leak(names(&steps.end)))
    }

    #[test]
    fn old_pods_stay_until_all_new_ones_are_ready() {
        let old = [pod("web-aa-0", Some("aa"), "1"), pod("web-aa-1", Some("aa"), "1")];
        let new = [pod("web-bb-0", Some("bb"), "2"), pod("web-bb-1", Some("bb"), "2")];
        let mut now = existing(&[(&old[0], true, false), (&old[1], true, false)]);
        assert_eq!(names(&steps(&wanted(&new), &now)), (vec!["web-bb-0", "web-bb-1"], vec![]));
        now.extend(existing(&[(&new[0], true, false), (&new[1], false, false)]));
        assert_eq!(steps(&wanted(&new), &now), Steps::default());
        now.extend(existing(&[(&new[1], true, false)]));
        assert_eq!(names(&steps(&wanted(&new), &now)), (vec![], vec!["web-aa-0", "web-aa-1"]));
    }

    #[test]
    fn fewer_replicas_and_removed_deployments_end_pods_at_once() {
        let pods = [pod("web-aa-0", Some("aa"), "1"), pod("web-aa-1", Some("aa"), "1")];
        let now = existing(&[(&pods[0], true, false), (&pods[1], false, false)]);
        assert_eq!(names(&steps(&wanted(&pods[..1]), &now)), (vec![], vec!["web-aa-1"]));
        assert_eq!(names(&steps(&wanted(&[]), &now)), (vec![], vec!["web-aa-0", "web-aa-1"]));
    }

    #[test]
    fn a_changed_pod_is_made_again_after_its_end() {
        let (old, new) = (pod("web", None, "1"), pod("web", None, "2"));
        let running = existing(&[(&old, true, false)]);
        assert_eq!(names(&steps(&wanted(std::slice::from_ref(&new)), &running)), (vec![], vec!["web"]));
        let ending = existing(&[(&old, false, true)]);
        assert_eq!(steps(&wanted(std::slice::from_ref(&new)), &ending), Steps::default());
        assert_eq!(names(&steps(&wanted(&[new]), &existing(&[]))), (vec!["web"], vec![]));
    }
}
