//! Whether a pod can be steered, and with which addresses.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use mesh_net::addr::aside;
use mesh_net::namespace::Namespace;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nametoindex};
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

/// What of a pod's network steering follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Network {
    pub(super) sources: Sources,
    /// The interfaces an application may bind a socket to, without the loopback one.
    pub(super) interfaces: Vec<u32>,
}

/// Prepares the namespace for being steered. None if that cannot be: the pod has connections that
/// it would cut, or the kernel or its keeper do not let us. `steered` is what it is already.
pub(super) fn prepare(namespace: &Namespace, steered: bool) -> Option<Network> {
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
    let looked = namespace.run(look).and_then(|network| {
        sysctl::switch_on(namespace)?;
        Ok(network)
    });
    match looked {
        Ok(network) => Some(network),
        Err(error) if steered => {
            info!("a steered pod could not be looked at again, and stays as it is: {error}");
            None
        }
        Err(error) => refuse(&error),
    }
}

/// Fails where steering would not do: an address that is not usable yet, or that nothing can stand for.
fn look() -> io::Result<Network> {
    let sources = sources();
    let mut interfaces = Vec::new();
    for address in getifaddrs()? {
        if address.flags.contains(InterfaceFlags::IFF_LOOPBACK) {
            continue;
        }
        let index = if_nametoindex(address.interface_name.as_str())?;
        if !interfaces.contains(&index) {
            interfaces.push(index);
        }
        let storage = address.address.as_ref();
        let v4 = storage.and_then(|found| found.as_sockaddr_in()).map(|found| IpAddr::V4(found.ip()));
        let v6 = || storage.and_then(|found| found.as_sockaddr_in6()).map(|found| IpAddr::V6(found.ip()));
        if let Some(ip) = v4.or_else(v6) {
            usable(ip, sources).map_err(|reason| io::Error::other(format!("its address {ip} {reason}")))?;
        }
    }
    match sources {
        Sources { v4: None, v6: None } => Err(io::Error::other("it has no way out")),
        sources => Ok(Network { sources, interfaces }),
    }
}

fn usable(ip: IpAddr, sources: Sources) -> Result<(), &'static str> {
    let (family, link_local) = match ip {
        IpAddr::V4(ip) => (sources.v4.is_some(), ip.is_link_local()),
        IpAddr::V6(ip) => (sources.v6.is_some(), ip.is_unicast_link_local()),
    };
    if !family && !link_local {
        return Err("is no source of connections yet");
    }
    let other = aside(ip);
    let nobodys = matches!(other, IpAddr::V4(v4) if v4.octets()[0] == 0 || v4.is_broadcast());
    if nobodys || other.is_multicast() || other.is_loopback() || other.is_unspecified() {
        return Err("has no other that could stand for it");
    }
    Ok(())
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
