//! From the policies that apply to a decision (L4-04), and what dry-run policies would have said (L4-13).

use std::fmt;

use mesh_model::{Action, Policy, PolicyKey};
use thiserror::Error;

use crate::connection::{Attributes, Connection};
use crate::rules::policy_matches;

/// The right to carry a connection to its destination. Only [`authorize`] and
/// [`authorize_call`](crate::authorize_call) make one, and whatever opens an upstream takes one.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a permit is there to be used"]
pub struct Permit(());

impl Permit {
    pub(crate) fn given() -> Self {
        Permit(())
    }
}

/// Why a connection was denied.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Denial {
    /// A denying policy matched.
    #[error("explicitly denied by: {0}")]
    ExplicitlyDenied(PolicyKey),
    /// Only what is allowed may pass, and this is not.
    #[error("allow policies exist, but none allowed")]
    NotAllowed,
}

/// What a dry-run policy would have done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DryRun<'p> {
    /// It would have denied.
    Denied(&'p PolicyKey),
    /// It would have allowed.
    Allowed(&'p PolicyKey),
    /// There are allowing dry-run policies and none of them would have.
    NotAllowed,
}

impl fmt::Display for DryRun<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DryRun::Denied(_) => f.write_str("dry-run: deny policy match"),
            DryRun::Allowed(_) => f.write_str("dry-run: allow policy match"),
            DryRun::NotAllowed => f.write_str("dry-run: no allow policies match"),
        }
    }
}

impl<'p> DryRun<'p> {
    /// The policy that matched, if one did.
    pub fn policy(&self) -> Option<&'p PolicyKey> {
        match self {
            DryRun::Denied(policy) | DryRun::Allowed(policy) => Some(policy),
            DryRun::NotAllowed => None,
        }
    }
}

/// Judges a connection by the policies that apply to its destination, in any
/// order: a matching DENY denies; without any ALLOW everything else is allowed;
/// otherwise an ALLOW has to match. Dry-run policies do not count.
pub fn authorize<'p>(
    policies: impl IntoIterator<Item = &'p Policy>,
    connection: &Connection<'_>,
) -> Result<Permit, Denial> {
    let source = Attributes::of(connection);
    let (mut allowing, mut allowed) = (false, false);
    for policy in policies.into_iter().filter(|policy| !policy.dry_run) {
        match policy.action {
            Action::Deny if policy_matches(policy, &source) => {
                return Err(Denial::ExplicitlyDenied(policy.key.clone()));
            }
            Action::Deny => {}
            Action::Allow => {
                allowing = true;
                allowed = allowed || policy_matches(policy, &source);
            }
        }
    }
    if allowed || !allowing { Ok(Permit::given()) } else { Err(Denial::NotAllowed) }
}

/// What the dry-run policies among those that apply would have done, for the log.
pub fn dry_run<'p>(
    policies: impl IntoIterator<Item = &'p Policy>,
    connection: &Connection<'_>,
) -> Vec<DryRun<'p>> {
    let source = Attributes::of(connection);
    let (mut allowing, mut allowed) = (false, false);
    let mut hits = Vec::new();
    for policy in policies.into_iter().filter(|policy| policy.dry_run) {
        let hit = policy_matches(policy, &source);
        allowing |= policy.action == Action::Allow;
        match policy.action {
            Action::Deny if hit => hits.push(DryRun::Denied(&policy.key)),
            Action::Allow if hit => {
                allowed = true;
                hits.push(DryRun::Allowed(&policy.key));
            }
            Action::Deny | Action::Allow => {}
        }
    }
    if allowing && !allowed {
        hits.push(DryRun::NotAllowed);
    }
    hits
}
