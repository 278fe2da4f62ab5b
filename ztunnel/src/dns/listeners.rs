//! Where a pod's questions arrive: on the loopback addresses of its own network alone. Capture
//! sends them there, replies leave from there, and nobody outside of the pod reaches it.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use mesh_net::namespace::Namespace;
use mesh_net::socket::{CapturedUdp, SocketOptions, listen_tcp};

/// The sockets of one pod.
#[derive(Default)]
pub(crate) struct Listeners {
    pub(crate) udp: Vec<UdpSocket>,
    pub(crate) tcp: Vec<TcpListener>,
}

impl Listeners {
    /// Opens all of them, or none: a port that is taken fails all. A pod without IPv6 gets IPv4 alone.
    pub(crate) fn open(
        namespace: &Namespace,
        addresses: &[SocketAddr],
        options: &SocketOptions,
    ) -> io::Result<Self> {
        namespace.run(|| {
            let mut open = Listeners::default();
            for address in addresses {
                let opened = CapturedUdp::bind(*address, options)
                    .and_then(|udp| Ok((udp, listen_tcp(*address, options)?)))
                    .map_err(|error| {
                        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
                    });
                match opened {
                    Ok((udp, tcp)) => {
                        open.udp.push(udp);
                        open.tcp.push(tcp);
                    }
                    Err(error) if address.is_ipv6() && error.kind() != io::ErrorKind::AddrInUse => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(open)
        })
    }
}
