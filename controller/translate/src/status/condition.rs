//! One statement about an object.

use serde::Serialize;

use crate::resources::Problem;

/// How many problems a message names; the rest is counted.
const MOST: usize = 10;

/// A condition without its time of transition, which depends on what was written before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// For instance `Accepted`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `True` or `False`.
    pub status: &'static str,
    /// One word for programs.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
    /// The generation of the object that this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

impl Condition {
    pub(super) fn new(
        kind: &'static str,
        holds: bool,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        let status = if holds { "True" } else { "False" };
        Condition { kind, status, reason, message: message.into(), observed_generation: None }
    }

    pub(super) fn holds(kind: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Condition::new(kind, true, reason, message)
    }

    pub(super) fn fails(kind: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Condition::new(kind, false, reason, message)
    }
}

/// Notes the generation they are about.
pub(super) fn observe(conditions: &mut [Condition], generation: Option<i64>) {
    for condition in conditions {
        condition.observed_generation = generation;
    }
}

/// `ResolvedRefs`, and `PartiallyInvalid` where something is not honoured.
pub(super) fn of_problems(problems: &[Problem]) -> Vec<Condition> {
    let (unsupported, broken): (Vec<_>, Vec<_>) = problems.iter().partition(|it| !it.is_reference());
    let resolved = match broken.first() {
        None => Condition::holds("ResolvedRefs", "ResolvedRefs", "All references resolved"),
        Some(first) => Condition::fails("ResolvedRefs", first.reason.as_str(), join(&broken)),
    };
    let partly = (!unsupported.is_empty())
        .then(|| Condition::holds("PartiallyInvalid", "UnsupportedValue", join(&unsupported)));
    [Some(resolved), partly].into_iter().flatten().collect()
}

fn join(problems: &[&Problem]) -> String {
    let mut texts: Vec<String> = problems.iter().take(MOST).map(ToString::to_string).collect();
    if problems.len() > MOST {
        texts.push(format!("and {} more", problems.len() - MOST));
    }
    texts.join("; ")
}
