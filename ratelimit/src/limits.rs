//! How many requests may pass, as the configuration says it, and which limit a question is about.

mod written;

use std::collections::BTreeMap;

use thiserror::Error;

/// Limits of every domain.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    domains: BTreeMap<String, Level>,
}

/// The descriptors with the same beginning, by their next key.
#[derive(Clone, Debug, Default, PartialEq)]
struct Level {
    keys: BTreeMap<String, Values>,
}

/// The descriptors with the same next key, by what they say of its value.
#[derive(Clone, Debug, Default, PartialEq)]
struct Values {
    exact: BTreeMap<String, Node>,
    /// Beginnings of values, longest first.
    prefixes: Vec<(String, Node)>,
    any: Option<Node>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Node {
    limit: Option<Limit>,
    below: Level,
}

/// One limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// For people; may be empty.
    pub name: String,
    /// So many may pass in one unit; none: any number.
    pub requests: Option<u32>,
    /// The unit.
    pub unit: Unit,
    /// It only counts, and refuses nothing.
    pub shadow: bool,
}

/// A unit of time. Windows begin where the unit does, as of 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    /// 30 days.
    Month,
    /// 365 days.
    Year,
}

/// What is wrong with a configuration.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Invalid {
    /// It is no YAML, or not of this shape.
    #[error("{0}")]
    Unreadable(String),
    /// Something that has to be there is not.
    #[error("{place}: is needed")]
    Missing {
        /// Where.
        place: String,
    },
    /// Two descriptors are about the same.
    #[error("{place}: there is another descriptor for the same key and value")]
    Repeated {
        /// Where.
        place: String,
    },
    /// Another file has the domain.
    #[error("domain {0:?} is in another file too")]
    SharedDomain(String),
    /// It limits nothing.
    #[error("{place}: has neither rate_limit nor descriptors, so it limits nothing")]
    Empty {
        /// Where.
        place: String,
    },
    /// A limit says how many and that any number may pass; or neither.
    #[error("{place}: exactly one of requests_per_unit and unlimited is needed")]
    Ambiguous {
        /// Where.
        place: String,
    },
}

impl Unit {
    /// How many seconds it has.
    pub fn seconds(self) -> u64 {
        match self {
            Unit::Second => 1,
            Unit::Minute => 60,
            Unit::Hour => 3600,
            Unit::Day => 24 * 3600,
            Unit::Month => 30 * 24 * 3600,
            Unit::Year => 365 * 24 * 3600,
        }
    }
}

impl Limits {
    /// Adds what one file says: a domain and its descriptors.
    pub fn add(&mut self, text: &str) -> Result<(), Invalid> {
        let (domain, level) = written::read(text)?;
        if self.domains.contains_key(&domain) {
            return Err(Invalid::SharedDomain(domain));
        }
        self.domains.insert(domain, level);
        Ok(())
    }

    /// The limit for a descriptor, key by key: a value that is named goes before its beginning, and that before any.
    /// Only a descriptor of exactly that length has it.
    pub fn find<'a>(
        &self,
        domain: &str,
        entries: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Option<&Limit> {
        let mut level = self.domains.get(domain)?;
        let mut found = None;
        for (key, value) in entries {
            let node = level.keys.get(key)?.find(value)?;
            found = node.limit.as_ref();
            level = &node.below;
        }
        found
    }
}

impl Values {
    fn find(&self, value: &str) -> Option<&Node> {
        let begins =
            || self.prefixes.iter().find(|(prefix, _)| value.starts_with(prefix)).map(|(_, node)| node);
        self.exact.get(value).or_else(begins).or(self.any.as_ref())
    }
}

#[cfg(test)]
mod tests;
