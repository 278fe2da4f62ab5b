//! Sessions (GEP-1619): the requests of a client go to the endpoint that served it before, as long as that takes
//! requests; the client brings a cookie or a header that the waypoint has given it.

mod token;

use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use http::request::Parts;
use mesh_model::{SessionCarrier, SessionPersistence};
use mesh_state::Endpoint;
use xxhash_rust::xxh64::xxh64;

use crate::balance::{bond_of, find_cookie, is_bound};
use crate::routes::{Backend, Destination, Rule};
use crate::tunnel::Tunnel;
pub(crate) use token::Token;

/// How far the clocks of waypoints may be apart, in seconds.
const LEEWAY: u64 = 60;

/// How the sessions of a rule are kept, compiled.
#[derive(Debug)]
pub(crate) struct Sessions {
    carrier: Carrier,
    /// In seconds; none where they have no end.
    absolute: Option<u64>,
    idle: Option<u64>,
    permanent: bool,
}

#[derive(Debug)]
enum Carrier {
    Cookie(Box<str>),
    Header(HeaderName),
}

impl Sessions {
    /// The reason is for the log.
    pub(crate) fn compile(asked: &SessionPersistence, rule: &str) -> Result<Sessions, String> {
        let made = || format!("adit-session-{:08x}", xxh64(rule.as_bytes(), 0) as u32);
        let name = asked.name.as_ref().map_or_else(made, ToString::to_string);
        let seconds = |limit: Option<Duration>| limit.map(|limit| limit.as_secs().max(1));
        Ok(Sessions {
            carrier: match asked.carrier {
                SessionCarrier::Cookie => Carrier::Cookie(name.into()),
                SessionCarrier::Header => {
                    Carrier::Header(name.parse().map_err(|_| format!("{name:?} is not a header name"))?)
                }
            },
            absolute: seconds(asked.absolute_timeout),
            idle: seconds(asked.idle_timeout),
            permanent: asked.permanent,
        })
    }

    /// The session of a request, if it has one that still holds.
    fn find(&self, head: &Parts, now: u64) -> Option<Token> {
        let text = match &self.carrier {
            Carrier::Cookie(name) => find_cookie(head, name)?,
            Carrier::Header(name) => head.headers.get(name)?.to_str().ok()?,
        };
        Token::read(text).filter(|token| self.holds(token, now))
    }

    /// What is much later than now was made up.
    fn holds(&self, token: &Token, now: u64) -> bool {
        let is_within = |since: u64, limit: Option<u64>| {
            since <= now.saturating_add(LEEWAY) && limit.is_none_or(|limit| now.saturating_sub(since) < limit)
        };
        is_within(token.began, self.absolute) && is_within(token.used, self.idle)
    }

    /// What the client is told after an endpoint has served it; nothing if it knows.
    fn renew(&self, known: Option<Token>, bond: u64, now: u64) -> Option<Token> {
        match known.filter(|token| token.bond == bond) {
            Some(token) if self.idle.is_none() || token.used == now => None,
            Some(token) => Some(Token { used: now, ..token }),
            None => Some(Token { began: now, used: now, bond }),
        }
    }

    fn tell(&self, token: Token, now: u64, headers: &mut HeaderMap) {
        let text = token.write();
        let told = match &self.carrier {
            Carrier::Header(name) => HeaderValue::try_from(text).map(|value| {
                headers.insert(name.clone(), value);
            }),
            Carrier::Cookie(name) => {
                let mut line = format!("{name}={text}; Path=/; HttpOnly");
                let left = self.absolute.filter(|_| self.permanent);
                if let Some(left) = left.map(|limit| limit.saturating_sub(now.saturating_sub(token.began))) {
                    // Writing to a string does not fail.
                    let _ = write!(line, "; Max-Age={left}");
                }
                HeaderValue::try_from(line).map(|value| {
                    headers.append(SET_COOKIE, value);
                })
            }
        };
        if let Err(error) = told {
            tracing::debug!(%error, "a client was not told of its session");
        }
    }
}

/// One request as sessions see it.
pub(crate) struct Session<'r> {
    sessions: &'r Sessions,
    known: Option<Token>,
    now: u64,
}

impl<'r> Session<'r> {
    /// That of a request to a rule; none if the rule keeps no sessions.
    pub(crate) fn of(rule: &'r Rule, head: &Parts) -> Option<Session<'r>> {
        let sessions = rule.sessions.as_ref()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Some(Session { sessions, known: sessions.find(head, now), now })
    }

    /// The endpoint that it is bound to.
    pub(crate) fn bond(&self) -> Option<u64> {
        self.known.map(|token| token.bond)
    }

    /// Tells the client who has served it, unless it knows.
    pub(crate) fn tell(&self, destination: &Destination, endpoint: &Endpoint, headers: &mut HeaderMap) {
        let bond = bond_of(destination, endpoint);
        let token = bond.and_then(|bond| self.sessions.renew(self.known, bond, self.now));
        if let Some(token) = token {
            self.sessions.tell(token, self.now, headers);
        }
    }
}

/// The backend of a request's session, or else one by weight; none when none has any.
pub(crate) fn choose_backend<'r>(
    rule: &Rule,
    backends: &'r [Backend],
    head: &Parts,
    tunnel: &Tunnel,
) -> Option<&'r Backend> {
    let bond = Session::of(rule, head).and_then(|session| session.bond());
    let bound = bond.and_then(|bond| {
        let mut open = backends.iter().filter(|backend| backend.takes_requests());
        open.find(|backend| is_bound(tunnel, &backend.destination, bond))
    });
    bound.or_else(|| Backend::choose(backends))
}

#[cfg(test)]
mod tests;
