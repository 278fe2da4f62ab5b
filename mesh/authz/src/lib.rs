//! Authorization as a pure function: policies and a connection in, a [`Permit`]
//! or a [`Denial`] out. Which policies apply to a workload is `mesh-state`'s business.
//! At a waypoint it is policies over requests and a [`Call`]: [`questions`], then [`authorize_call`].

mod call;
mod conditions;
mod connection;
mod consent;
mod decision;
mod readings;
mod rules;
mod token;
mod verdict;

pub use call::{Call, Request};
pub use connection::Connection;
pub use consent::{Consent, NotConsented, Question, Questions, questions};
pub use decision::{Denial, DryRun, Permit, authorize, dry_run};
pub use token::Token;
pub use verdict::{CallDenial, Note, NoteKind, asks_for_sni, authorize_call, notes};

use mesh_model::Policy;

/// Whether a policy says anything about a connection, whatever its action and `dry_run`.
pub fn matches(policy: &Policy, connection: &Connection<'_>) -> bool {
    rules::policy_matches(policy, &connection::Attributes::of(connection))
}

#[cfg(test)]
mod tests;
