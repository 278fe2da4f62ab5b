//! What all workers know of one endpoint: how many requests are on their way to it, and how it has done.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use mesh_model::{OutlierDetection, Uid};
use tokio::time::Instant;

use super::group::Group;
use super::outcome::Outcome;
use super::outlier::Streaks;

/// One endpoint of a group.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) uid: Uid,
    pub(super) address: SocketAddr,
    /// When it joined the group.
    pub(super) since: Instant,
    streaks: Streaks,
    on_their_way: AtomicU32,
}

/// Who wants to know how the endpoints of a group do, and what they are judged by.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) group: Arc<Group>,
    pub(super) detection: OutlierDetection,
}

impl Record {
    pub(super) fn new(uid: Uid, address: SocketAddr, since: Instant) -> Record {
        Record { uid, address, since, streaks: Streaks::default(), on_their_way: AtomicU32::new(0) }
    }

    /// How many requests are on their way to it.
    pub(super) fn load(&self) -> u32 {
        self.on_their_way.load(Relaxed)
    }
}

/// A request, or a connection, that an endpoint is busy with until this is dropped.
#[derive(Debug, Default)]
pub(crate) struct OnItsWay {
    /// None if there is nobody to choose instead.
    record: Option<Arc<Record>>,
    watch: Option<Arc<Watch>>,
}

impl OnItsWay {
    pub(super) fn to(record: &Arc<Record>, watch: Option<&Arc<Watch>>) -> OnItsWay {
        record.on_their_way.fetch_add(1, Relaxed);
        OnItsWay { record: Some(record.clone()), watch: watch.cloned() }
    }

    /// Says what has become of it. Call on a worker's runtime: the endpoint may be left out for a while now.
    pub(crate) fn tell(&self, outcome: Option<Outcome>) {
        let (Some(record), Some(watch), Some(outcome)) = (&self.record, &self.watch, outcome) else { return };
        if let Some(reason) = record.streaks.count(outcome, &watch.detection) {
            watch.group.eject(record, &watch.detection, reason, Instant::now());
        }
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        if let Some(record) = &self.record {
            record.on_their_way.fetch_sub(1, Relaxed);
        }
    }
}
