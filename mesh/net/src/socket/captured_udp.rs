//! Datagrams that capture took on their way to somewhere else: read with the address they were sent
//! to, which is where an answer has to come from.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;

use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrStorage, recvmsg, setsockopt, sockopt,
};
use socket2::{Protocol, SockRef};
use tokio::io::Interest;

use super::{SocketOptions, allow_foreign_address, bind_udp, open};
use crate::addr::canonical;

/// Takes captured datagrams at one address.
#[derive(Debug)]
pub struct CapturedUdp {
    socket: tokio::net::UdpSocket,
    local: SocketAddr,
}

/// Who sent a datagram, and where to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The sender.
    pub from: SocketAddr,
    /// Whom it was meant for.
    pub to: SocketAddr,
}

impl CapturedUdp {
    /// Opens the socket inside the namespace that this thread is in. It is of no runtime yet.
    pub fn bind(address: SocketAddr, options: &SocketOptions) -> io::Result<UdpSocket> {
        let socket = bind_udp(address, options)?;
        allow_foreign_address(&SockRef::from(&socket), address, options.transparent)?;
        match address {
            SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4OrigDstAddr, &true)?,
            SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6OrigDstAddr, &true)?,
        }
        Ok(socket)
    }

    /// Puts a socket of [`CapturedUdp::bind`] on the runtime that this runs on.
    pub fn from_std(socket: UdpSocket) -> io::Result<Self> {
        let local = socket.local_addr()?;
        Ok(CapturedUdp { socket: tokio::net::UdpSocket::from_std(socket)?, local })
    }

    /// Waits for a datagram; what does not fit into `buffer` is lost.
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Sent)> {
        self.socket.async_io(Interest::READABLE, || self.try_receive(buffer)).await
    }

    fn try_receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Sent)> {
        let mut control = nix::cmsg_space!(SockaddrIn6);
        let mut parts = [IoSliceMut::new(buffer)];
        let descriptor = self.socket.as_raw_fd();
        let message =
            recvmsg::<SockaddrStorage>(descriptor, &mut parts, Some(&mut control), MsgFlags::empty())?;
        let from = message.address.as_ref().and_then(to_std).ok_or(io::ErrorKind::InvalidData)?;
        // Translation leaves the listener's own.
        let to = message.cmsgs()?.find_map(destination).unwrap_or(self.local);
        Ok((message.bytes, Sent { from: canonical(from), to: canonical(to) }))
    }

    /// Answers whoever sent a datagram to this very socket, at once or not at all.
    pub fn try_send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.socket.try_send_to(bytes, to)
    }

    /// Where it listens.
    pub fn local(&self) -> SocketAddr {
        self.local
    }
}

fn destination(message: ControlMessageOwned) -> Option<SocketAddr> {
    match message {
        ControlMessageOwned::Ipv4OrigDstAddr(address) => {
            Some(SocketAddr::V4(SockaddrIn::from(address).into()))
        }
        ControlMessageOwned::Ipv6OrigDstAddr(address) => {
            Some(SocketAddr::V6(SockaddrIn6::from(address).into()))
        }
        _ => None,
    }
}

fn to_std(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|address| SocketAddr::V4((*address).into()));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| SocketAddr::V6((*address).into())))
}

/// A socket that sends as `source`, an address of somebody else, and is not read.
pub fn speak_as(source: SocketAddr, options: &SocketOptions) -> io::Result<UdpSocket> {
    let socket = open(source, Protocol::UDP, options)?;
    // A successor answers from there too, before the predecessor has gone.
    socket.set_reuse_address(true)?;
    allow_foreign_address(&socket, source, super::Transparency::Must)?;
    socket.bind(&source.into())?;
    Ok(socket.into())
}
