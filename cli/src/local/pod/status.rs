//! What a pod is doing, as its containers report it.

use std::sync::Arc;

use tokio::sync::{Notify, watch};

/// What a container is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::local) enum State {
    Waiting,
    /// As this process.
    Running {
        pid: u32,
    },
    Ended {
        code: i32,
    },
}

/// One container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::local) struct ContainerStatus {
    pub(in crate::local) name: String,
    pub(in crate::local) image: String,
    pub(in crate::local) is_init: bool,
    pub(in crate::local) state: State,
    /// Past its startup probe.
    pub(in crate::local) started: bool,
    /// Takes traffic.
    pub(in crate::local) ready: bool,
    pub(in crate::local) restarts: u32,
    /// Why it waits or is not ready, for a person.
    pub(in crate::local) reason: String,
}

/// Kubernetes' summary of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::local) enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
}

impl Phase {
    pub(in crate::local) fn as_str(self) -> &'static str {
        match self {
            Phase::Pending => "Pending",
            Phase::Running => "Running",
            Phase::Succeeded => "Succeeded",
            Phase::Failed => "Failed",
        }
    }
}

/// The whole pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::local) struct PodStatus {
    pub(in crate::local) containers: Vec<ContainerStatus>,
    /// All init containers have done their work.
    pub(in crate::local) is_initialised: bool,
    /// Nothing of it runs any more, and nothing will.
    pub(in crate::local) has_ended: bool,
}

impl PodStatus {
    fn main(&self) -> impl Iterator<Item = &ContainerStatus> {
        self.containers.iter().filter(|container| !container.is_init)
    }

    /// It takes traffic.
    pub(in crate::local) fn is_ready(&self) -> bool {
        self.is_initialised && !self.has_ended && self.main().all(|container| container.ready)
    }

    pub(in crate::local) fn phase(&self) -> Phase {
        let failed = |container: &ContainerStatus| !matches!(container.state, State::Ended { code: 0 });
        match self {
            PodStatus { has_ended: true, is_initialised, .. } => {
                if *is_initialised && !self.main().any(failed) { Phase::Succeeded } else { Phase::Failed }
            }
            PodStatus { is_initialised: true, .. }
                if self
                    .main()
                    .any(|container| container.state != State::Waiting || container.restarts > 0) =>
            {
                Phase::Running
            }
            _ => Phase::Pending,
        }
    }

    /// Why it is not ready, of the first container that has a reason.
    pub(in crate::local) fn reason(&self) -> &str {
        let reasons = self.containers.iter().filter(|container| !container.ready);
        reasons
            .map(|container| container.reason.as_str())
            .find(|reason| !reason.is_empty())
            .unwrap_or_default()
    }
}

/// Where a pod's containers write what they do, and the supervisor reads it.
#[derive(Debug)]
pub(in crate::local) struct Board {
    status: watch::Sender<PodStatus>,
    /// Something changed in some pod.
    changed: Arc<Notify>,
}

impl Board {
    pub(in crate::local) fn new(status: PodStatus, changed: Arc<Notify>) -> Self {
        Board { status: watch::Sender::new(status), changed }
    }

    pub(in crate::local) fn subscribe(&self) -> watch::Receiver<PodStatus> {
        self.status.subscribe()
    }

    pub(super) fn change(&self, name: &str, change: impl FnOnce(&mut ContainerStatus)) {
        self.modify(|pod| {
            if let Some(container) = pod.containers.iter_mut().find(|container| container.name == name) {
                change(container);
            }
        });
    }

    pub(super) fn initialised(&self) {
        self.modify(|pod| pod.is_initialised = true);
    }

    pub(super) fn ended(&self) {
        self.modify(|pod| pod.has_ended = true);
    }

    /// Waits until a container is past its startup probe.
    pub(super) async fn wait_started(&self, name: &str) {
        let mut status = self.subscribe();
        let started = |pod: &PodStatus| pod.containers.iter().any(|it| it.name == name && it.started);
        // The sender is part of `self`, so the wait does not end without a result.
        let _ = status.wait_for(started).await;
    }

    fn modify(&self, change: impl FnOnce(&mut PodStatus)) {
        let changed = self.status.send_if_modified(|pod| {
            let before = pod.clone();
            change(pod);
            *pod != before
        });
        if changed {
            self.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(state: State, ready: bool) -> ContainerStatus {
        ContainerStatus {
            name: "c".into(),
            image: String::new(),
            is_init: false,
            started: ready,
            ready,
            restarts: 0,
            reason: if ready { String::new() } else { "because".into() },
            state,
        }
    }

    #[test]
    fn phases_follow_the_containers() {
        let pod = |containers: Vec<ContainerStatus>, is_initialised, has_ended| PodStatus {
            containers,
            is_initialised,
            has_ended,
        };
        let waiting = || container(State::Waiting, false);
        let running = || container(State::Running { pid: 1 }, true);
        let done = |code| container(State::Ended { code }, false);
        assert_eq!(pod(vec![waiting()], false, false).phase(), Phase::Pending);
        assert_eq!(pod(vec![waiting()], false, false).reason(), "because");
        assert_eq!(pod(vec![running(), waiting()], true, false).phase(), Phase::Running);
        assert!(!pod(vec![running(), waiting()], true, false).is_ready());
        assert!(pod(vec![running()], true, false).is_ready());
        assert!(!pod(vec![running()], true, true).is_ready());
        assert_eq!(pod(vec![done(0)], true, true).phase(), Phase::Succeeded);
        assert_eq!(pod(vec![done(0), done(3)], true, true).phase(), Phase::Failed);
        assert_eq!(pod(vec![done(0)], false, true).phase(), Phase::Failed);
    }

    #[test]
    fn only_changes_wake_the_supervisor() {
        let changed = Arc::new(Notify::new());
        let status = PodStatus { containers: vec![container(State::Waiting, false)], ..PodStatus::default() };
        let board = Board::new(status, changed);
        let receiver = board.subscribe();
        board.change("c", |container| container.ready = false);
        assert!(!receiver.has_changed().unwrap());
        board.change("c", |container| container.ready = true);
        assert!(receiver.has_changed().unwrap());
    }
}
