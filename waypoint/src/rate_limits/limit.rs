//! One limit, compiled: which requests it is about, what they have in common, and where that is counted.

use std::fmt::{self, Write};
use std::hash::Hasher;
use std::sync::Arc;

use http::header::HeaderName;
use http::request::Parts;
use mesh_model::{Counted as Model, KeySource, RateLimit, RateQuota};
use mesh_telemetry::LimitCounters;

use super::bucket::Drawn;
use super::counters::{Counter, Counters};
use super::service::Asked;
use crate::routes::{Condition, Subject, authority_of};
use crate::tunnel::Tunnel;

/// What all requests without a header have in common.
const ABSENT: &str = "-";

/// A compiled limit.
#[derive(Debug)]
pub(crate) struct Limit {
    pub(crate) name: Arc<str>,
    pub(crate) status: u16,
    pub(crate) shadow: bool,
    pub(crate) counting: Counting,
    pub(crate) metrics: LimitCounters,
    ports: Vec<u16>,
    rules: Vec<Arc<str>>,
    /// Alternatives; none if it is about all.
    conditions: Vec<Condition>,
    keys: Vec<(Arc<str>, Source)>,
}

/// Where it is counted.
#[derive(Debug)]
pub(crate) enum Counting {
    /// Here: so many requests in so many seconds.
    Here { counter: Arc<Counter>, requests: u64, window: u64 },
    /// By a service.
    There(Asked),
}

/// Where one part of what requests have in common comes from.
#[derive(Debug)]
enum Source {
    Header(HeaderName),
    Other(KeySource),
}

/// A request, as limits see it.
pub(crate) struct Facts<'a> {
    pub(crate) tunnel: &'a Tunnel,
    pub(crate) head: &'a Parts,
    /// The rule that takes it.
    pub(crate) rule: &'a Arc<str>,
}

/// Compiles limits. One that cannot be is logged and left out.
pub(crate) fn compile_all(limits: &[RateLimit], counters: &Counters) -> Vec<Limit> {
    let compile = |limit: &RateLimit| match Limit::compile(limit, counters) {
        Ok(limit) => Some(limit),
        Err(problem) => {
            tracing::warn!(limit = %limit.name, target = %limit.target, %problem, "a limit cannot be used");
            None
        }
    };
    limits.iter().filter_map(compile).collect()
}

impl Limit {
    fn compile(limit: &RateLimit, counters: &Counters) -> Result<Limit, String> {
        let conditions = limit.matches.iter().map(Condition::compile).collect::<Result<_, _>>()?;
        let source = |source: &KeySource| match source {
            KeySource::Header(name) => {
                let name = name.parse().map_err(|_| format!("{name:?} is not the name of a header"))?;
                Ok::<_, String>(Source::Header(name))
            }
            other => Ok(Source::Other(other.clone())),
        };
        let keys = limit.keys.iter().map(|key| Ok((key.name.clone(), source(&key.source)?)));
        Ok(Limit {
            name: limit.name.clone(),
            status: limit.status,
            shadow: limit.shadow,
            counting: match &limit.counted {
                Model::Local(local) => {
                    let window = local.per.as_secs().max(1);
                    Counting::Here {
                        counter: counters.find(limit, *local),
                        requests: local.requests.into(),
                        window,
                    }
                }
                Model::Global(global) => Counting::There(Asked::new(global)),
            },
            metrics: counters.metrics.find(&limit.name),
            ports: limit.ports.clone(),
            rules: limit.rules.clone(),
            conditions,
            keys: keys.collect::<Result<_, String>>()?,
        })
    }

    /// Whether it is about a request.
    pub(crate) fn concerns(&self, facts: &Facts<'_>) -> bool {
        let tunnel = facts.tunnel;
        let subject = Subject {
            head: facts.head,
            source_namespace: Some(&*tunnel.identity.namespace),
            service_port: tunnel.target.port(),
            // What a limit is about says nothing of claims.
            token: None,
        };
        (self.ports.is_empty() || self.ports.contains(&subject.service_port))
            && (self.rules.is_empty() || self.rules.contains(facts.rule))
            && (self.conditions.is_empty() || self.conditions.iter().any(|it| it.matches(subject).is_some()))
    }

    /// How many may pass, where somebody else counts and has to be told.
    pub(super) fn quota(&self) -> Option<RateQuota> {
        match &self.counting {
            Counting::There(asked) => asked.limit.quota,
            Counting::Here { .. } => None,
        }
    }

    /// Counts a request here.
    pub(crate) fn draw(&self, counter: &Counter, facts: &Facts<'_>) -> Drawn {
        counter.draw(|hasher| {
            for (_, source) in &self.keys {
                // Whoever writes into a hash cannot fail.
                let _ = source.write(facts, &mut Hashed(hasher));
                // No text has it in it, so that what follows is not taken for a part of it.
                hasher.write_u8(0xff);
            }
        })
    }

    /// What a request has in common with those it is counted with: names and values.
    pub(crate) fn entries(&self, facts: &Facts<'_>) -> impl Iterator<Item = (&str, String)> {
        self.keys.iter().map(|(name, source)| {
            let mut value = String::new();
            // Whoever writes into a text cannot fail.
            let _ = source.write(facts, &mut value);
            if value.is_empty() {
                value.push_str(ABSENT);
            }
            (&**name, value)
        })
    }
}

impl Source {
    fn write(&self, Facts { tunnel, head, rule }: &Facts<'_>, to: &mut impl Write) -> fmt::Result {
        let source = match self {
            Source::Header(name) => {
                let values = head.headers.get_all(name).iter();
                for (at, value) in values.enumerate() {
                    let separator = if at == 0 { "" } else { "," };
                    write!(to, "{separator}{}", String::from_utf8_lossy(value.as_bytes()))?;
                }
                return Ok(());
            }
            Source::Other(source) => source,
        };
        let identity = &tunnel.identity;
        match source {
            KeySource::Fixed(text) => to.write_str(text),
            KeySource::Identity => write!(to, "{identity}"),
            KeySource::Namespace => to.write_str(&identity.namespace),
            KeySource::ServiceAccount => write!(to, "{}/{}", identity.namespace, identity.service_account),
            KeySource::Address => write!(to, "{}", tunnel.downstream.ip().to_canonical()),
            KeySource::Path => to.write_str(head.uri.path()),
            KeySource::Method => to.write_str(head.method.as_str()),
            KeySource::Host => to.write_str(&authority_of(head).to_ascii_lowercase()),
            KeySource::Route => to.write_str(rule),
            // Compiled into the other variant.
            KeySource::Header(_) => Ok(()),
        }
    }
}

/// A hash that texts are written into.
struct Hashed<'h>(&'h mut dyn Hasher);

impl Write for Hashed<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}
