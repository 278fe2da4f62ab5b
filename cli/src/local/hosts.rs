//! The `/etc/hosts` of a pod: every service by the names that resolve in its namespace.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

/// What service names end in.
pub(super) const DOMAIN: &str = "svc.cluster.local";

/// A service by name; a headless one has the addresses of its pods.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Named {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) addresses: Vec<Ipv4Addr>,
}

/// The file's text for one pod. A service of the pod's own namespace has a short name too.
pub(super) fn text(
    namespace: &str,
    pod: &str,
    address: Ipv4Addr,
    aliases: &[(IpAddr, Vec<String>)],
    services: &[Named],
) -> String {
    let mut text = String::from("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n");
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{address} {pod}");
    for (address, names) in aliases {
        let _ = writeln!(text, "{address} {}", names.join(" "));
    }
    for service in services {
        let Named { namespace: home, name, .. } = service;
        let short = if home == namespace { format!(" {name}") } else { String::new() };
        for address in &service.addresses {
            let _ = writeln!(text, "{address} {name}.{home}.{DOMAIN} {name}.{home}.svc {name}.{home}{short}");
        }
    }
    text
}

/// The `/etc/resolv.conf` of a pod. Its node stands in it as the server: captured pods are answered by ztunnel, and where nobody
/// has captured the question the node refuses it at once, whereas the machine's own server would be waited for in vain.
pub(super) fn resolver(namespace: &str, node: Ipv4Addr) -> String {
    format!("nameserver {node}\nsearch {namespace}.{DOMAIN} {DOMAIN} cluster.local\noptions ndots:5\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_have_short_names_at_home_only() {
        let service = |namespace: &str, name: &str, addresses: &[[u8; 4]]| Named {
            namespace: namespace.into(),
            name: name.into(),
            addresses: addresses.iter().copied().map(Ipv4Addr::from).collect(),
        };
        let services = [
            service("prod", "reviews", &[[10, 96, 1, 1]]),
            service("legacy", "db", &[[10, 244, 1, 3], [10, 244, 1, 4]]),
            service("prod", "empty", &[]),
        ];
        let alias = ("1.2.3.4".parse().unwrap(), vec!["x".to_owned(), "y".to_owned()]);
        let text = text("prod", "web-1", Ipv4Addr::new(10, 244, 1, 2), &[alias], &services);
        assert_eq!(
            text,
            "127.0.0.1 localhost\n\
             ::1 localhost ip6-localhost ip6-loopback\n\
             10.244.1.2 web-1\n\
             1.2.3.4 x y\n\
             10.96.1.1 reviews.prod.svc.cluster.local reviews.prod.svc reviews.prod reviews\n\
             10.244.1.3 db.legacy.svc.cluster.local db.legacy.svc db.legacy\n\
             10.244.1.4 db.legacy.svc.cluster.local db.legacy.svc db.legacy\n"
        );
    }
}
