//! The name servers of ztunnel's own `resolv.conf`. Its search list is not used: it is that of
//! ztunnel's namespace, and pods have their own (DNS-18).

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use tracing::warn;

const PORT: u16 = 53;
/// As many as other resolvers look at.
const MOST_SERVERS: usize = 3;

/// The servers; without a file there are none, which only harms names from outside the mesh.
pub(crate) fn name_servers(path: &Path) -> Vec<SocketAddr> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text),
        Err(error) => {
            let path = path.display();
            warn!(%path, %error, "no name servers are known, names from outside the mesh will not resolve");
            Vec::new()
        }
    }
}

fn parse(text: &str) -> Vec<SocketAddr> {
    let named = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()).flatten()
    });
    let mut servers: Vec<SocketAddr> = Vec::new();
    for word in named {
        match word.parse::<IpAddr>() {
            // Inside the pod this is the pod.
            Ok(ip) if ip.is_loopback() || ip.is_unspecified() => {
                warn!(%ip, "a name server on the loopback address cannot be reached from pods, it is left out");
            }
            Ok(ip) if servers.len() < MOST_SERVERS => servers.push(SocketAddr::new(ip, PORT)),
            Ok(_) => {}
            Err(_) => warn!(name_server = word, "a name server that is no address is left out"),
        }
    }
    servers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_read_as_other_resolvers_do() {
        let text = "# made by hand\nsearch istio-system.svc.cluster.local\n\nnameserver 10.96.0.10\n\
                    nameserver\tfd00::a # the second\noptions ndots:5\n; nameserver 10.0.0.9\nnameserver\n";
        let expected: [SocketAddr; 2] = ["10.96.0.10:53".parse().unwrap(), "[fd00::a]:53".parse().unwrap()];
        assert_eq!(parse(text), expected);
    }

    #[test]
    fn what_cannot_be_asked_from_a_pod_is_left_out() {
        let text = "nameserver 127.0.0.53\nnameserver ::1\nnameserver fe80::1%eth0\nnameserver here\n\
                    nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n";
        let servers: Vec<_> = parse(text).iter().map(|server| server.ip().to_string()).collect();
        assert_eq!(servers, ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    }

    #[test]
    fn without_a_file_there_are_none() {
        assert!(name_servers(Path::new("/does/not/exist")).is_empty());
    }
}
