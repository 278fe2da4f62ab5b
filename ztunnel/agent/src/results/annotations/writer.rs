//! Writing the annotations, and an event where a pod cannot be enrolled.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use serde_json::json;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

use super::{Board, Card, REDIRECTION};
use crate::pod::Uid;
use crate::results::Redirection;

const FIELD_MANAGER: &str = "adit-node-agent";
const REASON: &str = "NotInMesh";
const DEADLINE: Duration = Duration::from_secs(10);
/// Patches under way at once.
const AT_ONCE: usize = 8;
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(30);
/// A pod's trouble is told at most so often.
const BETWEEN_EVENTS: Duration = Duration::from_secs(60);

/// Makes the pods' annotations what the board says.
pub(crate) struct Writer {
    client: kube::Client,
    events: Recorder,
    board: watch::Sender<Board>,
    told: BTreeMap<Uid, (Instant, String)>,
}

impl Writer {
    pub(super) fn new(client: kube::Client, node: &str, board: watch::Sender<Board>) -> Self {
        let reporter = Reporter { controller: FIELD_MANAGER.to_owned(), instance: Some(node.to_owned()) };
        Self { events: Recorder::new(client.clone(), reporter), client, board, told: BTreeMap::new() }
    }

    /// Writes until `ending`, and then until everything that was said before it stands there. What is under way is
    /// always finished first: a late `enabled` must not come after what takes it back.
    pub(crate) async fn run(mut self, ending: oneshot::Receiver<()>) {
        let mut changes = self.board.subscribe();
        let mut pause = FIRST_RETRY;
        let mut ending = Some(ending);
        loop {
            let board = changes.borrow_and_update().clone();
            let complete = self.write(&board).await;
            if ending.is_none() && complete && !changes.has_changed().unwrap_or(false) {
                return;
            }
            self.tell(&board).await;
            let retry = async {
                if complete {
                    std::future::pending::<()>().await;
                }
                tokio::time::sleep(pause).await;
            };
            let ended = async {
                match &mut ending {
                    // Ended by a word, or because nobody is left to give one.
                    Some(ending) => drop(ending.await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // This writer holds a sender, so there is always another change or none.
                _ = changes.changed() => {}
                () = retry => pause = (pause * 2).min(LAST_RETRY),
                () = ended => ending = None,
            }
            if complete {
                pause = FIRST_RETRY;
            }
        }
    }

    /// Writes what is due; whether all of it could be written.
    async fn write(&self, board: &Board) -> bool {
        let due = board
            .iter()
            .filter_map(|(uid, card)| Some((uid.clone(), card.clone(), card.due()?.map(str::to_owned))));
        let due: Vec<_> = due.collect();
        let written: Vec<_> = stream::iter(due)
            .map(|(uid, card, value)| {
                let client = self.client.clone();
                async move {
                    let patched = timeout(DEADLINE, patch(client, &uid, &card, value.as_deref())).await;
                    let reason = match patched {
                        Ok(Ok(())) => return Some((uid, value)),
                        Ok(Err(error)) => error.to_string(),
                        Err(_) => "no answer in 10 s".to_owned(),
                    };
                    warn!("annotation of pod {}/{}: {reason}", card.namespace, card.name);
                    None
                }
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let complete = written.iter().all(Option::is_some);
        self.board.send_if_modified(|board| {
            for (uid, value) in written.into_iter().flatten() {
                if let Some(card) = board.get_mut(&uid) {
                    card.written = value;
                }
            }
            false
        });
        complete
    }

    async fn tell(&mut self, board: &Board) {
        self.told.retain(|uid, _| board.contains_key(uid));
        for (uid, card) in board {
            let Some(outcome) = card.outcome.as_ref().filter(|it| it.redirection == Redirection::Pending)
            else {
                continue;
            };
            let now = Instant::now();
            let known = self.told.get(uid);
            if known.is_some_and(|(at, what)| *what == outcome.message || now - *at < BETWEEN_EVENTS) {
                continue;
            }
            self.told.insert(uid.clone(), (now, outcome.message.clone()));
            let event = Event {
                type_: EventType::Warning,
                reason: REASON.to_owned(),
                note: Some(outcome.message.clone()),
                action: "Enrol".to_owned(),
                secondary: None,
            };
            let pod = ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: Some(card.name.clone()),
                namespace: Some(card.namespace.clone()),
                uid: Some(uid.clone()),
                ..ObjectReference::default()
            };
            if let Ok(Err(error)) = timeout(DEADLINE, self.events.publish(&event, &pod)).await {
                debug!("event of pod {}/{}: {error}", card.namespace, card.name);
            }
        }
    }
}

/// A pod that is gone needs no annotation; one of the same name is told apart by its UID.
async fn patch(client: kube::Client, uid: &str, card: &Card, value: Option<&str>) -> kube::Result<()> {
    let patch = json!({ "metadata": { "uid": uid, "annotations": { REDIRECTION: value } } });
    let pods: Api<Pod> = Api::namespaced(client, &card.namespace);
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    match pods.patch_status(&card.name, &parameters, &Patch::Merge(&patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
