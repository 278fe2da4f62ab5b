//! What is known of a connection when it is judged.

use std::cell::OnceCell;
use std::net::{IpAddr, SocketAddr};

use mesh_model::Identity;

/// A connection as policies see it.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'a> {
    /// Where it comes from.
    pub source: IpAddr,
    /// Who its source proved to be by mTLS; none on plaintext.
    pub source_identity: Option<&'a Identity>,
    /// The workload's own address and port: never the tunnel's, never a service's (L4-11).
    pub destination: SocketAddr,
}

/// A connection and what is derived from it, at most once for all policies.
pub(crate) struct Attributes<'a> {
    pub(crate) connection: &'a Connection<'a>,
    principal: OnceCell<String>,
}

impl<'a> Attributes<'a> {
    pub(crate) fn of(connection: &'a Connection<'a>) -> Self {
        Attributes { connection, principal: OnceCell::new() }
    }

    /// The source identity without `spiffe://` (L4-10).
    pub(crate) fn principal(&self) -> Option<&str> {
        let identity = self.connection.source_identity?;
        Some(self.principal.get_or_init(|| identity.principal()))
    }

    pub(crate) fn namespace(&self) -> Option<&str> {
        Some(&self.connection.source_identity?.namespace)
    }
}
