//! TCP and UDP sockets with the options a capturing proxy needs: packet mark, transparent
//! source, shared ports, keepalive; and the destination a captured client wanted.

mod captured_udp;
mod udp;

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpSocket, TcpStream};

use crate::addr::{LocalAddress, OriginalDestination, aside};

pub use captured_udp::{CapturedUdp, Sent, speak_as};
pub use udp::{bind_udp, connect_udp};

/// The mark on every packet of a socket the proxy opens inside a pod: capture
/// lets these pass.
pub const PACKET_MARK: u32 = 0x539;

/// The same with one bit more, where plain connections to the pod are taken: a steered pod's answers
/// to these get the pod's own address back by it ([`aside`]).
pub const PLAINTEXT_MARK: u32 = PACKET_MARK | 0x1000;

const BACKLOG: i32 = 128;

/// Whether a socket may use an address that is not its host's own (`IP_TRANSPARENT`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Transparency {
    /// Fail when the kernel refuses it.
    Must,
    /// Do without when the kernel refuses it.
    #[default]
    Try,
    /// Do not ask.
    Never,
}

/// When a silent peer is probed, and when it is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first probe.
    pub time: Duration,
    /// Time between probes.
    pub interval: Duration,
    /// Unanswered probes before the connection is closed.
    pub retries: u32,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self { time: Duration::from_secs(180), interval: Duration::from_secs(180), retries: 9 }
    }
}

/// Options of a proxy's sockets. The default is that of the sockets ztunnel
/// opens inside a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// Mark on every packet; needs `CAP_NET_ADMIN`.
    pub mark: Option<u32>,
    /// Listeners only: let several sockets listen on one port.
    pub reuse_port: bool,
    /// Foreign source addresses; needs `CAP_NET_ADMIN`.
    pub transparent: Transparency,
    /// TCP keepalive; `None` leaves it off.
    pub keepalive: Option<Keepalive>,
    /// Give up unacknowledged data after the time keepalive gives up silence.
    pub user_timeout: bool,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            mark: Some(PACKET_MARK),
            reuse_port: true,
            transparent: Transparency::Try,
            keepalive: Some(Keepalive::default()),
            user_timeout: false,
        }
    }
}

impl SocketOptions {
    /// Options outside a captured pod: no mark, own address only, one listener a port, no privilege needed.
    pub fn plain() -> Self {
        Self { mark: None, reuse_port: false, transparent: Transparency::Never, ..Self::default() }
    }
}

/// Listens on `address`, not blocking. An unspecified IPv6 address also takes IPv4. What is
/// accepted has the listener's options: no delay, keepalive, user timeout, mark.
pub fn listen_tcp(address: SocketAddr, options: &SocketOptions) -> io::Result<TcpListener> {
    let socket = open(address, Protocol::TCP, options)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(options.reuse_port)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    allow_foreign_address(&socket, address, options.transparent)?;
    tune(&SockRef::from(&socket), options)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A socket ready to connect to `destination`, which it does not do yet.
///
/// With a `source`, the connection comes from that address and any free port;
/// under [`Transparency::Try`] from an own address when the kernel refuses, and
/// under [`Transparency::Never`] `source` must be an own address.
pub fn tcp_socket_for(
    destination: SocketAddr,
    source: Option<IpAddr>,
    options: &SocketOptions,
) -> io::Result<TcpSocket> {
    let socket = open(destination, Protocol::TCP, options)?;
    tune(&SockRef::from(&socket), options)?;
    if let Some(source) = source {
        let allowed = allow_foreign_address(&socket, destination, options.transparent)?;
        if allowed || options.transparent == Transparency::Never {
            // The port is chosen at connect, so that one port serves many destinations.
            setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
    }
    Ok(TcpSocket::from_std_stream(socket.into()))
}

/// Where the client of a connection wanted to go that was accepted on port `listener`, at `local`.
pub fn original_destination(
    stream: &TcpStream,
    local: LocalAddress,
    listener: u16,
) -> io::Result<OriginalDestination> {
    // Steering leaves the destination as it was. Only who was translated has the listener's port, or
    // who asked for it.
    let wanted = if local.0.port() == listener { before_translation(stream, local)? } else { local.0 };
    Ok(OriginalDestination::new(wanted))
}

/// The same where plain connections to the pod are taken, which steering brings to an address [`aside`].
pub fn original_plain_destination(
    stream: &TcpStream,
    local: LocalAddress,
    listener: u16,
) -> io::Result<OriginalDestination> {
    if local.0.port() == listener {
        return original_destination(stream, local, listener);
    }
    Ok(OriginalDestination::new(SocketAddr::new(aside(local.0.ip()), local.0.port())))
}

/// What connection tracking knows; `local` when no rule redirected the connection.
fn before_translation(stream: &TcpStream, local: LocalAddress) -> io::Result<SocketAddr> {
    let socket = SockRef::from(stream);
    let found = if local.0.is_ipv4() { socket.original_dst_v4() } else { socket.original_dst_v6() };
    match found {
        Ok(address) => Ok(address.as_socket().unwrap_or(local.0)),
        Err(error) if is_not_redirected(&error) => Ok(local.0),
        Err(error) => Err(error),
    }
}

/// No such flow in connection tracking, or no connection tracking at all.
fn is_not_redirected(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let codes = [Errno::ENOENT, Errno::ENOPROTOOPT, Errno::EOPNOTSUPP];
    error.raw_os_error().is_some_and(|code| codes.contains(&Errno::from_raw(code)))
}

fn open(address: SocketAddr, protocol: Protocol, options: &SocketOptions) -> io::Result<Socket> {
    let kind = if protocol == Protocol::UDP { Type::DGRAM } else { Type::STREAM };
    let socket = Socket::new(Domain::for_address(address), kind.nonblocking().cloexec(), Some(protocol))?;
    if let Some(mark) = options.mark {
        socket.set_mark(mark)?;
    }
    Ok(socket)
}

/// Whether `socket` may now use an address that is not its host's own.
fn allow_foreign_address(
    socket: &Socket,
    address: SocketAddr,
    transparency: Transparency,
) -> io::Result<bool> {
    let set = || match address {
        SocketAddr::V4(_) => socket.set_ip_transparent_v4(true),
        SocketAddr::V6(_) => socket.set_ip_transparent_v6(true),
    };
    match transparency {
        Transparency::Never => Ok(false),
        Transparency::Try => Ok(set().is_ok()),
        Transparency::Must => set().map(|()| true),
    }
}

fn tune(socket: &SockRef<'_>, options: &SocketOptions) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let Some(keepalive) = options.keepalive else { return Ok(()) };
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(keepalive.time)
            .with_interval(keepalive.interval)
            .with_retries(keepalive.retries),
    )?;
    if options.user_timeout {
        let limit = keepalive.time + keepalive.interval * keepalive.retries;
        socket.set_tcp_user_timeout(Some(limit))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
