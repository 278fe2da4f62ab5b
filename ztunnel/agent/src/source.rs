//! Where the agent learns which pods its node has.

pub mod directory;
pub(crate) mod kubernetes;

use anyhow::Result;
use tokio::sync::watch;

use crate::pod::Pods;

/// Tells the pods of the node, and what becomes of them.
pub trait Source: Send + 'static {
    /// Publishes all pods of the node, at the start and after every change, for as
    /// long as somebody listens. An error means that the agent cannot go on.
    fn run(self, pods: watch::Sender<Option<Pods>>) -> impl Future<Output = Result<()>> + Send;
}
