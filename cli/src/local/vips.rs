//! The nftables rules of a node that send what is addressed to a service to one of its endpoints: what
//! kube-proxy does in a cluster. Captured pods do not need them, ztunnel resolves services for them.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::Ipv4Addr;

/// The table; a node's network namespace is ours alone, so the name needs no mesh.
const TABLE: &str = "adit-services";

/// The transport protocol of a service port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Transport {
    Tcp,
    Udp,
}

/// One port of one service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Vip {
    pub(super) address: Ipv4Addr,
    pub(super) transport: Transport,
    pub(super) port: u16,
    /// Where its ready pods listen.
    pub(super) endpoints: Vec<(Ipv4Addr, u16)>,
}

/// The whole ruleset, replacing the one before it in one transaction.
pub(super) fn ruleset(vips: &[Vip]) -> String {
    let mut rules = String::new();
    for Vip { address, transport, port, endpoints } in vips {
        let transport = match transport {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        };
        // Writing to a string cannot fail.
        let _ = match endpoints.as_slice() {
            [] => writeln!(rules, "    ip daddr {address} {transport} dport {port} reject"),
            [(ip, target)] => {
                writeln!(rules, "    ip daddr {address} {transport} dport {port} dnat to {ip}:{target}")
            }
            several => {
                let choices = several.iter().enumerate();
                let choices = choices.map(|(n, (ip, target))| format!("{n} : {ip} . {target}"));
                let choices = choices.collect::<Vec<_>>().join(", ");
                let count = several.len();
                writeln!(
                    rules,
                    "    ip daddr {address} {transport} dport {port} dnat ip to numgen random mod {count} map {{ {choices} }}"
                )
            }
        };
    }
    // A pod that reaches itself through its service would get an answer from itself, which its own
    // network takes for forged; it has to come from the node.
    let own: BTreeSet<Ipv4Addr> = vips.iter().flat_map(|vip| &vip.endpoints).map(|(ip, _)| *ip).collect();
    let mut hairpins = String::new();
    for ip in own {
        let _ = writeln!(hairpins, "    ip saddr {ip} ip daddr {ip} masquerade");
    }
    format!(
        "table ip {TABLE} {{}}\n\
         delete table ip {TABLE}\n\
         table ip {TABLE} {{\n  \
           chain services {{\n{rules}  }}\n  \
           chain prerouting {{\n    type nat hook prerouting priority -100; policy accept;\n    jump services\n  }}\n  \
           chain output {{\n    type nat hook output priority -100; policy accept;\n    jump services\n  }}\n  \
           chain postrouting {{\n    type nat hook postrouting priority 100; policy accept;\n{hairpins}  }}\n\
         }}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_rule_a_port() {
        let ip = |host| Ipv4Addr::new(10, 244, 1, host);
        let vip = |port, endpoints: &[(Ipv4Addr, u16)]| Vip {
            address: Ipv4Addr::new(10, 96, 1, 0),
            transport: Transport::Tcp,
            port,
            endpoints: endpoints.to_vec(),
        };
        let rules = ruleset(&[vip(80, &[(ip(2), 8080)]), vip(81, &[(ip(2), 81), (ip(3), 82)]), vip(82, &[])]);
        for line in [
            "ip daddr 10.96.1.0 tcp dport 80 dnat to 10.244.1.2:8080\n",
            "tcp dport 81 dnat ip to numgen random mod 2 map { 0 : 10.244.1.2 . 81, 1 : 10.244.1.3 . 82 }\n",
            "tcp dport 82 reject\n",
            "ip saddr 10.244.1.3 ip daddr 10.244.1.3 masquerade\n",
        ] {
            assert!(rules.contains(line), "{line} in\n{rules}");
        }
        assert!(ruleset(&[]).contains("chain services {\n  }"));
    }
}
