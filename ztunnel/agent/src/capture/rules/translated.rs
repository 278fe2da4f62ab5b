//! Rules that redirect what begins to ztunnel's ports, by connection tracking, as other ambient meshes do.

use super::{BEGINS, PROBE_SOURCES, Settings};

pub(super) const TABLES: [&str; 3] = ["adit-raw", "adit-mangle", "adit-nat"];
/// Connection tracking may run raw rules before it, the routing decision is
/// made anew after mangle, addresses change in nat: hence three tables.
const CHAINS: [(&str, &str, i32); 3] =
    [("filter", "filter", -300), ("filter", "route", -150), ("nat", "nat", -100)];

const FROM_ZTUNNEL: &str = "meta mark & 0xfff == 0x539";
const NOT_FROM_ZTUNNEL: &str = "meta mark & 0xfff != 0x539";
const LOOPBACK: [&str; 2] = ["ip daddr != 127.0.0.1", "ip6 daddr != ::1"];

pub(super) fn ruleset(settings: &Settings) -> String {
    let mut lines = Vec::new();
    for (table, (prerouting, output, priority)) in TABLES.into_iter().zip(CHAINS) {
        lines.push(format!("add table inet {table}"));
        for (chain, kind) in [("prerouting", prerouting), ("output", output)] {
            lines.push(format!(
                "add chain inet {table} {chain} {{ type {kind} hook {chain} priority {priority}; }}"
            ));
        }
        lines.push(format!("flush table inet {table}"));
    }
    let mut rules = |chain: &str, rules: Vec<String>| {
        lines.extend(rules.iter().map(|rule| format!("add rule inet {chain} {rule}")));
    };
    if settings.dns {
        // ztunnel's own lookups and the pod's may share ports; apart they cannot be mistaken.
        rules("adit-raw prerouting", vec![format!("{NOT_FROM_ZTUNNEL} udp sport 53 ct zone set 1")]);
        rules("adit-raw output", vec![format!("{FROM_ZTUNNEL} udp dport 53 ct zone set 1")]);
    }
    // ztunnel connects to the pod with the client's address. The connection is
    // remembered, so that the answers are routed back to ztunnel.
    let remember = format!("{FROM_ZTUNNEL} ct mark set ct mark & 0xfffff000 | 0x111");
    let recall = "ct mark & 0xfff == 0x111 meta mark set meta mark & 0xfffff000 | 0x111";
    rules("adit-mangle prerouting", vec![remember]);
    rules("adit-mangle output", vec![recall.to_owned()]);
    if settings.inbound {
        rules("adit-nat prerouting", inbound());
    }
    rules("adit-nat output", outbound(settings.dns));
    lines.join("\n") + "\n"
}

fn inbound() -> Vec<String> {
    let probes =
        PROBE_SOURCES.map(|(family, source)| format!("meta l4proto tcp {family} saddr {source} accept"));
    let captured = LOOPBACK.map(|not_loopback| {
        format!("{not_loopback} tcp dport != 15008 {BEGINS} {NOT_FROM_ZTUNNEL} redirect to :15006")
    });
    probes.into_iter().chain(captured).collect()
}

fn outbound(dns: bool) -> Vec<String> {
    let mut rules = Vec::new();
    for (family, source) in PROBE_SOURCES {
        rules.push(format!("meta l4proto tcp {family} daddr {source} accept"));
    }
    if dns {
        rules.push(format!("oif != lo udp dport 53 {NOT_FROM_ZTUNNEL} redirect to :15053"));
        for not_loopback in LOOPBACK {
            rules.push(format!("{not_loopback} tcp dport 53 {BEGINS} {NOT_FROM_ZTUNNEL} redirect to :15053"));
        }
    }
    rules.push("meta l4proto tcp meta mark & 0xfff == 0x111 accept".to_owned());
    for not_loopback in LOOPBACK {
        rules.push(format!("oif lo {not_loopback} accept"));
    }
    for not_loopback in LOOPBACK {
        rules.push(format!("{not_loopback} {BEGINS} {NOT_FROM_ZTUNNEL} redirect to :15001"));
    }
    rules
}
