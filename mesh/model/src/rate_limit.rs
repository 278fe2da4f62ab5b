//! How many requests may pass in a time: which ones a limit is about, what it counts together, and who counts.

use std::sync::Arc;
use std::time::Duration;

use crate::{HttpMatch, NamespacedHostname};

/// A limit, and the requests that it is about: all that every part says something of.
#[derive(Clone, Debug, PartialEq)]
pub struct RateLimit {
    /// `namespace/name/limit`: its policy, and what it is called there.
    pub name: Arc<str>,
    /// What the policy is attached to, which counts for itself: `Kind/namespace/name`, and `/section` if one is named.
    pub target: Arc<str>,
    /// To these service ports; none: to all.
    pub ports: Vec<u16>,
    /// Taken by the rules of these names; none: by any.
    pub rules: Vec<Arc<str>>,
    /// Alternatives; none: all.
    pub matches: Vec<HttpMatch>,
    /// What requests have to have in common to be counted together; none: all are.
    pub keys: Vec<RateLimitKey>,
    /// For the client.
    pub status: u16,
    /// What is beyond it passes all the same.
    pub shadow: bool,
    /// Who counts, and how many may pass.
    pub counted: Counted,
}

/// One part of what is counted together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimitKey {
    /// What services that count call it.
    pub name: Arc<str>,
    /// Where its value comes from.
    pub source: KeySource,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// It is always this.
    Fixed(Arc<str>),
    /// A header, by its name in lower case.
    Header(Arc<str>),
    /// `spiffe://…` of the caller's certificate.
    Identity,
    /// The namespace in it.
    Namespace,
    /// `namespace/name` of the service account in it.
    ServiceAccount,
    /// The caller's address.
    Address,
    /// The path, without the query.
    Path,
    /// The method.
    Method,
    /// The host the request is for.
    Host,
    /// The name of the rule that takes the request.
    Route,
}

/// Who counts, and how many may pass.
#[derive(Clone, Debug, PartialEq)]
pub enum Counted {
    /// Each waypoint process by itself.
    Local(LocalLimit),
    /// A service, for all.
    Global(GlobalLimit),
}

/// A bucket that holds `burst` requests and is filled with `requests` in `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // said above
pub struct LocalLimit {
    pub requests: u32,
    pub per: Duration,
    pub burst: u32,
}

/// A service of `envoy.service.ratelimit.v3` counts.
#[derive(Clone, Debug, PartialEq)]
pub struct GlobalLimit {
    /// The service and its port; none if there is none, and then it cannot be asked.
    pub service: Option<(NamespacedHostname, u16)>,
    /// How long it may take.
    pub timeout: Duration,
    /// What it could not be asked about is refused; otherwise it passes.
    pub fail_closed: bool,
    /// In which of the service's domains is counted.
    pub domain: Arc<str>,
    /// How many may pass; none: the service knows.
    pub quota: Option<RateQuota>,
}

/// How many may pass in a unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub struct RateQuota {
    pub requests: u32,
    pub unit: RateUnit,
}

/// A unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum RateUnit {
    Second,
    Minute,
    Hour,
    Day,
}

impl RateUnit {
    /// The unit that is so long.
    pub fn of(duration: Duration) -> Option<RateUnit> {
        let units = [RateUnit::Second, RateUnit::Minute, RateUnit::Hour, RateUnit::Day];
        units.into_iter().find(|unit| unit.duration() == duration)
    }

    /// How long it is.
    pub fn duration(self) -> Duration {
        Duration::from_secs(match self {
            RateUnit::Second => 1,
            RateUnit::Minute => 60,
            RateUnit::Hour => 3600,
            RateUnit::Day => 24 * 3600,
        })
    }
}
