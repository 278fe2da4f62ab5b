//! Where objects come from: a directory of manifests, or Kubernetes.

use std::future::Future;

use controller_translate::cluster::Certificates;
use controller_translate::{KeySet, KeySource, Name, Object, ObjectKey, Obstacle};
use tokio::sync::mpsc;

/// A change to the objects, as it happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// New or changed; the same again does no harm.
    Applied(Box<Object>),
    /// Gone.
    Deleted(ObjectKey),
    /// Something is in the way of a Gateway's waypoint, or nothing any more. Told by whoever deploys waypoints.
    Obstacle(Name, Option<Obstacle>),
    /// What is known of the keys of a token issuer; none once nobody asks for them. Told by whoever fetches them.
    Keys(KeySource, Option<KeySet>),
    /// What is known of the certificates in a ConfigMap that a policy names. Told by whoever reads it.
    Certificates(Name, Certificates),
    /// Everything that was there at the start has been sent. Nothing is
    /// published before it, so that an incomplete picture takes nothing away.
    InitDone,
}

/// How many events may wait for the reader.
pub const QUEUE: usize = 1024;

/// Watches objects and sends what happens to them.
pub trait Source: Send + 'static {
    /// Sends events until their receiver is dropped. Ends earlier only when
    /// watching has become impossible.
    fn run(self, events: mpsc::Sender<Event>) -> impl Future<Output = anyhow::Result<()>> + Send;
}
