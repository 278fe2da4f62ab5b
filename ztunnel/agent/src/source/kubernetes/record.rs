//! What of a pod object matters to the agent.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::pod::{PodRecord, Uid};

/// Labels and annotations with these beginnings are looked at; the others are not kept.
const OURS: [&str; 4] = ["istio.io/", "ambient.istio.io/", "sidecar.istio.io/", "adit.io/"];

/// One pod of the node, without what its namespace says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Nothing where the object has no UID, which the API server never sends.
    pub(crate) uid: Uid,
    pub(crate) record: PodRecord,
}

impl Facts {
    pub(crate) fn of(pod: &Pod) -> Self {
        let spec = pod.spec.as_ref();
        let status = pod.status.as_ref();
        let listed = status.and_then(|status| status.pod_ips.as_ref()).into_iter().flatten().map(|ip| &ip.ip);
        let mut ips: Vec<IpAddr> = listed.filter_map(|ip| ip.parse().ok()).collect();
        ips.sort();
        let phase = status.and_then(|status| status.phase.as_deref());
        let account = spec.and_then(|spec| spec.service_account_name.clone()).filter(|it| !it.is_empty());
        let uid = pod.uid().unwrap_or_default();
        let record = PodRecord {
            uid: uid.clone(),
            name: pod.name_any(),
            namespace: pod.namespace().unwrap_or_default(),
            service_account: account.unwrap_or_else(|| "default".to_owned()),
            netns: None,
            namespace_held: None,
            ips,
            labels: ours(pod.labels()),
            annotations: ours(pod.annotations()),
            namespace_labels: BTreeMap::new(),
            host_network: spec.and_then(|spec| spec.host_network).unwrap_or(false),
            finished: matches!(phase, Some("Succeeded" | "Failed")),
        };
        Self { uid, record }
    }
}

/// The labels of a namespace that matter.
pub(crate) fn namespace_labels(labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    ours(labels)
}

fn ours(all: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let kept = all.iter().filter(|(key, _)| OURS.iter().any(|beginning| key.starts_with(beginning)));
    kept.map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cni_16_a_pod_object_becomes_a_record() {
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {
                "uid": "u-1", "name": "web-0", "namespace": "shop",
                "labels": { "app": "web", "istio.io/dataplane-mode": "ambient" },
                "annotations": { "ambient.istio.io/redirection": "enabled", "large": "…" }
            },
            "spec": { "serviceAccountName": "web", "hostNetwork": true, "containers": [] },
            "status": { "phase": "Succeeded", "podIPs": [{ "ip": "fd00::2" }, { "ip": "10.244.1.2" }, { "ip": "?" }] }
        }))
        .unwrap();
        let Facts { uid, record } = Facts::of(&pod);
        assert_eq!((uid.as_str(), record.name.as_str(), record.namespace.as_str()), ("u-1", "web-0", "shop"));
        assert_eq!(record.service_account, "web");
        assert_eq!(record.labels.keys().collect::<Vec<_>>(), ["istio.io/dataplane-mode"]);
        assert_eq!(record.annotations.keys().collect::<Vec<_>>(), ["ambient.istio.io/redirection"]);
        assert_eq!(record.ips, ["10.244.1.2".parse::<IpAddr>().unwrap(), "fd00::2".parse().unwrap()]);
        assert!(record.host_network && record.finished);
        let empty = Facts::of(&Pod::default()).record;
        assert_eq!(
            (empty.service_account.as_str(), empty.host_network, empty.finished),
            ("default", false, false)
        );
    }
}
