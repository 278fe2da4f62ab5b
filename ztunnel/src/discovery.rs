//! Resources on demand (AD-14): instead of everything, the controller is asked for what
//! connections need, by name. A connection waits for the answers; what has not been needed for long is given up again.

mod asked;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use mesh_state::{AddressHandler, Reader, ResourceName, Snapshot, Writer};
use mesh_xds::{Demand, DemandError, Handler, RawResource, Rejected};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};

pub(crate) use asked::Asked;
use asked::Standing;

/// Names asked for at the same time.
const MOST_NAMES: usize = 50_000;
/// How often names are looked through for those that nobody needs any more.
const SWEEP: Duration = Duration::from_secs(10);

/// What an answer is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// To know where a connection may go.
    Route,
    /// To describe a connection, whose source anybody may choose.
    Description,
}

impl Need {
    fn patience(self) -> Duration {
        match self {
            Need::Route => Duration::from_secs(5),
            Need::Description => Duration::from_secs(1),
        }
    }

    /// Whoever calls from many addresses takes no place from those who want to go somewhere.
    fn most_names(self) -> usize {
        match self {
            Need::Route => MOST_NAMES,
            Need::Description => MOST_NAMES / 2,
        }
    }
}

/// Asks for resources by name. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Discovery {
    asked: Arc<Asked>,
    demand: Demand,
    reader: Reader,
}

/// Takes the answers on their way into the store.
pub(crate) struct Answers {
    store: AddressHandler,
    reader: Reader,
    asked: Arc<Asked>,
}

/// Why it is not known where a connection may go. It is closed: passed on unencrypted it
/// could miss its tunnel.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum Unanswered {
    #[error("the controller has not said within {} s what {name} is", after.as_secs())]
    Silent { name: Arc<str>, after: Duration },
    #[error("{most} names are asked for already; {name} is one too many")]
    TooMany { name: Arc<str>, most: usize },
    #[error("cannot ask what {name} is: {source}")]
    NotAsked { name: Arc<str>, source: DemandError },
}

impl Answers {
    /// Between the discovery stream and the store.
    pub(crate) fn new(asked: Arc<Asked>, store: AddressHandler, reader: Reader) -> Self {
        Answers { store, reader, asked }
    }
}

impl Handler for Answers {
    fn type_url(&self) -> &'static str {
        self.store.type_url()
    }

    fn apply(&mut self, upserts: Vec<RawResource>, removed: Vec<String>) -> Vec<Rejected> {
        let came: Vec<String> = upserts.iter().map(|resource| resource.name.clone()).collect();
        let gone = removed.clone();
        let rejected = self.store.apply(upserts, removed);
        // After the store: who is told that an answer has come finds it there.
        self.asked.note(&self.reader.snapshot(), &came, &gone, Instant::now());
        rejected
    }
}

impl Discovery {
    /// Asks through `demand`; the answers come to the [`Answers`] with the same `asked`.
    pub(crate) fn new(asked: Arc<Asked>, demand: Demand, reader: Reader) -> Self {
        Discovery { asked, demand, reader }
    }

    /// Asks, and waits for nothing.
    pub(crate) fn ask(&self, name: ResourceName) -> Result<(), Unanswered> {
        self.standing(&self.reader.snapshot(), &name, Need::Route).map(drop)
    }

    /// Waits until each of the names is known, or known to lead nowhere. They are
    /// computed again with every answer, since it may bring up others.
    pub(crate) async fn settle(
        &self,
        names: impl Fn(&Snapshot) -> Vec<ResourceName>,
        need: Need,
    ) -> Result<(), Unanswered> {
        let deadline = Instant::now() + need.patience();
        let mut answers = self.asked.answers();
        loop {
            let snapshot = self.reader.snapshot();
            let mut pending = None;
            for name in names(&snapshot) {
                if self.standing(&snapshot, &name, need)? == Standing::Open {
                    pending.get_or_insert(name);
                }
            }
            let Some(name) = pending else { return Ok(()) };
            if timeout_at(deadline, answers.changed()).await.is_err() {
                return Err(Unanswered::Silent { name: name.to_string().into(), after: need.patience() });
            }
        }
    }

    fn standing(&self, snapshot: &Snapshot, name: &ResourceName, need: Need) -> Result<Standing, Unanswered> {
        self.asked.use_name(snapshot, name, &self.demand, (need, Instant::now()))
    }

    /// Gives up names that have not been used for long, and what they brought, for as long as the
    /// process lives. What belongs to `node` stays: its pods are still there.
    pub(crate) async fn forget_unused(self, writer: Writer, node: String) {
        loop {
            tokio::time::sleep(SWEEP).await;
            self.asked.forget_unused(&self.reader, &writer, &self.demand, &node, Instant::now());
        }
    }
}
