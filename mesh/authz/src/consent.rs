//! Whom CUSTOM policies ask whether a request may pass. That comes before everything else, and nothing is permitted
//! until all of them have consented.

use std::fmt;
use std::sync::Arc;

use mesh_model::{PolicyAction, PolicyKey, RequestPolicy};

use crate::Call;
use crate::conditions::find_rule;

/// Somebody has to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question<'p> {
    /// The policy that matched.
    pub policy: &'p PolicyKey,
    /// Who decides.
    pub provider: &'p Arc<str>,
}

/// Who has to be asked about a request, each once. What is left unanswered is no consent.
#[derive(Debug, PartialEq, Eq)]
pub struct Questions<'p> {
    /// The next one last.
    open: Vec<Question<'p>>,
}

/// That everybody has consented who has to be asked; [`Questions::close`] alone makes it.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a consent is there to be used"]
pub struct Consent(());

/// Somebody has not consented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotConsented {
    /// The policy that wanted it.
    pub policy: PolicyKey,
    /// Who was to be asked.
    pub provider: Arc<str>,
}

impl fmt::Display for NotConsented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, whom policy {} asks, has not consented", self.provider, self.policy)
    }
}

impl std::error::Error for NotConsented {}

/// Who has to be asked about a request, or about a connection that carries none, by the policies that apply. Those
/// that are a dry run ask nobody. What tokens say is not known yet, so a policy that looks at it asks (api.md §3.6).
pub fn questions<'p>(policies: impl Iterator<Item = &'p RequestPolicy>, call: &Call<'_>) -> Questions<'p> {
    let mut open: Vec<Question<'p>> = Vec::new();
    for policy in policies.filter(|policy| !policy.dry_run) {
        if let PolicyAction::Custom(provider) = &policy.action
            && !open.iter().any(|it| it.provider == provider)
            && find_rule(policy, call).is_some()
        {
            open.push(Question { policy: &policy.key, provider });
        }
    }
    open.reverse();
    Questions { open }
}

impl<'p> Questions<'p> {
    /// The next one.
    pub fn next(&self) -> Option<&Question<'p>> {
        self.open.last()
    }

    /// The next one is answered: whoever was asked consents.
    pub fn consented(&mut self) {
        self.open.pop();
    }

    /// Consent, if no question is left.
    pub fn close(self) -> Result<Consent, NotConsented> {
        match self.open.last() {
            None => Ok(Consent(())),
            Some(Question { policy, provider }) => {
                Err(NotConsented { policy: (*policy).clone(), provider: (*provider).clone() })
            }
        }
    }
}
