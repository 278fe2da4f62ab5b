//! Tests of `conflist`, with what real network plugins write.

use super::*;

const ENTRY: &str = r#"{"type":"adit-cni","runDir":"/var/run/adit-cni"}"#;

const KINDNET: &str = r#"
{
	"cniVersion": "0.3.1",
	"name": "kindnet",
	"plugins": [
	{
		"type": "ptp",
		"ipMasq": false,
		"ipam": {
			"type": "host-local",
			"dataDir": "/run/cni-ipam-state",
			"routes": [ { "dst": "0.0.0.0/0" } ],
			"ranges": [ [ { "subnet": "10.244.0.0/24" } ] ]
		},
		"mtu": 1500
	},
	{
		"type": "portmap",
		"capabilities": {
			"portMappings": true
		}
	}
	]
}
"#;

const CALICO: &str = r#"{
  "name": "k8s-pod-network",
  "cniVersion": "0.3.1",
  "plugins": [
    {
      "type": "calico",
      "log_level": "info",
      "datastore_type": "kubernetes",
      "nodename": "node-1",
      "ipam": { "type": "calico-ipam" },
      "policy": { "type": "k8s" },
      "kubernetes": { "kubeconfig": "/etc/cni/net.d/calico-kubeconfig" }
    },
    {
      "type": "portmap",
      "snat": true,
      "capabilities": {"portMappings": true}
    },
    {"type": "bandwidth", "capabilities": {"bandwidth": true}}
  ]
}"#;

const FLANNEL: &str = r#"{"name":"cbr0","cniVersion":"0.3.1","plugins":[{"type":"flannel","delegate":{"hairpinMode":true,"isDefaultGateway":true}},{"type":"portmap","capabilities":{"portMappings":true}}]}"#;

const CILIUM: &str = r#"
{
  "cniVersion": "0.3.1",
  "name": "cilium",
  "plugins": [
    {
       "type": "cilium-cni",
       "enable-debug": false,
       "log-file": "/var/run/cilium/cilium-cni.log"
    }
  ]
}
"#;

const PTP: &str = r#"{"cniVersion": "0.4.0", "name": "adit-e2e",
 "plugins": [{"type": "ptp", "mtu": 1500}, {"type": "portmap", "plugins": ["] }"]}], "disableCheck": true}
"#;

fn types(list: &str) -> Vec<String> {
    plugins(list).unwrap().iter().map(|it| serde_json::from_str::<Typed>(it.get()).unwrap().kind).collect()
}

#[test]
fn cni_01_the_plugin_comes_last_and_goes_without_a_trace() {
    for list in [KINDNET, CALICO, FLANNEL, CILIUM, PTP] {
        let chained = chain(list, ENTRY).unwrap();
        let (before, after) = (types(list), types(&chained));
        assert_eq!(after.split_last().unwrap(), (&PLUGIN.to_owned(), &before[..]), "{chained}");
        assert!(is_chained(&chained) && !is_chained(list));
        assert_eq!(chain(&chained, ENTRY).unwrap(), chained, "once is enough");
        assert_eq!(unchain(&chained).unwrap(), list, "byte for byte");
        assert_eq!(unchain(list).unwrap(), list);
    }
}

#[test]
fn an_entry_that_says_something_else_or_is_not_last_is_replaced() {
    let old = chain(CALICO, r#"{"type":"adit-cni","runDir":"/elsewhere"}"#).unwrap();
    assert_eq!(chain(&old, ENTRY).unwrap(), chain(CALICO, ENTRY).unwrap());
    let first = r#"{"name":"a","plugins":[{"type":"adit-cni"}, {"type":"b"},{"type":"adit-cni"}]}"#;
    let chained = chain(first, ENTRY).unwrap();
    assert_eq!(types(&chained), ["b", "adit-cni"]);
    assert_eq!(unchain(first).unwrap(), r#"{"name":"a","plugins":[{"type":"b"}]}"#);
}

#[test]
fn a_single_plugin_is_wrapped_into_a_list() {
    let conf = r#"{"cniVersion":"1.0.0","name":"mine","type":"bridge"}"#;
    let list = wrap(conf).unwrap();
    assert_eq!(types(&chain(&list, ENTRY).unwrap()), ["bridge", "adit-cni"]);
    let parsed: serde_json::Value = serde_json::from_str(&list).unwrap();
    assert_eq!(
        (parsed["name"].as_str(), parsed["cniVersion"].as_str()),
        (Some("k8s-pod-network"), Some("1.0.0"))
    );
    assert!(wrap(r#"{"name":"without a type"}"#).is_err());
}

#[test]
fn what_is_no_network_configuration_is_refused() {
    for text in ["", "{", "[]", r#"{"name":"a"}"#, r#"{"plugins":{}}"#] {
        assert!(matches!(chain(text, ENTRY), Err(Unusable::Malformed(_))), "{text}");
    }
    assert_eq!(chain(r#"{"plugins":[]}"#, ENTRY), Err(Unusable::Empty));
    assert_eq!(chain(r#"{"plugins":[{"type":"adit-cni"}]}"#, ENTRY), Err(Unusable::Empty));
}
