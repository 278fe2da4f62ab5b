//! Whether a connection that carries no HTTP may pass, and whether it still may.

use std::sync::Arc;

use mesh_authz::{Call, CallDenial, NotConsented, Permit, authorize_call, notes, questions};
use mesh_state::Reader;
use mesh_telemetry::{Failure, ResponseFlag};
use thiserror::Error;
use tokio::sync::watch;

use crate::consent::{Opinion, Subject};
use crate::routes::Asked;
use crate::security::{Guards, connection_of};
use crate::tunnel::Tunnel;

/// Why a connection may not pass.
#[derive(Debug, Error)]
pub(crate) enum Refused {
    /// A policy says so.
    #[error("connection closed due to policy rejection: {0}")]
    Denied(Cause),
    /// A policy says so since it has changed.
    #[error("connection closed due to policy change: {0}")]
    Revoked(Cause),
    /// Nobody can tell yet.
    #[error("no policy has reached this waypoint yet")]
    NotConfigured,
}

/// Who says so.
#[derive(Debug, Error)]
pub(crate) enum Cause {
    #[error(transparent)]
    Policy(#[from] CallDenial),
    /// Somebody outside, or nobody could ask.
    #[error(transparent)]
    NotConsented(#[from] NotConsented),
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
    /// Who was asked and has consented.
    consented: Vec<Arc<str>>,
}

/// Whether the name that a connection asks for matters.
pub(super) fn depends_on_name(tunnel: &Tunnel) -> bool {
    Guards::find(tunnel).is_some_and(|guards| guards.ask_for_sni())
}

/// Judges a connection, with the consent of whoever has to be asked.
pub(super) async fn admit(tunnel: &Tunnel, asked: Asked<'_>) -> Result<Admitted, Refused> {
    let sni = match asked {
        Asked::Name(name) => Some(name.to_owned()),
        Asked::NotRead | Asked::Nothing => None,
    };
    // From here on, so that no change between the answer and the copy is missed (L4-15).
    let reader: &Reader = &tunnel.worker.reader;
    let changed = reader.configs_changed();
    let guards = Guards::find(tunnel).ok_or(Refused::NotConfigured)?;
    let consented = ask(tunnel, &guards, sni.as_deref()).await;
    let permit = judge(tunnel, &guards, (sni.as_deref(), &consented), true)?;
    Ok(Admitted { permit, changed, sni, consented })
}

/// Asks until somebody does not consent, and answers who did.
async fn ask(tunnel: &Tunnel, guards: &Guards, sni: Option<&str>) -> Vec<Arc<str>> {
    let mut questions = questions(guards.policies(), &call_of(tunnel, sni));
    let mut consented = Vec::new();
    while let Some(question) = questions.next() {
        let (policy, provider) = (question.policy, question.provider);
        let Some(authorizer) = guards.find_authorizer(provider) else { break };
        let opinion = authorizer.ask(&Subject { tunnel, head: None, body: None, sni }).await;
        match opinion {
            Ok(Opinion::Consent(_)) => {}
            Ok(Opinion::Denial(_)) => break,
            Err(reason) => {
                let passes = authorizer.service.fail_open;
                tracing::warn!(target: "rbac", %policy, %provider, %reason, passes, "a connection could not be asked about");
                if !passes {
                    break;
                }
            }
        }
        consented.push(provider.clone());
        questions.consented();
    }
    consented
}

impl Admitted {
    /// The name that it asks for by TLS, if that has been read.
    pub(crate) fn server_name(&self) -> Option<&str> {
        self.sni.as_deref()
    }

    /// Waits until policies deny what they permitted (L4-14).
    pub(crate) async fn revoked(&mut self, tunnel: &Tunnel) -> Refused {
        loop {
            if self.changed.changed().await.is_err() {
                // Nothing will change any more.
                return std::future::pending().await;
            }
            // Nobody is asked twice; but a connection ends if a policy wants somebody else's consent.
            let Some(guards) = Guards::find(tunnel) else { continue };
            let judged = judge(tunnel, &guards, (self.sni.as_deref(), &self.consented), false);
            if let Err(Refused::Denied(cause)) = judged {
                return Refused::Revoked(cause);
            }
        }
    }
}

fn call_of<'a>(tunnel: &'a Tunnel, sni: Option<&'a str>) -> Call<'a> {
    let connection = connection_of(tunnel);
    Call { connection, remote: Some(connection.source), sni, request: None }
}

fn judge(
    tunnel: &Tunnel,
    guards: &Guards,
    (sni, consented): (Option<&str>, &[Arc<str>]),
    speak_up: bool,
) -> Result<Permit, Refused> {
    let call = call_of(tunnel, sni);
    if speak_up {
        for note in notes(guards.policies(), &call) {
            let policy = note.policy.map(ToString::to_string).unwrap_or_default();
            tracing::info!(target: "rbac", %policy, source = %call.connection.source, "{}", note.kind);
        }
    }
    let mut questions = questions(guards.policies(), &call);
    while questions.next().is_some_and(|question| consented.contains(question.provider)) {
        questions.consented();
    }
    let refused = |cause: Cause| Refused::Denied(cause);
    let consent = questions.close().map_err(|not| refused(not.into()))?;
    authorize_call(guards.policies(), &call, consent).map_err(|denial| refused(denial.into()))
}
