//! What became of each pod, for its user: a file a pod, or the pod's annotation.

mod annotations;
mod files;

use std::io;

use serde::{Deserialize, Serialize};

pub(crate) use annotations::{Annotations, Board};
pub(crate) use files::Files;

use crate::pod::{Pods, Uid};

/// Whether a pod's traffic goes through the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Redirection {
    /// It does.
    Enabled,
    /// It should, and cannot yet.
    Pending,
    /// It should not.
    None,
}

/// What became of one pod; the content of its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) redirection: Redirection,
    #[serde(default)]
    pub(crate) message: String,
    /// The network namespace it is true of.
    #[serde(skip)]
    pub(crate) namespace: Option<u64>,
}

/// Where the results of this node go.
pub(crate) enum Results {
    /// Files in a directory.
    Files(Files),
    /// The annotations of the pods.
    Annotations(Annotations),
}

impl Results {
    /// Takes over what the pods themselves say of an earlier agent's work.
    pub(crate) fn learn(&self, pods: &Pods) {
        if let Results::Annotations(annotations) = self {
            annotations.learn(pods);
        }
    }

    /// What was last said about a pod.
    pub(crate) fn find(&self, uid: &str) -> Option<Redirection> {
        match self {
            Results::Files(files) => files.find(uid),
            Results::Annotations(annotations) => annotations.find(uid),
        }
    }

    /// The pods of which something was said.
    pub(crate) fn known(&self) -> Vec<Uid> {
        match self {
            Results::Files(files) => files.known(),
            Results::Annotations(annotations) => annotations.known(),
        }
    }

    /// Says what became of a pod.
    pub(crate) fn set(&mut self, uid: &Uid, outcome: Outcome) -> io::Result<()> {
        match self {
            Results::Files(files) => files.set(uid, outcome),
            Results::Annotations(annotations) => {
                annotations.set(uid, outcome);
                Ok(())
            }
        }
    }

    /// Drops the results of pods that are gone.
    pub(crate) fn retain(&mut self, known: impl Fn(&str) -> bool) -> io::Result<()> {
        match self {
            Results::Files(files) => files.retain(known),
            Results::Annotations(annotations) => {
                annotations.retain(known);
                Ok(())
            }
        }
    }
}
