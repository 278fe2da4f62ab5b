//! The pods of this node that are enrolled, and the proxy of each.

mod keeper;
mod table;

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

pub(crate) use keeper::{Keeper, PodView, Roster};

/// The uid Kubernetes gave the pod; not the uid of its workload resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PodUid(pub(crate) Arc<str>);

impl fmt::Display for PodUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a message of the node agent was not carried out.
#[derive(Debug, Error)]
pub(crate) enum Rejected {
    /// It has no meaning here; the two sides disagree, a new conversation has to settle it.
    #[error("{0}")]
    Protocol(String),
    /// The pod's proxy could not be started; it is tried again.
    #[error("the proxy of pod {uid} could not be started: {reason}")]
    NotStarted {
        /// The pod.
        uid: PodUid,
        /// Why.
        reason: std::io::Error,
    },
}
