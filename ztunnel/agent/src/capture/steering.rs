//! Whether a pod can be steered, and with which addresses.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use mesh_net::namespace::Namespace;
use tracing::{debug, info};

use super::{connections, sysctl};

/// Of documentation (RFC 5737, RFC 3849): nothing is ever sent there.
const ANYWHERE: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), 9),
];

/// What a pod's own connections come from; none of a family the pod has no way out by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sources {
    pub(super) v4: Option<Ipv4Addr>,
    pub(super) v6: Option<Ipv6Addr>,
}

/// Prepares the namespace for being steered. None if that cannot be: the pod has connections that
/// it would cut, or the kernel or its keeper do not let us. `steered` is what it is already.
pub(super) fn prepare(namespace: &Namespace, steered: bool) -> Option<Sources> {
    match connections::has_connections(namespace) {
        Ok(false) => {}
        // They came by the routes that are there.
        _ if steered => {}
        Ok(true) => {
            debug!("a pod has connections: its new ones are captured by translation");
            return None;
        }
        Err(error) => return refuse(&error),
    }
    let sources = match namespace.run(|| Ok(sources())) {
        Ok(Sources { v4: None, v6: None }) => return None,
        Ok(sources) => sources,
        Err(error) => return refuse(&error),
    };
    match sysctl::switch_on(namespace) {
        Ok(()) => Some(sources),
        Err(error) => refuse(&error),
    }
}

fn refuse<T>(error: &io::Error) -> Option<T> {
    info!("a pod cannot be steered, and is captured by translation: {error}");
    None
}

/// The addresses the kernel would choose. A connected datagram socket has one without having sent anything.
fn sources() -> Sources {
    let found = ANYWHERE.map(|anywhere| {
        let unspecified: IpAddr =
            if anywhere.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind(SocketAddr::new(unspecified, 0)).ok()?;
        socket.connect(anywhere).ok()?;
        socket.local_addr().ok().map(|address| address.ip())
    });
    let mut sources = Sources { v4: None, v6: None };
    for ip in found.into_iter().flatten() {
        match ip {
            IpAddr::V4(ip) => sources.v4 = Some(ip),
            IpAddr::V6(ip) => sources.v6 = Some(ip),
        }
    }
    sources
}
