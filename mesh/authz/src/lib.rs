//! Authorization as a pure function: policies and a connection in, a [`Permit`]
//! or a [`Denial`] out. Which policies apply to a workload is `mesh-state`'s business.

mod connection;
mod decision;
mod rules;

pub use connection::Connection;
pub use decision::{Denial, DryRun, Permit, authorize, dry_run};

use mesh_model::Policy;

/// Whether a policy says anything about a connection, whatever its action and `dry_run`.
pub fn matches(policy: &Policy, connection: &Connection<'_>) -> bool {
    rules::policy_matches(policy, &connection::Attributes::of(connection))
}

#[cfg(test)]
mod tests;
