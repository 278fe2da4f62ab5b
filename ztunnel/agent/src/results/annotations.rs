//! Results as the annotation `ambient.istio.io/redirection` of the pods. The agent
//! says what should stand there, the pods' source what does stand there, and a
//! writer makes them equal for as long as it takes: an annotation that was lost, or
//! could not be written, is written as soon as that is possible.

mod writer;

use std::collections::BTreeMap;

use tokio::sync::watch;

use super::{Outcome, Redirection};
use crate::pod::{Pods, Uid};

pub(crate) use writer::Writer;

/// The annotation.
const REDIRECTION: &str = "ambient.istio.io/redirection";

/// What is known and wanted of the pods' annotations.
pub(crate) type Board = BTreeMap<Uid, Card>;

/// One pod on the board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Card {
    pub(crate) name: String,
    pub(crate) namespace: String,
    /// What stands there, as far as is known.
    pub(crate) written: Option<String>,
    /// What became of the pod; nothing until the agent has said.
    pub(crate) outcome: Option<Outcome>,
}

impl Card {
    /// What should stand there instead; `None` when all is as it should be.
    fn due(&self) -> Option<Option<&'static str>> {
        let wanted = match self.outcome.as_ref()?.redirection {
            Redirection::Enabled => Some("enabled"),
            Redirection::Pending => Some("pending"),
            Redirection::None => None,
        };
        (wanted != self.written.as_deref()).then_some(wanted)
    }
}

/// The annotations of this node's pods.
pub(crate) struct Annotations(watch::Sender<Board>);

impl Annotations {
    /// None known yet, with the writer that has to run beside.
    pub(crate) fn new(client: kube::Client, node: &str) -> (Self, Writer) {
        let board = watch::Sender::new(Board::new());
        (Self(board.clone()), Writer::new(client, node, board))
    }

    /// Where to follow what becomes of the pods.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Board> {
        self.0.subscribe()
    }

    pub(super) fn learn(&self, pods: &Pods) {
        self.0.send_if_modified(|board| {
            let mut changed = false;
            for (uid, pod) in pods {
                let written = pod.annotations.get(REDIRECTION).cloned();
                match board.get_mut(uid) {
                    Some(card) if card.written == written => {}
                    Some(card) => {
                        card.written = written;
                        changed = true;
                    }
                    None => {
                        let (name, namespace) = (pod.name.clone(), pod.namespace.clone());
                        board.insert(uid.clone(), Card { name, namespace, written, outcome: None });
                    }
                }
            }
            changed
        });
    }

    pub(super) fn find(&self, uid: &str) -> Option<Redirection> {
        let board = self.0.borrow();
        let card = board.get(uid)?;
        match &card.outcome {
            Some(outcome) => Some(outcome.redirection),
            None => match card.written.as_deref() {
                Some("enabled") => Some(Redirection::Enabled),
                Some("pending") => Some(Redirection::Pending),
                _ => None,
            },
        }
    }

    /// Those with an annotation, or to be given one.
    pub(super) fn known(&self) -> Vec<Uid> {
        let board = self.0.borrow();
        let said = board.iter().filter(|(_, card)| card.written.is_some() || card.outcome.is_some());
        said.map(|(uid, _)| uid.clone()).collect()
    }

    pub(super) fn set(&self, uid: &Uid, outcome: Outcome) {
        self.0.send_if_modified(|board| match board.get_mut(uid) {
            Some(card) if card.outcome.as_ref() != Some(&outcome) => {
                card.outcome = Some(outcome);
                true
            }
            // The source tells of a pod before the agent can say anything of it.
            _ => false,
        });
    }

    pub(super) fn retain(&self, known: impl Fn(&str) -> bool) {
        self.0.send_if_modified(|board| {
            board.retain(|uid, _| known(uid));
            false
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(written: Option<&str>, redirection: Option<Redirection>) -> Card {
        let outcome =
            redirection.map(|redirection| Outcome { redirection, message: String::new(), namespace: None });
        Card { name: "web".into(), namespace: "shop".into(), written: written.map(str::to_owned), outcome }
    }

    #[test]
    fn cni_06_only_what_differs_is_written() {
        use Redirection::{Enabled, None as Free, Pending};
        for (written, wanted, due) in [
            (None, None, None),
            (Some("enabled"), None, None),
            (None, Some(Free), None),
            (None, Some(Enabled), Some(Some("enabled"))),
            (Some("enabled"), Some(Enabled), None),
            (Some("pending"), Some(Enabled), Some(Some("enabled"))),
            (Some("enabled"), Some(Pending), Some(Some("pending"))),
            (Some("enabled"), Some(Free), Some(None)),
            (Some("nonsense"), Some(Free), Some(None)),
        ] {
            assert_eq!(card(written, wanted).due(), due, "{written:?} {wanted:?}");
        }
    }
}
