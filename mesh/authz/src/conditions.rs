//! Does a policy over requests match? Rules are alternatives, their clauses go together, the alternatives of a clause
//! are such, and the conditions of one go together.

use mesh_model::{Attribute, Condition, Pattern, PolicyAction, PolicyRule, RequestPolicy};

use crate::Call;
use crate::readings::{self, Reach, Value};

/// Whether a match opens something or closes it. Where something about it is open, neither may be walked around.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Opens,
    Closes,
    /// Somebody is asked, before tokens are looked at.
    Asks,
}

impl Purpose {
    fn of(action: &PolicyAction) -> Self {
        match action {
            PolicyAction::Allow => Purpose::Opens,
            PolicyAction::Deny | PolicyAction::Audit => Purpose::Closes,
            PolicyAction::Custom(_) => Purpose::Asks,
        }
    }

    /// How far wanted values reach, and how far unwanted ones.
    fn reaches(self) -> (Reach, Reach) {
        match self {
            Purpose::Opens => (Reach::Literal, Reach::Wide),
            Purpose::Closes | Purpose::Asks => (Reach::Wide, Reach::Literal),
        }
    }
}

/// The first rule of a policy that matches, by its place.
pub(crate) fn find_rule(policy: &RequestPolicy, call: &Call<'_>) -> Option<usize> {
    let purpose = Purpose::of(&policy.action);
    policy.rules.iter().position(|rule| rule_matches(rule, call, purpose))
}

fn rule_matches(rule: &PolicyRule, call: &Call<'_>, purpose: Purpose) -> bool {
    // api.md §3.6: of a permission for requests nothing holds for connections that carry none.
    if call.request.is_none() && purpose == Purpose::Opens && attributes(rule).any(Attribute::is_of_requests)
    {
        return false;
    }
    rule.clauses.iter().all(|clause| {
        let all = |conditions: &Vec<Condition>| conditions.iter().all(|it| matches(it, call, purpose));
        clause.alternatives.iter().any(all)
    })
}

/// What a rule is about.
pub(crate) fn attributes(rule: &PolicyRule) -> impl Iterator<Item = &Attribute> {
    let alternatives = rule.clauses.iter().flat_map(|clause| &clause.alternatives);
    alternatives.flatten().map(|condition| &condition.attribute)
}

fn matches(condition: &Condition, call: &Call<'_>, purpose: Purpose) -> bool {
    if call.request.is_none() && condition.attribute.is_of_requests() {
        // A prohibition does without it, and gets broader.
        return purpose != Purpose::Opens;
    }
    if purpose == Purpose::Asks && condition.attribute.is_of_tokens() {
        // Not known yet, so better asked once too often.
        return true;
    }
    let has = |pattern: &Pattern, reach| {
        readings::any(&condition.attribute, call, reach, &mut |value| fits(pattern, value))
    };
    let (wanted, unwanted) = purpose.reaches();
    (condition.any_of.is_empty() || condition.any_of.iter().any(|pattern| has(pattern, wanted)))
        && !condition.none_of.iter().any(|pattern| has(pattern, unwanted))
}

/// A pattern for another kind of value fits none. Nothing is matched by nothing (L4-09).
fn fits(pattern: &Pattern, value: Value<'_>) -> bool {
    match (pattern, value) {
        (_, Value::Unreadable) => true,
        (_, Value::Text("") | Value::Name("")) => false,
        (Pattern::Presence, _) => true,
        (Pattern::Exact(text), Value::Text(value)) => value == &**text,
        (Pattern::Prefix(text), Value::Text(value)) => value.starts_with(&**text),
        (Pattern::Suffix(text), Value::Text(value)) => value.ends_with(&**text),
        (Pattern::Exact(text), Value::Name(value)) => value.eq_ignore_ascii_case(text),
        (Pattern::Prefix(text), Value::Name(value)) => {
            value.as_bytes().get(..text.len()).is_some_and(|it| it.eq_ignore_ascii_case(text.as_bytes()))
        }
        (Pattern::Suffix(text), Value::Name(value)) => {
            let from = value.len().checked_sub(text.len());
            let end = from.map(|from| &value.as_bytes()[from..]);
            end.is_some_and(|it| it.eq_ignore_ascii_case(text.as_bytes()))
        }
        (Pattern::Template(template), Value::Text(value)) => template.matches(value),
        (Pattern::Block(block), Value::Ip(ip)) => block.contains(&ip),
        (Pattern::Port(port), Value::Port(value)) => *port == value,
        (Pattern::ServiceAccount(account), Value::Account(identity)) => {
            identity.namespace == account.namespace && identity.service_account == account.service_account
        }
        _ => false,
    }
}
