//! The rules of one pod's network namespace as text for `nft`, from settings alone.
//!
//! The text is one transaction: either all of it takes effect or nothing does,
//! and packets see the old rules or the new ones, never a part.

/// How one pod is captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Take over plaintext connections to the pod.
    pub inbound: bool,
    /// Take over the pod's name lookups.
    pub dns: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { inbound: true, dns: true }
    }
}

/// How a pod's own connections come to ztunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By routes and marks: nothing of the mesh's traffic is tracked but plain connections to
    /// the pod. What the routes do not take (a socket bound to an interface) is still
    /// translated, so that nothing gets past ztunnel.
    Steered,
    /// By translated addresses, which needs connection tracking and takes new connections only.
    Translated,
}

/// Connection tracking may run raw rules before it, the routing decision is
/// made anew after mangle, addresses change in nat: hence three tables.
const TABLES: [(&str, &str, &str, i32); 3] = [
    ("adit-raw", "filter", "filter", -300),
    ("adit-mangle", "filter", "route", -150),
    ("adit-nat", "nat", "nat", -100),
];

const FROM_ZTUNNEL: &str = "meta mark & 0xfff == 0x539";
const NOT_FROM_ZTUNNEL: &str = "meta mark & 0xfff != 0x539";
/// Only what begins is taken over: connections from before capture stay as they are, which
/// connection tracking, that begins with the rules, would take for new ones.
const BEGINS: &str = "tcp flags & (syn | ack) == syn";
const LOOPBACK: [&str; 2] = ["ip daddr != 127.0.0.1", "ip6 daddr != ::1"];
/// The node's probes come from these, and pass a pod that takes nothing else.
pub(crate) const PROBE_SOURCES: [(&str, &str); 2] =
    [("ip", "169.254.7.127"), ("ip6", "fd16:9254:7127:1337:ffff:ffff:ffff:ffff")];

/// The transaction that puts exactly these rules in place, whatever was there of ours before.
pub fn ruleset(settings: &Settings, way: Way) -> String {
    let mut lines = Vec::new();
    for (table, prerouting, output, priority) in TABLES {
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
    match way {
        Way::Steered => {
            rules("adit-raw prerouting", untracked("iif").into());
            let loopback = untracked_loopback(settings.dns);
            rules("adit-raw output", untracked("oif").into_iter().chain(loopback).collect());
            rules("adit-mangle prerouting", steering(settings.dns));
        }
        Way::Translated => {
            // ztunnel connects to the pod with the client's address. The connection is
            // remembered, so that the answers are routed back to ztunnel.
            let remember = format!("{FROM_ZTUNNEL} ct mark set ct mark & 0xfffff000 | 0x111");
            let recall = "ct mark & 0xfff == 0x111 meta mark set meta mark & 0xfffff000 | 0x111";
            rules("adit-mangle prerouting", vec![remember]);
            rules("adit-mangle output", vec![recall.to_owned()]);
        }
    }
    if settings.inbound {
        rules("adit-nat prerouting", inbound(way));
    }
    rules("adit-nat output", outbound(settings.dns));
    lines.join("\n") + "\n"
}

/// The transaction that removes every rule of ours; nothing to remove is no failure.
pub fn removal() -> String {
    TABLES.map(|(table, ..)| format!("add table inet {table}\ndelete table inet {table}\n")).concat()
}

/// Tunnels are ztunnel's on both ends: there is nothing to track.
fn untracked(direction: &str) -> [String; 2] {
    ["dport", "sport"].map(|port| format!("{direction} != lo tcp {port} 15008 notrack"))
}

/// What is steered goes over loopback, and so does what ztunnel has for the pod. What was
/// translated comes back from the ports it was translated to.
fn untracked_loopback(dns: bool) -> [String; 2] {
    let translated = if dns { "{ 15001, 15053 }" } else { "15001" };
    ["ip daddr != 127.0.0.0/8", "ip6 daddr != ::1"]
        .map(|not_loopback| format!("oif lo {not_loopback} tcp sport != {translated} notrack"))
}

/// A socket that accepts a connection takes the mark of its first packet (tcp_fwmark_accept),
/// and with it the way of its answers.
fn steering(dns: bool) -> Vec<String> {
    // With ztunnel's mark the kernel tells what would be local without steering.
    let begins = format!("{BEGINS} meta mark set 0x539 fib daddr . mark type != local");
    let mut rules = vec![
        // From outside: answered as ztunnel answers, not captured.
        "iif != lo meta l4proto tcp meta mark set 0x539 accept".to_owned(),
        // From ztunnel, with the address of its client: answered to ztunnel.
        format!("meta l4proto tcp {FROM_ZTUNNEL} meta mark set meta mark & 0xfffff000 | 0x111 accept"),
    ];
    if dns {
        rules.push(format!("tcp dport 53 {begins} tproxy to :15053 accept"));
    }
    rules.push(format!("{begins} tproxy to :15001 accept"));
    rules
}

fn inbound(way: Way) -> Vec<String> {
    // Steering marks what comes from outside; ztunnel's comes over loopback.
    let from_outside = match way {
        Way::Steered => "iif != lo",
        Way::Translated => NOT_FROM_ZTUNNEL,
    };
    let probes =
        PROBE_SOURCES.map(|(family, source)| format!("meta l4proto tcp {family} saddr {source} accept"));
    let captured = LOOPBACK.map(|not_loopback| {
        format!("{not_loopback} tcp dport != 15008 {BEGINS} {from_outside} redirect to :15006")
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

#[cfg(test)]
mod tests;
