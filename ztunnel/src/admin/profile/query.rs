//! What a request for a profile asks for.

use std::ops::RangeInclusive;

use thiserror::Error;

/// How long, and how often in each second of CPU time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) seconds: u64,
    pub(super) frequency: i32,
}

/// A question that cannot be answered.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum InvalidQuery {
    #[error("{name} is {value:?}; expected a number from {} to {}", allowed.start(), allowed.end())]
    Number { name: &'static str, value: String, allowed: RangeInclusive<u32> },
    #[error("unknown parameter {0:?}; expected seconds and frequency")]
    Unknown(String),
}

impl Wanted {
    /// From the query of a URI; ten seconds at 100 Hz unless it says otherwise.
    pub(super) fn read(query: &str) -> Result<Self, InvalidQuery> {
        let mut wanted = Wanted { seconds: 10, frequency: 100 };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=').unwrap_or((pair, "")) {
                ("seconds", value) => wanted.seconds = number("seconds", value, 1..=300)?.into(),
                ("frequency", value) => {
                    wanted.frequency = i32::try_from(number("frequency", value, 1..=1000)?).unwrap_or(1000);
                }
                (other, _) => return Err(InvalidQuery::Unknown(other.to_owned())),
            }
        }
        Ok(wanted)
    }
}

fn number(name: &'static str, value: &str, allowed: RangeInclusive<u32>) -> Result<u32, InvalidQuery> {
    match value.parse() {
        Ok(number) if allowed.contains(&number) => Ok(number),
        _ => Err(InvalidQuery::Number { name, value: value.to_owned(), allowed }),
    }
}
