//! One endpoint and everything that decides how a connection to it is opened.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mesh_model::TunnelProtocol;
use mesh_state::Endpoint;

use super::CONNECT_TIMEOUT;
use super::terms::Terms;
use crate::tunnel::Tunnel;

/// Who wants something, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    /// What it addressed.
    pub(crate) target: SocketAddr,
}

impl Client {
    pub(crate) fn of(tunnel: &Tunnel) -> Client {
        let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        Client { address: canonical(tunnel.downstream), target: canonical(tunnel.target) }
    }
}

/// An endpoint, and how it is spoken to.
#[derive(Clone, Copy)]
pub(crate) struct Hop<'a> {
    pub(crate) endpoint: &'a Arc<Endpoint>,
    pub(crate) terms: Option<&'a Arc<Terms>>,
    pub(crate) client: Client,
    /// The authority a request is for.
    pub(crate) authority: Option<&'a str>,
    /// Without a tunnel, for a ztunnel takes it from here.
    pub(crate) open: bool,
}

impl Hop<'_> {
    /// Whether it is spoken to by HBONE.
    pub(super) fn is_tunnelled(&self) -> bool {
        !self.open && self.endpoint.tunnel == TunnelProtocol::Hbone
    }

    /// How long a TCP connection may take to open.
    pub(super) fn connect_timeout(&self) -> Duration {
        self.terms.and_then(|terms| terms.tcp.connect_timeout).unwrap_or(CONNECT_TIMEOUT)
    }

    /// The host that TLS asks for, unless the policy names one: the request's, else the service's.
    pub(super) fn host<'h>(&'h self, terms: &'h Terms) -> &'h str {
        self.authority.map_or(&*terms.service.hostname, host_of)
    }
}

/// The host of an authority, without a port and brackets.
fn host_of(authority: &str) -> &str {
    if let Some((address, _)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return address;
    }
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_an_authority() {
        for (authority, host) in [
            ("api.example.com", "api.example.com"),
            ("api.example.com:443", "api.example.com"),
            ("10.0.0.1:443", "10.0.0.1"),
            ("[fd00::1]:443", "fd00::1"),
            ("[fd00::1]", "fd00::1"),
        ] {
            assert_eq!(host_of(authority), host);
        }
    }
}
