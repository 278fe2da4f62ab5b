//! The node's rules as text for `nft`, one transaction.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::capture::rules::PROBE_SOURCES;

const TABLE: &str = "adit-host";
/// Before the rules of network plugins and of kube-proxy: the first that changes a source decides.
const PRIORITY: i32 = 95;
/// The user the kubelet runs as. Packets that are only forwarded have no user at all.
const KUBELET: u32 = 0;

/// The transaction that lets probes reach exactly `pods`.
pub fn ruleset(pods: &BTreeSet<IpAddr>) -> String {
    let mut lines = vec![
        format!("add table inet {TABLE}"),
        format!("delete table inet {TABLE}"),
        format!("add table inet {TABLE}"),
        format!("add chain inet {TABLE} postrouting {{ type nat hook postrouting priority {PRIORITY}; }}"),
    ];
    for ((family, source), (version, kind)) in
        PROBE_SOURCES.into_iter().zip([("v4", "ipv4_addr"), ("v6", "ipv6_addr")])
    {
        let set = format!("istio-inpod-probes-{version}");
        lines.push(format!("add set inet {TABLE} {set} {{ type {kind}; }}"));
        let elements: Vec<String> =
            pods.iter().filter(|ip| ip.is_ipv4() == (version == "v4")).map(IpAddr::to_string).collect();
        if !elements.is_empty() {
            lines.push(format!("add element inet {TABLE} {set} {{ {} }}", elements.join(", ")));
        }
        // The kubelet connects to pods themselves; what was meant for a Service is no probe.
        lines.push(format!(
            "add rule inet {TABLE} postrouting meta l4proto tcp meta skuid {KUBELET} ct status & dnat == 0 {family} daddr @{set} snat {family} to {source}"
        ));
    }
    lines.join("\n") + "\n"
}

/// The transaction that removes every rule of ours.
pub fn removal() -> String {
    format!("add table inet {TABLE}\ndelete table inet {TABLE}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cni_14_each_family_has_its_set_and_its_source() {
        let pods = ["10.244.1.2", "fd00::2", "10.244.1.3"].map(|ip| ip.parse().unwrap()).into();
        let rules = ruleset(&pods);
        assert!(rules.contains("istio-inpod-probes-v4 { 10.244.1.2, 10.244.1.3 }"), "{rules}");
        assert!(rules.contains("istio-inpod-probes-v6 { fd00::2 }"), "{rules}");
        assert!(rules.contains("snat ip to 169.254.7.127\n"), "{rules}");
        assert!(rules.contains("snat ip6 to fd16:9254:7127:1337:ffff:ffff:ffff:ffff\n"), "{rules}");
        assert!(!ruleset(&BTreeSet::new()).contains("add element"));
    }
}
