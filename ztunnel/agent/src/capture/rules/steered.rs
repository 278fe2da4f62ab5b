//! Rules for a pod whose traffic comes to ztunnel by routes: they mark packets, and give the beginning
//! of a connection to the listener that takes it (`tproxy`). Nothing is tracked; what a connection is, its
//! sockets know, which take the mark of their first packet (`tcp_fwmark_accept`).

use super::{BEGINS, PROBE_SOURCES, Settings};

pub(super) const TABLE: &str = "adit-steering";

const CONTINUES: &str = "tcp flags & (syn | ack) != syn";
/// With ztunnel's mark the kernel tells what would be local without steering.
const TO_OTHERS: &str = "meta mark set 0x539 fib daddr . mark type != local";
/// Exchanges an address of the pod for what stands for it, and that for the address; with what
/// ztunnel knows as `mesh_net::addr::aside`.
const ASIDE: [(&str, &str); 2] = [("ip", "144.0.0.0"), ("ip6", "9000::")];

pub(super) fn ruleset(settings: &Settings) -> String {
    let mut lines = vec![format!("add table inet {TABLE}")];
    for chain in ["prerouting", "output"] {
        lines.push(format!("add chain inet {TABLE} {chain} {{ type filter hook {chain} priority -150; }}"));
    }
    lines.push(format!("flush table inet {TABLE}"));
    let prerouting = from_outside(settings.inbound).into_iter().chain(from_the_pod(settings.dns));
    let output = leaving(settings.inbound);
    let chains =
        prerouting.map(|rule| ("prerouting", rule)).chain(output.into_iter().map(|rule| ("output", rule)));
    lines.extend(chains.map(|(chain, rule)| format!("add rule inet {TABLE} {chain} {rule}")));
    lines.join("\n") + "\n"
}

/// What comes from outside of the pod. Marked as ztunnel's is, so that its answer is not steered, and so
/// that the kernel, which looks for the way back to every sender, finds that way and not the steered one.
fn from_outside(inbound: bool) -> Vec<String> {
    let mut rules = vec![
        "iif != lo udp sport 53 meta mark set 0x539 accept".to_owned(),
        "iif != lo meta l4proto != tcp accept".to_owned(),
        "iif != lo meta mark set 0x539".to_owned(),
        "iif != lo tcp dport 15008 accept".to_owned(),
    ];
    if inbound {
        // Of tunnels the pod's ztunnel has opened: the bulk of what comes.
        rules.push(format!("iif != lo tcp sport 15008 {CONTINUES} accept"));
        rules.extend(
            PROBE_SOURCES.map(|(family, source)| format!("iif != lo {family} saddr {source} accept")),
        );
        rules.extend(ASIDE.iter().flat_map(|(family, mask)| plain(family, mask)));
    }
    rules.push("iif != lo accept".to_owned());
    rules
}

/// Plain connections of `family` to the pod: brought to the address that stands for the pod's, where
/// ztunnel takes them. Whatever else goes on is of a connection that ztunnel has there, or of one of the pod's own.
fn plain(family: &str, mask: &str) -> Vec<String> {
    let exchange = format!("{family} daddr set {family} daddr ^ {mask}");
    vec![
        format!("iif != lo {BEGINS} {exchange} meta mark set 0x1539 tproxy {family} to :15006 accept"),
        // Nobody listens: the client tries again, and meanwhile ztunnel may have come back.
        format!("iif != lo meta nfproto {} {BEGINS} drop", if family == "ip" { "ipv4" } else { "ipv6" }),
        format!("iif != lo {exchange} socket transparent 1 meta mark set 0x1539 accept"),
        format!("iif != lo {exchange} accept"),
    ]
}

/// What goes over the pod's loopback interface: from ztunnel, with the address of its client, and
/// answered to ztunnel; or brought there by the steering routes, unless it would have stayed anyway.
fn from_the_pod(dns: bool) -> Vec<String> {
    let mut rules = vec![
        "meta l4proto tcp meta mark & 0xfff == 0x539 meta mark set meta mark & 0xfffff000 | 0x111 accept"
            .to_owned(),
        format!("{CONTINUES} accept"),
    ];
    if dns {
        rules.push(format!("udp dport 53 meta mark & 0xfff != 0x539 {TO_OTHERS} tproxy to :15053 accept"));
        rules.push(format!("tcp dport 53 {BEGINS} {TO_OTHERS} tproxy to :15053 accept"));
    }
    rules.push(format!("{BEGINS} {TO_OTHERS} tproxy to :15001 accept"));
    rules
}

/// What leaves the pod. ztunnel's answers to plain connections do as from the pod.
fn leaving(inbound: bool) -> Vec<String> {
    let exchange =
        |(family, mask)| format!("meta mark & 0x1fff == 0x1539 {family} saddr set {family} saddr ^ {mask}");
    let mut rules = vec!["oif lo accept".to_owned()];
    if inbound {
        rules.extend(ASIDE.map(exchange));
    }
    // The routes take no socket that is bound to an interface which came after them, and no family in
    // which the pod had no address then.
    rules.push(format!("meta mark & 0xfff != 0x539 {BEGINS} reject with tcp reset"));
    rules
}
