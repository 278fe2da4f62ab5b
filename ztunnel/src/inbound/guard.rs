//! Authorization of one connection to a pod, asked before it is carried and
//! again whenever policies change (L4-14).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mesh_authz::{Connection, Denial, Permit, authorize, dry_run};
use mesh_model::{Identity, Workload};
use mesh_state::Reader;
use tokio::sync::watch;
use tracing::{debug, info};

/// What policies are asked about.
pub(super) struct Guard {
    reader: Reader,
    changed: watch::Receiver<u64>,
    local: Arc<Workload>,
    source: IpAddr,
    identity: Option<Identity>,
    destination: SocketAddr,
    /// Dry-run policies speak up in the log.
    speak_up: bool,
}

/// Who wants to connect where.
pub(super) struct Case {
    pub(super) local: Arc<Workload>,
    pub(super) source: IpAddr,
    pub(super) identity: Option<Identity>,
    pub(super) destination: SocketAddr,
}

impl Guard {
    /// Watches policies from here on: no change between the first answer and the copy is missed (L4-15).
    pub(super) fn new(reader: Reader, case: Case, speak_up: bool) -> Self {
        let changed = reader.policies_changed();
        let Case { local, source, identity, destination } = case;
        Guard { reader, changed, local, source, identity, destination, speak_up }
    }

    pub(super) fn authorize(&self) -> Result<Permit, Denial> {
        let snapshot = self.reader.snapshot();
        // The policies a workload names are part of the workload, so they may be new too.
        let current = snapshot.find_workload_by_uid(&self.local.uid);
        let local = current.as_ref().unwrap_or(&self.local);
        let connection = Connection {
            source: self.source,
            source_identity: self.identity.as_ref(),
            destination: self.destination,
        };
        for hit in dry_run(snapshot.policies_for(local), &connection) {
            let policy = hit.policy().map(ToString::to_string).unwrap_or_default();
            let (source, destination) = (self.source, self.destination);
            if self.speak_up {
                info!(target: "rbac", %policy, %source, %destination, "{hit}");
            } else {
                debug!(target: "rbac", %policy, %source, %destination, "{hit}");
            }
        }
        authorize(snapshot.policies_for(local), &connection)
    }

    /// Waits until policies deny what they permitted.
    pub(super) async fn revoked(&mut self) -> Denial {
        loop {
            if self.changed.changed().await.is_err() {
                // Nothing will change any more.
                return std::future::pending().await;
            }
            if let Err(denial) = self.authorize() {
                return denial;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use mesh_model::{Action, Policy, PolicyKey, Rule, Scope};

    use super::*;
    use crate::samples::workload;

    fn denial(scope: Scope, rules: Vec<Rule>) -> Policy {
        Policy { key: PolicyKey::new("default", "no"), scope, action: Action::Deny, rules, dry_run: false }
    }

    fn poll(future: impl Future<Output = Denial>) -> Poll<Denial> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn l4_15_a_change_between_the_answer_and_the_copy_is_not_missed() {
        let (writer, reader) = mesh_state::new();
        let local = Arc::new(workload("server", "10.0.0.2"));
        writer.change(|edit| edit.insert_workload((*local).clone()));
        let guard = || {
            let (source, destination) = ("10.0.0.1".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
            let case = Case { local: Arc::clone(&local), source, identity: None, destination };
            Guard::new(reader.clone(), case, false)
        };
        let (mut early, mut late) = (guard(), guard());
        assert!(early.authorize().is_ok());
        writer.change(|edit| edit.insert_policy(denial(Scope::Namespace, vec![Rule::default()])));
        assert!(late.authorize().is_err(), "a connection that has not been answered yet is refused");
        assert!(poll(early.revoked()).is_ready(), "and one that has been is cut before its first byte");

        // L4-14: another change that denies nothing cuts nothing.
        writer.change(|edit| edit.insert_policy(denial(Scope::Namespace, Vec::new())));
        let mut calm = guard();
        assert!(calm.authorize().is_ok());
        writer.change(|edit| edit.insert_policy(denial(Scope::WorkloadSelector, vec![Rule::default()])));
        assert!(poll(calm.revoked()).is_pending());
        assert!(poll(late.revoked()).is_pending(), "the denial was taken back");
    }
}
