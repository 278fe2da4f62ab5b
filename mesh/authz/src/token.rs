//! What a verified token of an end user says.

use std::sync::Arc;

use serde_json::{Map, Value};

/// Claims that always are lists written as text.
const SPACE_DELIMITED: [&str; 2] = ["scope", "permission"];

/// The claims of a token whose signature, issuer, audience and time have been found good.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    claims: Map<String, Value>,
    space_delimited: Vec<Arc<str>>,
}

impl Token {
    /// A token that has been verified; `space_delimited` names further claims that are lists written as text.
    pub fn verified(claims: Map<String, Value>, space_delimited: Vec<Arc<str>>) -> Self {
        Token { claims, space_delimited }
    }

    /// All that it says.
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// `issuer/subject`, if it names both.
    pub(crate) fn principal(&self) -> Option<String> {
        let text = |name| self.claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        Some(format!("{}/{}", text("iss")?, text("sub")?))
    }

    pub(crate) fn presenter(&self) -> Option<&str> {
        self.claims.get("azp")?.as_str()
    }

    /// Whom it is for.
    pub(crate) fn any_audience(&self, test: &mut dyn FnMut(&str) -> bool) -> bool {
        self.claims.get("aud").is_some_and(|audience| any_text(audience, false, test))
    }

    /// Whether one of the values of a claim, found by its way through nested objects, is one of those.
    pub fn any_claim(&self, path: &[Arc<str>], test: &mut dyn FnMut(&str) -> bool) -> bool {
        let (Some(value), Some((first, inner))) = (self.find_claim(path), path.split_first()) else {
            return false;
        };
        let is_list = SPACE_DELIMITED.contains(&&**first) || self.space_delimited.contains(first);
        any_text(value, is_list && inner.is_empty(), test)
    }

    /// A claim by its way through nested objects.
    pub fn find_claim(&self, path: &[Arc<str>]) -> Option<&Value> {
        let (first, inner) = path.split_first()?;
        inner.iter().try_fold(self.claims.get(&**first)?, |value, name| value.as_object()?.get(&**name))
    }
}

/// Whether a value, or one in its list, is one of those. Numbers and truth values are what they are written as.
fn any_text(value: &Value, space_delimited: bool, test: &mut dyn FnMut(&str) -> bool) -> bool {
    match value {
        Value::String(text) => test(text) || (space_delimited && text.split(' ').any(test)),
        Value::Array(values) => values.iter().any(|value| match value {
            Value::Array(_) | Value::Object(_) => false,
            single => any_text(single, false, test),
        }),
        Value::Number(number) => test(&number.to_string()),
        Value::Bool(truth) => test(if *truth { "true" } else { "false" }),
        Value::Null | Value::Object(_) => false,
    }
}
