//! What is written down of one connection from its beginning to its end: the
//! report that feeds metric and log, and its line in the config dump.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use mesh_authz::Denial;
use mesh_hbone::{ConnectError, DialError, StatusCode, TlsError};
use mesh_identity::tls::PeerError;
use mesh_model::Service;
use mesh_net::copy::{CopyError, Transferred};
use mesh_telemetry::{
    Addresses, ConnectionReport, Failure, OpenSocket, Party, Reporter, ResponseFlag, ServiceRef,
};
use thiserror::Error;

use crate::connections::{Connection, Direction, Listed};
use crate::proxy::{ConnectFailure, Pod};

/// Who takes part in a connection.
pub(crate) struct Parties {
    pub(crate) source: Party,
    pub(crate) destination: Party,
    pub(crate) service: Option<Arc<Service>>,
}

/// The record of one connection. Dropped without [`Journal::close`], it was cut.
pub(crate) struct Journal {
    report: Box<ConnectionReport>,
    counters: Arc<Transferred>,
    _listed: Listed,
    _open: OpenSocket,
}

/// How a connection ended badly; the texts are what operators read.
#[derive(Debug, Error)]
pub(crate) enum Ended {
    /// L4-05.
    #[error("connection closed due to policy rejection: {0}")]
    Denied(Denial),
    /// L4-14.
    #[error("connection closed due to policy change: {0}")]
    Revoked(Denial),
    #[error(transparent)]
    NotConnected(#[from] ConnectFailure),
    #[error(transparent)]
    NoTunnel(ConnectError),
    /// It began well and broke.
    #[error(transparent)]
    Broken(CopyError),
    /// The far end gave up before it was answered.
    #[error("the client gave up: {0}")]
    GivenUp(std::io::Error),
}

impl Journal {
    pub(crate) fn open(
        pod: &Pod,
        reporter: Reporter,
        parties: Parties,
        addresses: Addresses,
        connection: Connection,
    ) -> Self {
        let direction = match reporter {
            Reporter::Source => Direction::Outbound,
            Reporter::Destination | Reporter::Waypoint => Direction::Inbound,
        };
        let Parties { source, destination, service } = parties;
        let service = service.map(|service| ServiceRef { key: service.key.clone() });
        let metrics = &pod.mesh.metrics;
        let mut report = ConnectionReport::open(metrics, reporter, source, destination, service, addresses);
        let counters = Arc::new(Transferred::default());
        let meter = Arc::clone(&counters);
        report.measure(move || (meter.sent.load(Ordering::Relaxed), meter.received.load(Ordering::Relaxed)));
        let open = metrics.count_socket(reporter);
        let listed = pod.connections.list(direction, connection);
        Journal { report: Box::new(report), counters, _listed: listed, _open: open }
    }

    /// Where the bytes are counted.
    pub(crate) fn counters(&self) -> Arc<Transferred> {
        Arc::clone(&self.counters)
    }

    pub(crate) fn close(self, outcome: Result<(), Ended>) {
        let failure = |ended: Ended| Failure { flag: ended.flag(), error: ended.to_string() };
        self.report.close(outcome.map_err(failure));
    }
}

impl Ended {
    /// The value of `response_flags` (telemetry.md §1.3).
    fn flag(&self) -> ResponseFlag {
        match self {
            Ended::Denied(_) | Ended::Revoked(_) => ResponseFlag::Denied,
            Ended::NotConnected(_) => ResponseFlag::ConnectFailure,
            Ended::NoTunnel(error) => flag_of(error),
            Ended::Broken(_) | Ended::GivenUp(_) => ResponseFlag::None,
        }
    }
}

fn flag_of(error: &ConnectError) -> ResponseFlag {
    match error {
        ConnectError::Dial(DialError::Identity(_)) => ResponseFlag::IdentityError,
        ConnectError::Dial(DialError::ConnectTimeout { .. }) => ResponseFlag::NetworkPolicy,
        ConnectError::Dial(DialError::Tls(TlsError::Refused(PeerError::Revoked { .. }))) => {
            ResponseFlag::CertificateRevoked
        }
        ConnectError::Dial(DialError::Tls(_)) => ResponseFlag::TlsFailure,
        ConnectError::Http2(_) => ResponseFlag::Http2HandshakeFailure,
        ConnectError::Refused(StatusCode::UNAUTHORIZED) => ResponseFlag::Denied,
        _ => ResponseFlag::ConnectFailure,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use mesh_model::PolicyKey;

    use super::*;

    #[test]
    fn l4_05_denials_read_as_operators_expect() {
        for (ended, text) in [
            (
                Ended::Denied(Denial::ExplicitlyDenied(PolicyKey::new("ns", "no"))),
                "connection closed due to policy rejection: explicitly denied by: ns/no",
            ),
            (
                Ended::Denied(Denial::NotAllowed),
                "connection closed due to policy rejection: allow policies exist, but none allowed",
            ),
            (
                Ended::Revoked(Denial::NotAllowed),
                "connection closed due to policy change: allow policies exist, but none allowed",
            ),
        ] {
            assert_eq!(ended.to_string(), text);
            assert_eq!(ended.flag(), ResponseFlag::Denied);
        }
    }

    #[test]
    fn tel_09_every_failure_has_its_flag() {
        let address = "10.0.0.1:15008".parse().unwrap();
        let source = Arc::new(io::Error::from(io::ErrorKind::ConnectionRefused));
        let after = std::time::Duration::from_secs(10);
        let revoked = PeerError::Revoked {
            found: mesh_model::Identity::new("cluster.local", "default", "web"),
            serial: "05".to_owned(),
        };
        for (error, flag) in [
            (ConnectError::Dial(DialError::Connect { address, source }), ResponseFlag::ConnectFailure),
            (ConnectError::Dial(DialError::ConnectTimeout { address, after }), ResponseFlag::NetworkPolicy),
            (ConnectError::Dial(DialError::Tls(TlsError::Timeout(after))), ResponseFlag::TlsFailure),
            (ConnectError::Dial(DialError::Tls(revoked.into())), ResponseFlag::CertificateRevoked),
            (ConnectError::Refused(StatusCode::UNAUTHORIZED), ResponseFlag::Denied),
            (ConnectError::Refused(StatusCode::SERVICE_UNAVAILABLE), ResponseFlag::ConnectFailure),
            (ConnectError::Timeout(after), ResponseFlag::ConnectFailure),
        ] {
            assert_eq!(Ended::NoTunnel(error).flag(), flag);
        }
    }
}
