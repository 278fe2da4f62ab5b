//! Tests of `capture::rules`.

use super::*;

const EVERYTHING: &str = "\
add table inet adit-steering
delete table inet adit-steering
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
    without(EVERYTHING, parts)
}

fn without(rules: &str, parts: &[&str]) -> String {
    let kept = rules.lines().filter(|line| !parts.iter().any(|part| line.contains(part)));
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
    let removal = removal();
    for rules in [EVERYTHING, STEERED] {
        for table in rules.lines().filter_map(|line| line.strip_prefix("add chain ")) {
            let table = table.split(' ').take(2).collect::<Vec<_>>().join(" ");
            let gone = format!("add table {table}\ndelete table {table}\n");
            assert!(removal.contains(&gone), "{table} is not removed by\n{removal}");
        }
    }
}

const STEERED: &str = "\
add table inet adit-raw
delete table inet adit-raw
add table inet adit-mangle
delete table inet adit-mangle
add table inet adit-nat
delete table inet adit-nat
add table inet adit-steering
add chain inet adit-steering prerouting { type filter hook prerouting priority -150; }
add chain inet adit-steering output { type filter hook output priority -150; }
flush table inet adit-steering
add rule inet adit-steering prerouting iif != lo udp sport 53 meta mark set 0x539 accept
add rule inet adit-steering prerouting iif != lo meta l4proto != tcp accept
add rule inet adit-steering prerouting iif != lo meta mark set 0x539
add rule inet adit-steering prerouting iif != lo tcp dport 15008 accept
add rule inet adit-steering prerouting iif != lo tcp sport 15008 tcp flags & (syn | ack) != syn accept
add rule inet adit-steering prerouting iif != lo ip saddr 169.254.7.127 accept
add rule inet adit-steering prerouting iif != lo ip6 saddr fd16:9254:7127:1337:ffff:ffff:ffff:ffff accept
add rule inet adit-steering prerouting iif != lo tcp flags & (syn | ack) == syn ip daddr set ip daddr ^ 144.0.0.0 meta mark set 0x1539 tproxy ip to :15006 accept
add rule inet adit-steering prerouting iif != lo meta nfproto ipv4 tcp flags & (syn | ack) == syn drop
add rule inet adit-steering prerouting iif != lo ip daddr set ip daddr ^ 144.0.0.0 socket transparent 1 meta mark set 0x1539 accept
add rule inet adit-steering prerouting iif != lo ip daddr set ip daddr ^ 144.0.0.0 accept
add rule inet adit-steering prerouting iif != lo tcp flags & (syn | ack) == syn ip6 daddr set ip6 daddr ^ 9000:: meta mark set 0x1539 tproxy ip6 to :15006 accept
add rule inet adit-steering prerouting iif != lo meta nfproto ipv6 tcp flags & (syn | ack) == syn drop
add rule inet adit-steering prerouting iif != lo ip6 daddr set ip6 daddr ^ 9000:: socket transparent 1 meta mark set 0x1539 accept
add rule inet adit-steering prerouting iif != lo ip6 daddr set ip6 daddr ^ 9000:: accept
add rule inet adit-steering prerouting iif != lo accept
add rule inet adit-steering prerouting meta l4proto tcp meta mark & 0xfff == 0x539 meta mark set meta mark & 0xfffff000 | 0x111 accept
add rule inet adit-steering prerouting tcp flags & (syn | ack) != syn accept
add rule inet adit-steering prerouting udp dport 53 meta mark & 0xfff != 0x539 meta mark set 0x539 fib daddr . mark type != local tproxy to :15053 accept
add rule inet adit-steering prerouting tcp dport 53 tcp flags & (syn | ack) == syn meta mark set 0x539 fib daddr . mark type != local tproxy to :15053 accept
add rule inet adit-steering prerouting tcp flags & (syn | ack) == syn meta mark set 0x539 fib daddr . mark type != local tproxy to :15001 accept
add rule inet adit-steering output oif lo accept
add rule inet adit-steering output meta mark & 0x1fff == 0x1539 ip saddr set ip saddr ^ 144.0.0.0
add rule inet adit-steering output meta mark & 0x1fff == 0x1539 ip6 saddr set ip6 saddr ^ 9000::
add rule inet adit-steering output meta mark & 0xfff != 0x539 tcp flags & (syn | ack) == syn reject with tcp reset
";

#[test]
fn cni_13_the_rules_of_a_steered_pod_track_nothing() {
    assert_eq!(ruleset(&Settings { inbound: true, dns: true }, Way::Steered), STEERED);
    assert!(!STEERED.contains("redirect") && !STEERED.contains(" ct "));
}

#[test]
fn cni_15_a_steered_pod_keeps_what_is_not_captured() {
    let without_dns = without(STEERED, &["15053"]);
    assert_eq!(ruleset(&Settings { inbound: true, dns: false }, Way::Steered), without_dns);
    let bypassed = without(STEERED, &["sport 15008", "saddr", "daddr set", " drop"]);
    assert_eq!(ruleset(&Settings { inbound: false, dns: true }, Way::Steered), bypassed);
}

/// What rules exchange is what ztunnel exchanges back.
#[test]
fn cap_16_what_stands_for_an_address_is_what_ztunnel_takes_it_for() {
    use mesh_net::addr::aside;
    for (nothing, mask) in [("0.0.0.0", "144.0.0.0"), ("::", "9000::")] {
        assert_eq!(aside(nothing.parse().unwrap()).to_string(), mask);
        assert!(STEERED.contains(&format!(" ^ {mask}")));
    }
}
