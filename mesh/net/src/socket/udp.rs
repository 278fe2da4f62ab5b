//! UDP sockets: one that takes datagrams at an address, one that speaks to a single peer.
//! Neither is on any runtime yet, so both can be made inside a network namespace.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use socket2::Protocol;

use super::{SocketOptions, open};

/// Takes datagrams at `address`, not blocking. An unspecified IPv6 address also takes IPv4.
///
/// With shared ports the kernel gives each sender's datagrams to one of the sockets.
pub fn bind_udp(address: SocketAddr, options: &SocketOptions) -> io::Result<UdpSocket> {
    let socket = open(address, Protocol::UDP, options)?;
    socket.set_reuse_port(options.reuse_port)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Speaks to `peer` from a random port of the kernel's choice, not blocking. Datagrams of
/// anybody else are not received, and a peer that is not there is an error of the next call.
pub fn connect_udp(peer: SocketAddr, options: &SocketOptions) -> io::Result<UdpSocket> {
    let socket = open(peer, Protocol::UDP, options)?;
    let any = match peer {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    socket.bind(&any.into())?;
    socket.connect(&peer.into())?;
    Ok(socket.into())
}
