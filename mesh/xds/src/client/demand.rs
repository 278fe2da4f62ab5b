//! Subscribing by name, when somebody asks (AD-14).

use std::sync::Arc;

use thiserror::Error;
use tokio::sync::mpsc;

/// How many wishes may wait to be sent.
const QUEUE: usize = 8192;

/// Asks the controller for resources of one type by name or alias. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Demand {
    type_url: &'static str,
    wishes: mpsc::Sender<Wish>,
}

/// Why a name was not asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DemandError {
    /// Too many names wait to be sent.
    #[error("too many resources are being asked for; try again later")]
    Busy,
    /// The client is gone.
    #[error("the discovery client has stopped")]
    Stopped,
}

/// A change to the set of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) type_url: &'static str,
    pub(super) name: Arc<str>,
    pub(super) wanted: bool,
}

pub(super) fn channel() -> (mpsc::Sender<Wish>, mpsc::Receiver<Wish>) {
    mpsc::channel(QUEUE)
}

impl Demand {
    pub(super) fn new(type_url: &'static str, wishes: mpsc::Sender<Wish>) -> Self {
        Demand { type_url, wishes }
    }

    /// Asks for a resource and its changes from now on. The answer, a resource
    /// or the removal of the name, arrives at the handler.
    pub fn subscribe(&self, name: impl Into<Arc<str>>) -> Result<(), DemandError> {
        self.send(name.into(), true)
    }

    /// Asks for no more changes. What the handler holds stays until it lets go of it.
    pub fn unsubscribe(&self, name: impl Into<Arc<str>>) -> Result<(), DemandError> {
        self.send(name.into(), false)
    }

    /// How many more wishes may wait to be sent.
    pub fn room(&self) -> usize {
        self.wishes.capacity()
    }

    fn send(&self, name: Arc<str>, wanted: bool) -> Result<(), DemandError> {
        self.wishes.try_send(Wish { type_url: self.type_url, name, wanted }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => DemandError::Busy,
            mpsc::error::TrySendError::Closed(_) => DemandError::Stopped,
        })
    }
}
