//! Why a certificate was not signed, as callers hear it and as operators count it.

use std::sync::atomic::{AtomicU64, Ordering};

use tonic::Status;

/// What a refusal was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The token proves nothing.
    Token,
    /// The identity asked for is none.
    Identity,
    /// The identity asked for is of another trust domain.
    TrustDomain,
    /// The caller may not ask for identities that are not its own.
    Impersonation,
    /// The pod of the token does not run.
    UnknownCaller,
    /// No pod on the caller's node has the identity asked for.
    NotOnNode,
    /// The certificate request cannot be signed.
    Request,
    /// It cannot be decided or signed now.
    Unavailable,
}

impl Reason {
    const ALL: [Reason; 8] = [
        Reason::Token,
        Reason::Identity,
        Reason::TrustDomain,
        Reason::Impersonation,
        Reason::UnknownCaller,
        Reason::NotOnNode,
        Reason::Request,
        Reason::Unavailable,
    ];

    /// As a label of a metric.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Token => "token",
            Reason::Identity => "identity",
            Reason::TrustDomain => "trust_domain",
            Reason::Impersonation => "impersonation",
            Reason::UnknownCaller => "unknown_caller",
            Reason::NotOnNode => "not_on_node",
            Reason::Request => "request",
            Reason::Unavailable => "unavailable",
        }
    }
}

/// A refusal and what to tell the caller.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(super) reason: Reason,
    pub(crate) status: Status,
}

impl Refusal {
    pub(super) fn unauthenticated(reason: Reason, message: impl Into<String>) -> Self {
        Refusal { reason, status: Status::unauthenticated(message) }
    }

    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Refusal { reason: Reason::Unavailable, status: Status::unavailable(message) }
    }

    /// What more facts could change.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self.reason, Reason::UnknownCaller | Reason::NotOnNode)
    }
}

/// What the service has done.
#[derive(Debug, Default)]
pub struct Statistics {
    /// Certificates signed.
    pub signed: AtomicU64,
    refused: [AtomicU64; Reason::ALL.len()],
}

impl Statistics {
    pub(super) fn refuse(&self, reason: Reason) {
        // `ALL` is in the order of the variants; a test holds it to that.
        self.refused[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Requests refused, by reason.
    pub fn refused(&self) -> impl Iterator<Item = (Reason, u64)> {
        Reason::ALL.into_iter().map(|reason| (reason, self.refused[reason as usize].load(Ordering::Relaxed)))
    }

    /// Requests refused.
    pub fn refused_in_all(&self) -> u64 {
        self.refused().map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_counted_in_its_own_place() {
        let statistics = Statistics::default();
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
            statistics.refuse(reason);
        }
        assert!(statistics.refused().all(|(_, count)| count == 1));
        assert_eq!(statistics.refused_in_all(), 8);
    }
}
