//! The three listeners of a pod, one set for every worker.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use mesh_net::namespace::Namespace;
use mesh_net::socket::{PLAINTEXT_MARK, SocketOptions, listen_tcp};

use crate::ports;

/// What one worker accepts from.
pub(super) struct Listeners {
    pub(super) outbound: TcpListener,
    pub(super) inbound_plaintext: TcpListener,
    pub(super) hbone: TcpListener,
}

impl Listeners {
    /// Opens `count` sets inside a pod's namespace, or none: a port that is taken fails all (CNI-11).
    pub(super) fn open(
        namespace: &Namespace,
        count: usize,
        ipv6: bool,
        options: &SocketOptions,
    ) -> io::Result<Vec<Listeners>> {
        namespace.run(|| {
            let first = Listeners::open_here(ipv6, options)?;
            let mut sets = Vec::with_capacity(count);
            for _ in 1..count {
                // Without shared ports the workers share one queue instead.
                let another =
                    if options.reuse_port { Listeners::open_here(ipv6, options) } else { first.try_clone() };
                sets.push(another?);
            }
            sets.push(first);
            Ok(sets)
        })
    }

    fn open_here(ipv6: bool, options: &SocketOptions) -> io::Result<Self> {
        let plaintext =
            SocketOptions { mark: options.mark.map(|mark| mark | PLAINTEXT_MARK), ..options.clone() };
        Ok(Listeners {
            outbound: listen(ports::OUTBOUND, ipv6, options)?,
            inbound_plaintext: listen(ports::INBOUND_PLAINTEXT, ipv6, &plaintext)?,
            hbone: listen(ports::HBONE, ipv6, options)?,
        })
    }

    fn try_clone(&self) -> io::Result<Self> {
        Ok(Listeners {
            outbound: self.outbound.try_clone()?,
            inbound_plaintext: self.inbound_plaintext.try_clone()?,
            hbone: self.hbone.try_clone()?,
        })
    }
}

/// On every address. A pod without IPv6 gets IPv4 alone.
fn listen(port: u16, ipv6: bool, options: &SocketOptions) -> io::Result<TcpListener> {
    let on = |ip: IpAddr| {
        listen_tcp(SocketAddr::new(ip, port), options)
            .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on port {port}: {error}")))
    };
    match ipv6.then(|| on(Ipv6Addr::UNSPECIFIED.into())) {
        Some(Err(error)) if error.kind() != io::ErrorKind::AddrInUse => on(Ipv4Addr::UNSPECIFIED.into()),
        Some(outcome) => outcome,
        None => on(Ipv4Addr::UNSPECIFIED.into()),
    }
}
