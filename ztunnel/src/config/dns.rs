//! How the pods' names are answered (wire.md §7 and §10).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use mesh_runtime::env::InvalidEnv;
use serde::Serialize;

use super::variables::{Variables, invalid};
use crate::ports;

const ADDRESS: &str = "DNS_PROXY_ADDR";

/// How the pods' names are answered.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dns {
    /// Where in each pod; nowhere when it is off (DNS-01).
    pub listen: Vec<SocketAddr>,
    /// What the names of the cluster's services end in.
    pub cluster_domain: String,
    /// The file that names the servers for everything else.
    pub resolv_conf: PathBuf,
}

impl Dns {
    pub(super) fn read(variables: &Variables, ipv6: bool) -> Result<Self, InvalidEnv> {
        let default = format!("localhost:{}", ports::DNS);
        let listen = addresses(&variables.text(ADDRESS, &default), ipv6)?;
        let captured = variables.boolean("DNS_CAPTURE", true)?;
        Ok(Dns {
            listen: if captured { listen } else { Vec::new() },
            cluster_domain: variables.text("CLUSTER_DOMAIN", "cluster.local"),
            resolv_conf: variables.text("DNS_RESOLV_CONF", "/etc/resolv.conf").into(),
        })
    }
}

/// `localhost` is both of its addresses.
fn addresses(text: &str, ipv6: bool) -> Result<Vec<SocketAddr>, InvalidEnv> {
    let wrong = || {
        let port = ports::DNS;
        invalid(ADDRESS, text, format!("an address and a port, such as 127.0.0.1:{port} or localhost:{port}"))
    };
    match text.strip_prefix("localhost:") {
        Some(port) => {
            let port: u16 = port.parse().map_err(|_| wrong())?;
            let both: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            let used = both.into_iter().filter(|ip| ip.is_ipv4() || ipv6);
            Ok(used.map(|ip| SocketAddr::new(ip, port)).collect())
        }
        None => Ok(vec![text.parse().map_err(|_| wrong())?]),
    }
}
