//! Rules for connections that carry no HTTP, compiled; and what they say of one.

use std::net::IpAddr;
use std::sync::Arc;

use mesh_model::{NamespacedHostname, StreamMatch};

use super::Backend;

/// A compiled rule.
#[derive(Debug)]
pub(crate) struct StreamRule {
    pub(crate) name: Arc<str>,
    /// Alternatives; none at all matches everything.
    matches: Vec<StreamMatch>,
    pub(crate) backends: Vec<Backend>,
}

/// What a connection is judged by. Who opened it comes from the tunnel's certificate alone (SEC-17).
#[derive(Clone, Copy)]
pub(crate) struct Stream<'a> {
    pub(crate) source: IpAddr,
    pub(crate) source_namespace: &'a str,
    pub(crate) destination: IpAddr,
    pub(crate) service_port: u16,
    pub(crate) asked: Asked<'a>,
}

/// The name that its client asks for by TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked<'a> {
    /// Nobody has looked yet.
    NotRead,
    /// This one.
    Name(&'a str),
    /// None, or it speaks no TLS.
    Nothing,
}

/// What the rules say of a connection.
#[derive(Debug)]
pub(crate) enum StreamVerdict {
    /// A rule takes it.
    Rule(Arc<StreamRule>),
    /// It goes where it was sent.
    Ungoverned,
    /// It depends on the name it asks for.
    NameNeeded,
    /// There are rules, and it is for none of them.
    NoMatch,
}

/// Whether a rule takes a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fit {
    Yes,
    No,
    /// The name tells.
    Open,
}

impl StreamRule {
    /// Compiles a rule of a service. What cannot be compiled is logged; for connections it has no meaning.
    pub(super) fn compile(rule: &mesh_model::StreamRule, service: &NamespacedHostname) -> StreamRule {
        let mut problems = Vec::new();
        let backends = Backend::compile_all(&rule.forward, &mut problems);
        for problem in problems {
            tracing::warn!(%service, rule = %rule.name, %problem, "part of a route cannot be used");
        }
        StreamRule { name: rule.name.clone(), matches: rule.matches.clone(), backends }
    }

    fn fit(&self, stream: Stream<'_>) -> Fit {
        if self.matches.is_empty() {
            return Fit::Yes;
        }
        let mut best = Fit::No;
        for matched in &self.matches {
            match fit(matched, stream) {
                Fit::Yes => return Fit::Yes,
                Fit::Open => best = Fit::Open,
                Fit::No => {}
            }
        }
        best
    }
}

/// The name is looked at last, since reading it means to wait for the client.
fn fit(matched: &StreamMatch, stream: Stream<'_>) -> Fit {
    let fits = matched.source_namespace.as_deref().is_none_or(|it| it == stream.source_namespace)
        && matched.includes(stream.source, stream.destination);
    match stream.asked {
        _ if !fits => Fit::No,
        _ if matched.sni_hosts.is_empty() => Fit::Yes,
        Asked::NotRead => Fit::Open,
        Asked::Name(name) if matched.sni_hosts.iter().any(|host| host.covers(name)) => Fit::Yes,
        Asked::Name(_) | Asked::Nothing => Fit::No,
    }
}

/// The first rule that takes a connection.
pub(super) fn judge(rules: &[Arc<StreamRule>], stream: Stream<'_>) -> StreamVerdict {
    if rules.is_empty() {
        return StreamVerdict::Ungoverned;
    }
    for rule in rules {
        match rule.fit(stream) {
            Fit::Yes => return StreamVerdict::Rule(rule.clone()),
            Fit::Open => return StreamVerdict::NameNeeded,
            Fit::No => {}
        }
    }
    StreamVerdict::NoMatch
}

#[cfg(test)]
mod tests;
