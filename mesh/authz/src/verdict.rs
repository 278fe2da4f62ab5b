//! From the policies that apply to a request at a waypoint to a decision: DENY, then ALLOW, once everybody has
//! consented whom CUSTOM policies ask (`consent.rs`); and what policies say that only note.

use std::fmt;

use mesh_model::{Attribute, PolicyAction, PolicyKey, RequestPolicy};
use thiserror::Error;

use crate::conditions::{attributes, find_rule};
use crate::{Call, Consent, Permit};

/// Why a request was denied.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CallDenial {
    /// A denying policy matched.
    #[error("explicitly denied by: {policy}")]
    ExplicitlyDenied {
        /// The policy.
        policy: PolicyKey,
        /// The place of the rule that matched.
        rule: usize,
    },
    /// Only what is allowed may pass, and this is not.
    #[error("allow policies exist, but none allowed")]
    NotAllowed,
}

impl CallDenial {
    /// What access logs say of it, in the words of Envoy.
    pub fn details(&self) -> String {
        match self {
            CallDenial::ExplicitlyDenied { policy, rule } => format!(
                "rbac_access_denied_matched_policy[ns[{}]-policy[{}]-rule[{rule}]]",
                policy.namespace, policy.name
            ),
            CallDenial::NotAllowed => "rbac_access_denied_matched_policy[none]".to_owned(),
        }
    }
}

/// What a policy says of a request that it does not decide about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note<'p> {
    /// What it is.
    pub kind: NoteKind,
    /// The policy; none if it is that no policy matched.
    pub policy: Option<&'p PolicyKey>,
}

/// Kinds of notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteKind {
    /// An AUDIT policy matches.
    Audit,
    /// A dry-run policy would have denied it.
    WouldDeny,
    /// A dry-run policy would have allowed it.
    WouldAllow,
    /// There are dry-run policies that allow, and none would have allowed it.
    WouldNotAllow,
}

impl fmt::Display for NoteKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NoteKind::Audit => "audit policy match",
            NoteKind::WouldDeny => "dry-run: deny policy match",
            NoteKind::WouldAllow => "dry-run: allow policy match",
            NoteKind::WouldNotAllow => "dry-run: no allow policies match",
        })
    }
}

/// Judges a request, or a connection that carries none, by the policies that apply, in any order. Dry-run policies
/// do not count.
pub fn authorize_call<'p>(
    policies: impl Iterator<Item = &'p RequestPolicy> + Clone,
    call: &Call<'_>,
    _consent: Consent,
) -> Result<Permit, CallDenial> {
    let policies = policies.filter(|policy| !policy.dry_run);
    for policy in policies.clone().filter(|policy| policy.action == PolicyAction::Deny) {
        if let Some(rule) = find_rule(policy, call) {
            return Err(CallDenial::ExplicitlyDenied { policy: policy.key.clone(), rule });
        }
    }
    let mut allowing = policies.filter(|policy| policy.action == PolicyAction::Allow).peekable();
    if allowing.peek().is_none() || allowing.any(|policy| find_rule(policy, call).is_some()) {
        return Ok(Permit::given());
    }
    Err(CallDenial::NotAllowed)
}

/// What audit and dry-run policies have to say, for the log.
pub fn notes<'p>(policies: impl Iterator<Item = &'p RequestPolicy>, call: &Call<'_>) -> Vec<Note<'p>> {
    let (mut allowing, mut allowed) = (false, false);
    let mut notes = Vec::new();
    for policy in policies.filter(|it| it.dry_run || it.action == PolicyAction::Audit) {
        let kind = match (&policy.action, policy.dry_run) {
            (PolicyAction::Audit, false) => NoteKind::Audit,
            (PolicyAction::Deny, _) => NoteKind::WouldDeny,
            (PolicyAction::Allow, _) => NoteKind::WouldAllow,
            // Nobody outside is asked for a decision that does not count.
            (PolicyAction::Custom(_) | PolicyAction::Audit, _) => continue,
        };
        allowing |= kind == NoteKind::WouldAllow;
        if find_rule(policy, call).is_some() {
            allowed |= kind == NoteKind::WouldAllow;
            notes.push(Note { kind, policy: Some(&policy.key) });
        }
    }
    if allowing && !allowed {
        notes.push(Note { kind: NoteKind::WouldNotAllow, policy: None });
    }
    notes
}

/// Whether some policy looks at the name that a client asks for by TLS.
pub fn asks_for_sni<'p>(policies: impl IntoIterator<Item = &'p RequestPolicy>) -> bool {
    let mut rules = policies.into_iter().flat_map(|policy| &policy.rules);
    rules.any(|rule| attributes(rule).any(|it| *it == Attribute::ConnectionSni))
}
