//! Tests of `capture::rules`.

use super::*;

const EVERYTHING: &str = "\
add table inet adit-raw
add chain inet adit-raw prerouting { type filter hook prerouting priority -300; }
add chain inet adit-raw output { type filter hook output priority -300; }
flush table inet adit-raw
add table inet adit-mangle
add chain inet adit-mangle prerouting { type filter hook prerouting priority -150; }
add chain inet adit-mangle output { type route hook output priority -150; }
flush table inet adit-mangle
add table inet adit-nat
add chain inet adit-nat prerouting { type nat hook prerouting priority -100; }
add chain inet adit-nat output { type nat hook output priority -100; }
flush table inet adit-nat
add rule inet adit-raw prerouting meta mark & 0xfff != 0x539 udp sport 53 ct zone set 1
add rule inet adit-raw output meta mark & 0xfff == 0x539 udp dport 53 ct zone set 1
add rule inet adit-mangle prerouting meta mark & 0xfff == 0x539 ct mark set ct mark & 0xfffff000 | 0x111
add rule inet adit-mangle output ct mark & 0xfff == 0x111 meta mark set meta mark & 0xfffff000 | 0x111
add rule inet adit-nat prerouting meta l4proto tcp ip saddr 169.254.7.127 accept
add rule inet adit-nat prerouting meta l4proto tcp ip6 saddr fd16:9254:7127:1337:ffff:ffff:ffff:ffff accept
add rule inet adit-nat prerouting ip daddr != 127.0.0.1 tcp dport != 15008 tcp flags & (syn | ack) == syn meta mark & 0xfff != 0x539 redirect to :15006
add rule inet adit-nat prerouting ip6 daddr != ::1 tcp dport != 15008 tcp flags & (syn | ack) == syn meta mark & 0xfff != 0x539 redirect to :15006
add rule inet adit-nat output meta l4proto tcp ip daddr 169.254.7.127 accept
add rule inet adit-nat output meta l4proto tcp ip6 daddr fd16:9254:7127:1337:ffff:ffff:ffff:ffff accept
add rule inet adit-nat output oif != lo udp dport 53 meta mark & 0xfff != 0x539 redirect to :15053
add rule inet adit-nat output ip daddr != 127.0.0.1 tcp dport 53 tcp flags & (syn | ack) == syn meta mark & 0xfff != 0x539 redirect to :15053
add rule inet adit-nat output ip6 daddr != ::1 tcp dport 53 tcp flags & (syn | ack) == syn meta mark & 0xfff != 0x539 redirect to :15053
add rule inet adit-nat output meta l4proto tcp meta mark & 0xfff == 0x111 accept
add rule inet adit-nat output oif lo ip daddr != 127.0.0.1 accept
add rule inet adit-nat output oif lo ip6 daddr != ::1 accept
add rule inet adit-nat output ip daddr != 127.0.0.1 tcp flags & (syn | ack) == syn meta mark & 0xfff != 0x539 redirect to :15001
add rule inet adit-nat output ip6 daddr != ::1 tcp flags & (syn | ack) == syn meta mark & 0xfff != 0x539 redirect to :15001
";

/// The lines of the full ruleset without those that hold any of `parts`.
fn everything_but(parts: &[&str]) -> String {
    let kept = EVERYTHING.lines().filter(|line| !parts.iter().any(|part| line.contains(part)));
    kept.map(|line| format!("{line}\n")).collect()
}

#[test]
fn cni_13_the_whole_ruleset() {
    assert_eq!(ruleset(&Settings { inbound: true, dns: true }, Way::Translated), EVERYTHING);
}

#[test]
fn cni_15_without_dns_capture_nothing_is_about_dns() {
    let expected = everything_but(&["15053", "ct zone"]);
    assert_eq!(ruleset(&Settings { inbound: true, dns: false }, Way::Translated), expected);
}

#[test]
fn cni_15_with_inbound_bypassed_only_the_inbound_redirect_and_its_exemption_are_gone() {
    let expected = everything_but(&["15006", "saddr"]);
    assert_eq!(ruleset(&Settings { inbound: false, dns: true }, Way::Translated), expected);
}

#[test]
fn cni_19_removal_names_every_table() {
    let tables: Vec<_> = EVERYTHING.lines().filter_map(|line| line.strip_prefix("add table ")).collect();
    let expected: String =
        tables.iter().map(|table| format!("add table {table}\ndelete table {table}\n")).collect();
    assert_eq!(removal(), expected);
}

/// What is the same whatever the way; the rest of a steered pod's rules.
const STEERED: &str = "\
add rule inet adit-raw prerouting iif != lo tcp dport 15008 notrack
add rule inet adit-raw prerouting iif != lo tcp sport 15008 notrack
add rule inet adit-raw output oif != lo tcp dport 15008 notrack
add rule inet adit-raw output oif != lo tcp sport 15008 notrack
add rule inet adit-raw output oif lo ip daddr != 127.0.0.0/8 tcp sport != { 15001, 15053 } notrack
add rule inet adit-raw output oif lo ip6 daddr != ::1 tcp sport != { 15001, 15053 } notrack
add rule inet adit-mangle prerouting iif != lo meta l4proto tcp meta mark set 0x539 accept
add rule inet adit-mangle prerouting meta l4proto tcp meta mark & 0xfff == 0x539 meta mark set meta mark & 0xfffff000 | 0x111 accept
add rule inet adit-mangle prerouting tcp dport 53 tcp flags & (syn | ack) == syn meta mark set 0x539 fib daddr . mark type != local tproxy to :15053 accept
add rule inet adit-mangle prerouting tcp flags & (syn | ack) == syn meta mark set 0x539 fib daddr . mark type != local tproxy to :15001 accept
";

#[test]
fn cni_13_a_steered_pod_tracks_nothing_of_the_meshs_traffic() {
    let rules = ruleset(&Settings { inbound: true, dns: true }, Way::Steered);
    let common = everything_but(&["ct mark", "15006"]);
    let mut left: Vec<&str> = rules.lines().collect();
    for line in common.lines().chain(STEERED.lines()) {
        let found = left.iter().position(|other| *other == line);
        left.remove(found.unwrap_or_else(|| panic!("{line} is not among\n{rules}")));
    }
    // Comes over the wire, and not from ztunnel, whose packets have another mark here.
    let inbound = left.iter().filter(|line| line.contains("iif != lo redirect to :15006")).count();
    assert_eq!((inbound, left.len()), (2, 2), "{left:?}");
}
