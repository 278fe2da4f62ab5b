//! Keys of token issuers that somebody has to fetch, and what has been fetched: whoever reaches the network tells.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Affected, Cluster, Name};
use crate::objects::{JwtRule, Kind};
use crate::resources::key_sources;

/// How long a fetch may take where nobody says (api.md §3.6).
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where the keys of an issuer are to be had.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeySource {
    /// There.
    Uri(Arc<str>),
    /// Where the issuer says, by OpenID Connect Discovery.
    Issuer(Arc<str>),
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeySource::Uri(uri) => f.write_str(uri),
            KeySource::Issuer(issuer) => write!(f, "issuer {issuer}"),
        }
    }
}

/// What is known of the keys at one source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet {
    /// The keys that were had last, as a JSON Web Key Set.
    pub keys: Option<Arc<str>>,
    /// Why there are no newer ones.
    pub problem: Option<String>,
}

impl Cluster {
    /// The keys that have to be fetched, and how long that may take.
    pub fn wanted_keys(&self) -> BTreeMap<KeySource, Duration> {
        let mut wanted = BTreeMap::new();
        let specs = self.request_authentications.iter().map(|(_, object)| &object.spec);
        for spec in specs.filter(|spec| spec.targets().next().is_some()) {
            let timeout = |rule: &JwtRule| rule.timeout.map(|it| it.0);
            let timeout = spec.jwt_rules.iter().filter_map(timeout).max().unwrap_or(TIMEOUT);
            for source in key_sources(spec) {
                let known: &mut Duration = wanted.entry(source).or_default();
                *known = (*known).max(timeout);
            }
        }
        wanted
    }

    /// Notes what is known of the keys at a source, or that nobody asks for them any more; what that affects.
    pub fn set_keys(&mut self, source: &KeySource, keys: Option<KeySet>) -> Affected {
        let before = match keys.clone() {
            Some(keys) => self.key_sets.insert(source.clone(), keys),
            None => self.key_sets.remove(source),
        };
        if before == keys {
            return Affected::default();
        }
        let users = self.request_authentications.iter();
        let users = users.filter(|(_, object)| key_sources(&object.spec).contains(source));
        let users: Vec<Name> = users.map(|(name, _)| name.clone()).collect();
        let mut affected = Affected::default();
        for name in users {
            affected.extend(self.dependents(&name.key(Kind::RequestAuthentication)));
        }
        affected
    }
}
