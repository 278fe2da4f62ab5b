//! Finding pods of a running mesh by what people call them.

use std::fs;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::files::shown;
use super::mesh::Mesh;
use super::objects::read_value;

/// A pod, as the supervisor has written it down.
#[derive(Clone, Debug)]
pub(super) struct FoundPod {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) document: Value,
}

impl FoundPod {
    /// The names of its containers, those that initialise it last.
    pub(super) fn containers(&self) -> Vec<&str> {
        let spec = &self.document["spec"];
        let containers = [&spec["containers"], &spec["initContainers"]].map(Value::as_array);
        let containers = containers.into_iter().flatten().flatten();
        containers.filter_map(|container| container["name"].as_str()).collect()
    }

    /// The named container, or the first.
    pub(super) fn container(&self, name: Option<&str>) -> Result<&str> {
        let containers = self.containers();
        let found = match name {
            Some(name) => containers.iter().find(|container| **container == name),
            None => containers.first(),
        };
        found
            .copied()
            .with_context(|| format!("{} has no such container; it has {}", self.name, containers.join(", ")))
    }

    /// Whether it has a condition.
    pub(super) fn is(&self, condition: &str) -> bool {
        let conditions = self.document["status"]["conditions"].as_array();
        conditions.into_iter().flatten().any(|it| it["type"] == condition && it["status"] == "True")
    }

    /// It has been told to end.
    pub(super) fn is_ending(&self) -> bool {
        self.document["metadata"]["deletionTimestamp"].is_string()
    }
}

/// All pods, by namespace and name.
pub(super) fn pods(mesh: &Mesh) -> Result<Vec<FoundPod>> {
    let directory = mesh.runtime().join("pods");
    let mut pods = Vec::new();
    for entry in fs::read_dir(&directory).with_context(|| shown(&directory))? {
        let path = entry?.path();
        let is_whole = path.extension().is_some_and(|end| end == "yaml")
            && !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !is_whole {
            continue;
        }
        // One that has just gone is not there.
        let Ok(document) = read_value(&path) else { continue };
        let text = |field: &str| document["metadata"][field].as_str().unwrap_or_default().to_owned();
        let (namespace, name, uid) = (text("namespace"), text("name"), text("uid"));
        pods.push(FoundPod { namespace, name, uid, document });
    }
    pods.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    Ok(pods)
}

/// The pod people mean by `text`: its name, or the beginning of it (as with `deploy/NAME`), preferably one
/// that is ready.
pub(super) fn find_pod(mesh: &Mesh, text: &str, namespace: Option<&str>) -> Result<FoundPod> {
    choose(pods(mesh)?, text, namespace)
}

fn choose(pods: Vec<FoundPod>, text: &str, namespace: Option<&str>) -> Result<FoundPod> {
    let name = text.split_once('/').map_or(text, |(_, name)| name);
    let known: Vec<_> = pods.iter().map(|pod| format!("{}/{}", pod.namespace, pod.name)).collect();
    let is_meant = |pod: &FoundPod| {
        let is_there = namespace.is_none_or(|namespace| pod.namespace == namespace);
        let rest = pod.name.strip_prefix(name);
        is_there && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    let mut meant: Vec<_> = pods.into_iter().filter(is_meant).collect();
    meant.sort_by_key(|pod| (pod.name != name, pod.is_ending(), !pod.is("Ready")));
    let Some(first) = meant.first().cloned() else {
        bail!("there is no pod {text}; there are: {}", known.join(", "));
    };
    let elsewhere = meant.iter().find(|pod| pod.namespace != first.namespace);
    if let (Some(other), None) = (elsewhere, namespace) {
        bail!("{text} is in {} and in {}; say which with -n", first.namespace, other.namespace);
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(namespace: &str, name: &str, ready: &str) -> FoundPod {
        let document = json!({
            "spec": { "containers": [{ "name": "a" }, { "name": "b" }] },
            "status": { "conditions": [{ "type": "Ready", "status": ready }] },
        });
        FoundPod { namespace: namespace.into(), name: name.into(), uid: String::new(), document }
    }

    #[test]
    fn a_pod_is_found_by_name_or_beginning() {
        let pods = || {
            vec![
                pod("prod", "web-1", "False"),
                pod("prod", "web-2", "True"),
                pod("prod", "web", "False"),
                pod("prod", "webx", "True"),
                pod("dev", "api-1", "True"),
                pod("prod", "api-1", "True"),
            ]
        };
        assert_eq!(choose(pods(), "web", None).unwrap().name, "web");
        assert_eq!(choose(pods(), "web-1", None).unwrap().name, "web-1");
        let without_exact = || pods().into_iter().filter(|pod| pod.name != "web").collect();
        assert_eq!(choose(without_exact(), "deploy/web", None).unwrap().name, "web-2");
        assert!(choose(pods(), "db", None).unwrap_err().to_string().contains("prod/webx"));
        assert!(choose(pods(), "api", None).unwrap_err().to_string().contains("-n"));
        assert_eq!(choose(pods(), "api", Some("dev")).unwrap().namespace, "dev");
    }

    #[test]
    fn the_first_container_is_meant_unless_another_is_named() {
        let pod = pod("prod", "web", "True");
        assert_eq!(pod.container(None).unwrap(), "a");
        assert_eq!(pod.container(Some("b")).unwrap(), "b");
        assert!(pod.container(Some("c")).unwrap_err().to_string().contains("a, b"));
    }
}
