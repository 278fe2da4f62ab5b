//! Whether a connection that carries no HTTP may pass, and whether it still may.

use mesh_authz::{Call, CallDenial, Permit, authorize_call, notes};
use mesh_state::Reader;
use mesh_telemetry::{Failure, ResponseFlag};
use thiserror::Error;
use tokio::sync::watch;

use crate::routes::Asked;
use crate::security::{Guards, connection_of};
use crate::tunnel::Tunnel;

/// Why a connection may not pass.
#[derive(Debug, Error)]
pub(crate) enum Refused {
    /// A policy says so.
    #[error("connection closed due to policy rejection: {0}")]
    Denied(CallDenial),
    /// A policy says so since it has changed.
    #[error("connection closed due to policy change: {0}")]
    Revoked(CallDenial),
    /// Nobody can tell yet.
    #[error("no policy has reached this waypoint yet")]
    NotConfigured,
}

impl Refused {
    pub(crate) fn into_failure(self) -> Failure {
        let flag = match self {
            Refused::Denied(_) | Refused::Revoked(_) => ResponseFlag::Denied,
            Refused::NotConfigured => ResponseFlag::None,
        };
        Failure { flag, error: self.to_string() }
    }
}

/// A connection that may pass, and watches whether it still may.
pub(crate) struct Admitted {
    pub(crate) permit: Permit,
    changed: watch::Receiver<u64>,
    sni: Option<String>,
}

/// Whether the name that a connection asks for matters.
pub(super) fn depends_on_name(tunnel: &Tunnel) -> bool {
    Guards::find(tunnel).is_some_and(|guards| guards.ask_for_sni())
}

/// Judges a connection.
pub(super) fn admit(tunnel: &Tunnel, asked: Asked<'_>) -> Result<Admitted, Refused> {
    let sni = match asked {
        Asked::Name(name) => Some(name.to_owned()),
        Asked::NotRead | Asked::Nothing => None,
    };
    // From here on, so that no change between the answer and the copy is missed (L4-15).
    let reader: &Reader = &tunnel.worker.reader;
    let changed = reader.configs_changed();
    let permit = judge(tunnel, sni.as_deref(), true)?;
    Ok(Admitted { permit, changed, sni })
}

impl Admitted {
    /// Waits until policies deny what they permitted (L4-14).
    pub(crate) async fn revoked(&mut self, tunnel: &Tunnel) -> Refused {
        loop {
            if self.changed.changed().await.is_err() {
                // Nothing will change any more.
                return std::future::pending().await;
            }
            if let Err(Refused::Denied(denial)) = judge(tunnel, self.sni.as_deref(), false) {
                return Refused::Revoked(denial);
            }
        }
    }
}

fn judge(tunnel: &Tunnel, sni: Option<&str>, speak_up: bool) -> Result<Permit, Refused> {
    let guards = Guards::find(tunnel).ok_or(Refused::NotConfigured)?;
    let connection = connection_of(tunnel);
    let call = Call { connection, remote: Some(connection.source), sni, request: None };
    if speak_up {
        for note in notes(guards.policies(), &call) {
            let policy = note.policy.map(ToString::to_string).unwrap_or_default();
            tracing::info!(target: "rbac", %policy, source = %connection.source, "{}", note.kind);
        }
    }
    authorize_call(guards.policies(), &call).map_err(Refused::Denied)
}
