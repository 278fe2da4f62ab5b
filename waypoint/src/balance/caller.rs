//! Who wants an endpoint, and what of it is hashed where the same callers are to reach the same endpoint (LB-21).

use std::borrow::Cow;
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;

use http::header::{COOKIE, HeaderMap, HeaderValue, SET_COOKIE};
use http::request::Parts;
use mesh_model::{HashCookie, HashKey};
use xxhash_rust::xxh64::xxh64;

use crate::routes::{Field, authority_of, find_query_param};
use crate::session::Session;
use crate::tunnel::Tunnel;

/// What callers have in common whom one endpoint serves, compiled.
#[derive(Debug)]
pub(super) enum Key {
    Field(Field),
    Cookie(Arc<HashCookie>),
    SourceIp,
    QueryParameter(Arc<str>),
}

impl Key {
    /// The reason is for the log.
    pub(super) fn compile(key: &HashKey) -> Result<Key, String> {
        Ok(match key {
            HashKey::Header(name) => Key::Field(Field::compile(name)?),
            HashKey::Cookie(cookie) => Key::Cookie(Arc::new(cookie.clone())),
            HashKey::SourceIp => Key::SourceIp,
            HashKey::QueryParameter(name) => Key::QueryParameter(name.clone()),
        })
    }
}

/// One request or connection that wants an endpoint, once or several times.
pub(crate) struct Caller<'r> {
    source: IpAddr,
    /// None for a connection.
    head: Option<&'r Parts>,
    /// The host that a connection asks for by TLS.
    server_name: Option<&'r str>,
    /// The endpoint that its session is bound to.
    bond: Option<u64>,
    /// The cookie it gets, and its value: the same for all attempts.
    cookie: Option<(Arc<HashCookie>, String)>,
}

impl<'r> Caller<'r> {
    /// Whoever sent a request through a tunnel.
    pub(crate) fn of_request(tunnel: &Tunnel, head: &'r Parts) -> Caller<'r> {
        Caller::new(tunnel.downstream.ip(), Some(head))
    }

    /// Whoever opened a tunnel.
    pub(crate) fn of_connection(tunnel: &Tunnel) -> Caller<'r> {
        Caller::new(tunnel.downstream.ip(), None)
    }

    /// The same, with the name that it asks for by TLS.
    pub(crate) fn asking_for(self, server_name: Option<&'r str>) -> Caller<'r> {
        Caller { server_name, ..self }
    }

    /// Bound to the endpoint of its session, if it has one.
    pub(crate) fn bound_by(self, session: Option<&Session<'_>>) -> Caller<'r> {
        Caller { bond: session.and_then(Session::bond), ..self }
    }

    pub(super) fn bond(&self) -> Option<u64> {
        self.bond
    }

    /// The authority that it wants, if it says one.
    pub(crate) fn authority(&self) -> Option<&'r str> {
        self.head.map(authority_of).or(self.server_name)
    }

    pub(super) fn new(source: IpAddr, head: Option<&'r Parts>) -> Caller<'r> {
        Caller { source: source.to_canonical(), head, server_name: None, bond: None, cookie: None }
    }

    /// The hash of what the key asks for; none if there is nothing of that.
    pub(super) fn hash(&mut self, key: &Key) -> Option<u64> {
        let head = self.head;
        let text: Cow<'_, str> = match key {
            Key::SourceIp => return Some(hash_of_ip(self.source)),
            Key::Field(field) => field.find(head?)?,
            Key::QueryParameter(name) => find_query_param(head?, name)?,
            Key::Cookie(cookie) => match find_cookie(head?, &cookie.name) {
                Some(value) => value.into(),
                None => self.make_cookie(cookie)?.into(),
            },
        };
        Some(xxh64(text.as_bytes(), 0))
    }

    /// A value for a caller that has no such cookie yet, if it gets one. It is drawn for every caller: a
    /// gateway's tunnel carries many, so that, unlike with Envoy, the connection does not tell them apart.
    fn make_cookie(&mut self, cookie: &Arc<HashCookie>) -> Option<&str> {
        cookie.ttl?;
        let made = || (cookie.clone(), format!("{:016x}", rand::random::<u64>()));
        Some(&self.cookie.get_or_insert_with(made).1)
    }

    /// Adds the cookie that was made for the caller, if there is one, to its response.
    pub(crate) fn give_cookie(&self, headers: &mut HeaderMap) {
        let Some((cookie, value)) = &self.cookie else { return };
        match HeaderValue::try_from(set_cookie(cookie, value)) {
            Ok(line) => {
                headers.append(SET_COOKIE, line);
            }
            Err(_) => tracing::debug!(cookie = &*cookie.name, "a cookie was not set: it is no header value"),
        }
    }
}

fn hash_of_ip(ip: IpAddr) -> u64 {
    match ip {
        IpAddr::V4(ip) => xxh64(&ip.octets(), 0),
        IpAddr::V6(ip) => xxh64(&ip.octets(), 0),
    }
}

/// A cookie's value, without the quotes that may be around it; an empty one is as good as none.
pub(crate) fn find_cookie<'h>(head: &'h Parts, name: &str) -> Option<&'h str> {
    let lines = head.headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| key.trim() == name)?;
    Some(value.trim().trim_matches('"')).filter(|value| !value.is_empty())
}

/// The line that gives a caller a cookie, as Envoy writes it.
fn set_cookie(cookie: &HashCookie, value: &str) -> String {
    let mut line = format!("{}=\"{value}\"", cookie.name);
    // Writing to a string does not fail.
    if let Some(ttl) = cookie.ttl.filter(|ttl| ttl.as_secs() > 0) {
        let _ = write!(line, "; Max-Age={}", ttl.as_secs());
    }
    if let Some(path) = cookie.path.as_ref().filter(|path| !path.is_empty()) {
        let _ = write!(line, "; Path={path}");
    }
    for (name, value) in &cookie.attributes {
        let equals = if value.is_empty() { "" } else { "=" };
        let _ = write!(line, "; {name}{equals}{value}");
    }
    line.push_str("; HttpOnly");
    line
}

#[cfg(test)]
mod tests;
