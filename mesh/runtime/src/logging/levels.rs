//! Which events are logged: a level for everything, and levels for scopes.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// More scopes than any program has.
const MOST_SCOPES: usize = 64;

/// A text that sets no level.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not a log level; expected off, error, warn, info, debug or trace, or <scope>=<level>,…")]
pub struct InvalidLevel(pub String);

/// The levels. The longest scope that an event's scope lies in decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Levels {
    everything: Option<LevelFilter>,
    scopes: BTreeMap<String, LevelFilter>,
}

/// An event's scope: its target without the name of the program or the prefix of our crates.
pub(super) fn scope_of(target: &str) -> &str {
    let own = ["ztunnel::", "waypoint::", "controller::", "mesh_"];
    own.iter().find_map(|prefix| target.strip_prefix(prefix)).unwrap_or(target)
}

impl Levels {
    /// These levels after a change: a level for everything replaces all there was.
    pub(super) fn changed_by(&self, change: Levels) -> Levels {
        if change.everything.is_some() {
            return change;
        }
        let mut changed = self.clone();
        changed.scopes.extend(change.scopes);
        while changed.scopes.len() > MOST_SCOPES {
            changed.scopes.pop_first();
        }
        changed
    }

    fn find(&self, target: &str) -> LevelFilter {
        let scope = scope_of(target);
        let inside =
            |name: &str| scope.strip_prefix(name).is_some_and(|r| r.is_empty() || r.starts_with("::"));
        let longest = self.scopes.iter().filter(|(name, _)| inside(name)).max_by_key(|(name, _)| name.len());
        longest.map(|(_, level)| *level).unwrap_or(self.everything.unwrap_or(LevelFilter::INFO))
    }

    fn passes(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.find(metadata.target())
    }
}

impl FromStr for Levels {
    type Err = InvalidLevel;

    fn from_str(text: &str) -> Result<Self, InvalidLevel> {
        let invalid = || InvalidLevel(text.to_owned());
        let level = |name: &str| match name.trim().to_ascii_lowercase().as_str() {
            "off" => Ok(LevelFilter::OFF),
            "error" => Ok(LevelFilter::ERROR),
            "warn" | "warning" => Ok(LevelFilter::WARN),
            "info" => Ok(LevelFilter::INFO),
            "debug" => Ok(LevelFilter::DEBUG),
            "trace" => Ok(LevelFilter::TRACE),
            _ => Err(invalid()),
        };
        let mut levels = Levels { everything: None, scopes: BTreeMap::new() };
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            // Scopes contain "::", so a single colon can separate as well as "=".
            let single_colon = || part.rsplit_once(':').filter(|(scope, _)| !scope.ends_with(':'));
            match part.split_once('=').or_else(single_colon) {
                Some((scope, name)) if !scope.trim().is_empty() => {
                    levels.scopes.insert(scope_of(scope.trim()).to_owned(), level(name)?);
                }
                Some(_) => return Err(invalid()),
                None => levels.everything = Some(level(part)?),
            }
        }
        let nothing = levels.everything.is_none() && levels.scopes.is_empty();
        if nothing || levels.scopes.len() > MOST_SCOPES { Err(invalid()) } else { Ok(levels) }
    }
}

impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.everything.unwrap_or(LevelFilter::INFO))?;
        self.scopes.iter().try_for_each(|(scope, level)| write!(f, ",{scope}={level}"))
    }
}

impl<S: Subscriber> Layer<S> for Levels {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.passes(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.passes(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let everything = self.everything.unwrap_or(LevelFilter::INFO);
        self.scopes.values().copied().chain([everything]).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(text: &str) -> Levels {
        text.parse().unwrap()
    }

    #[test]
    fn ad_03_the_longest_scope_decides() {
        let levels = levels("warn,xds=debug,xds::client=trace,access:off");
        for (target, expected) in [
            ("mesh_hbone::pool", LevelFilter::WARN),
            ("mesh_xds::server", LevelFilter::DEBUG),
            ("mesh_xds::client::stream", LevelFilter::TRACE),
            ("xdsx", LevelFilter::WARN),
            ("access", LevelFilter::OFF),
        ] {
            assert_eq!(levels.find(target), expected, "{target}");
        }
        assert_eq!(levels.to_string(), "warn,access=off,xds=debug,xds::client=trace");
    }

    #[test]
    fn ad_03_scopes_add_and_a_level_replaces() {
        let start = levels("info,access=debug");
        let scoped = start.changed_by(levels("ztunnel::inbound=trace"));
        assert_eq!(scoped.to_string(), "info,access=debug,inbound=trace");
        assert_eq!(scoped.find("ztunnel::inbound::accept"), LevelFilter::TRACE);
        assert_eq!(scoped.changed_by(levels("error")).to_string(), "error");
    }

    #[test]
    fn ad_03_bad_levels_are_refused() {
        let many = (0..100).map(|n| format!("s{n}=info")).collect::<Vec<_>>().join(",");
        for bad in ["", ",", "loud", "=info", "access=", "access=loud", "info,access=loud", &many] {
            assert_eq!(bad.parse::<Levels>(), Err(InvalidLevel(bad.to_owned())), "{bad}");
        }
    }
}
