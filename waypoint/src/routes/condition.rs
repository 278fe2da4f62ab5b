//! What a rule asks of a request, compiled once.

use std::borrow::Cow;
use std::sync::Arc;

use http::header::{HOST, HeaderName};
use http::request::Parts;
use mesh_authz::Token;
use mesh_model::{ClaimMatch, HttpMatch, NamedMatch, ValueMatch};
use percent_encoding::percent_decode_str;

use super::pattern::{PathMatched, Pattern};

/// What a request is judged by. Who sent it comes from the tunnel's certificate alone (SEC-17).
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) head: &'a Parts,
    pub(crate) source_namespace: Option<&'a str>,
    pub(crate) service_port: u16,
    /// Its end user's, if it has been found good.
    pub(crate) token: Option<&'a Token>,
}

/// The host a request is for. Requests are normalised before they are judged, so
/// the Host header says it whatever the version of HTTP.
pub(crate) fn authority_of(head: &Parts) -> &str {
    head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("")
}

/// Inside a tunnel it is plain HTTP.
pub(crate) const SCHEME: &str = "http";

/// All populated parts have to match.
#[derive(Debug)]
pub(crate) struct Condition {
    path: Option<Pattern>,
    ignore_path_case: bool,
    method: Option<Pattern>,
    authority: Option<Pattern>,
    scheme: Option<Pattern>,
    headers: Vec<(Field, Pattern)>,
    without_headers: Vec<(Field, Pattern)>,
    query_params: Vec<(Arc<str>, Pattern)>,
    source_namespace: Option<Arc<str>>,
    port: Option<u16>,
    claims: Vec<Claim>,
    without_claims: Vec<Claim>,
}

/// What a claim of a token has to be like.
#[derive(Debug)]
struct Claim {
    path: Vec<Arc<str>>,
    pattern: Pattern,
}

impl Claim {
    fn compile(asked: &ClaimMatch) -> Result<Claim, String> {
        let pattern =
            Pattern::compile(&asked.value).map_err(|e| format!("claim {}: {e}", asked.path.join(".")))?;
        Ok(Claim { path: asked.path.clone(), pattern })
    }

    fn is_met(&self, token: Option<&Token>) -> bool {
        token.is_some_and(|token| match &self.pattern {
            // Also where it is no text and no list of texts.
            Pattern::Presence => token.find_claim(&self.path).is_some(),
            pattern => token.any_claim(&self.path, &mut |text| pattern.matches(text)),
        })
    }
}

/// A header, or a part of the request line that is asked for like one (L7-10).
#[derive(Debug)]
pub(crate) enum Field {
    Header(HeaderName),
    Method,
    Path,
    Authority,
    Scheme,
}

impl Condition {
    /// The reason is for the log: which part cannot be asked, and why.
    pub(crate) fn compile(asked: &HttpMatch) -> Result<Condition, String> {
        let pattern = |part: &str, value: &Option<ValueMatch>| {
            value.as_ref().map(Pattern::compile).transpose().map_err(|error| format!("{part}: {error}"))
        };
        let named = |named: &NamedMatch| {
            let field = Field::compile(&named.name)?;
            let value = Pattern::compile(&named.value).map_err(|e| format!("header {}: {e}", named.name))?;
            Ok::<_, String>((field, value))
        };
        let query = |named: &NamedMatch| {
            let value = Pattern::compile(&named.value).map_err(|e| format!("query {}: {e}", named.name))?;
            Ok::<_, String>((named.name.clone(), value))
        };
        let excludes = |named: &&NamedMatch| !matches!(&named.value, ValueMatch::Regex(r) if &**r == ".*");
        Ok(Condition {
            path: pattern("path", &asked.path)?,
            ignore_path_case: asked.ignore_path_case,
            method: pattern("method", &asked.method)?,
            authority: pattern("authority", &asked.authority)?,
            scheme: pattern("scheme", &asked.scheme)?,
            headers: asked.headers.iter().map(named).collect::<Result<_, _>>()?,
            // ".*" says nothing about a value, so it excludes nothing (L7-15).
            without_headers: asked
                .without_headers
                .iter()
                .filter(excludes)
                .map(named)
                .collect::<Result<_, _>>()?,
            query_params: asked.query_params.iter().map(query).collect::<Result<_, _>>()?,
            source_namespace: asked.source_namespace.clone(),
            port: asked.port,
            claims: asked.claims.iter().map(Claim::compile).collect::<Result<_, _>>()?,
            without_claims: asked.without_claims.iter().map(Claim::compile).collect::<Result<_, _>>()?,
        })
    }

    /// Whether a request is like that; and how much of its path the condition names.
    pub(crate) fn matches(&self, subject: Subject<'_>) -> Option<PathMatched> {
        let head = subject.head;
        let path = match &self.path {
            Some(pattern) => pattern.match_path(head.uri.path(), self.ignore_path_case)?,
            None => PathMatched::Segments(0),
        };
        let fits = |pattern: &Option<Pattern>, value: &str| pattern.as_ref().is_none_or(|p| p.matches(value));
        let has = |(field, pattern): &(Field, Pattern)| {
            field.find(head).is_some_and(|value| pattern.matches(&value))
        };
        let asks_for = |(name, pattern): &(Arc<str>, Pattern)| {
            find_query_param(head, name).is_some_and(|value| pattern.matches(&value))
        };
        let all = self.port.is_none_or(|port| port == subject.service_port)
            && self.source_namespace.as_deref().is_none_or(|asked| subject.source_namespace == Some(asked))
            && fits(&self.method, head.method.as_str())
            && fits(&self.authority, authority_of(head))
            && fits(&self.scheme, SCHEME)
            && self.headers.iter().all(has)
            && !self.without_headers.iter().any(has)
            && self.query_params.iter().all(asks_for)
            && self.claims.iter().all(|claim| claim.is_met(subject.token))
            && !self.without_claims.iter().any(|claim| claim.is_met(subject.token));
        all.then_some(path)
    }
}

/// What a condition cannot do without, as far as requests can be found by it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) enum Demand<'c> {
    /// This is the path; folded, it is in small letters and so has the request's to be.
    Path {
        text: Cow<'c, str>,
        folded: bool,
    },
    /// The path begins like this.
    Beginning {
        text: Cow<'c, str>,
        folded: bool,
    },
    Host(&'c str),
    Method(&'c str),
    Header(&'c HeaderName, &'c str),
}

impl Condition {
    /// A request that does not meet every one of these does not match.
    pub(super) fn demands(&self) -> impl Iterator<Item = Demand<'_>> {
        let (method, authority) = (self.method.as_ref(), self.authority.as_ref());
        let headers = self.headers.iter().filter_map(|(field, pattern)| match (field, pattern.exact()?) {
            (Field::Header(name), value) => Some(Demand::Header(name, value)),
            (Field::Authority, value) => Some(Demand::Host(value)),
            (Field::Method, value) => Some(Demand::Method(value)),
            (Field::Path | Field::Scheme, _) => None,
        });
        let host = authority.and_then(Pattern::exact).map(Demand::Host);
        let method = method.and_then(Pattern::exact).map(Demand::Method);
        [self.path_demand(), host, method].into_iter().flatten().chain(headers)
    }

    fn path_demand(&self) -> Option<Demand<'_>> {
        let folded = self.ignore_path_case;
        let path = self.path.as_ref()?;
        let text = match path {
            Pattern::Exact(text) | Pattern::Prefix(text) | Pattern::Segments(text) => text,
            Pattern::Regex(_) | Pattern::Presence => return None,
        };
        let text = if folded { text.to_ascii_lowercase().into() } else { Cow::Borrowed(&**text) };
        match path {
            Pattern::Exact(_) => Some(Demand::Path { text, folded }),
            // Every path begins with nothing.
            _ if text.is_empty() => None,
            _ => Some(Demand::Beginning { text, folded }),
        }
    }
}

impl Field {
    pub(crate) fn compile(name: &str) -> Result<Field, String> {
        Ok(match name {
            ":method" => Field::Method,
            ":path" => Field::Path,
            ":authority" => Field::Authority,
            ":scheme" => Field::Scheme,
            name if name.eq_ignore_ascii_case("host") => Field::Authority,
            name => Field::Header(name.parse().map_err(|_| format!("{name:?} is not a header name"))?),
        })
    }

    pub(crate) fn find<'a>(&self, head: &'a Parts) -> Option<Cow<'a, str>> {
        Some(match self {
            Field::Header(name) => return find_header(head, name),
            Field::Method => head.method.as_str().into(),
            Field::Path => head.uri.path_and_query()?.as_str().into(),
            Field::Authority => authority_of(head).into(),
            Field::Scheme => SCHEME.into(),
        })
    }
}

/// A header's value; the values of several lines joined as one line would have them.
pub(super) fn find_header<'a>(head: &'a Parts, name: &HeaderName) -> Option<Cow<'a, str>> {
    let mut values = head.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let first = values.next()?;
    Some(values.fold(first, |joined, value| joined + "," + value))
}

/// The first value of a parameter in the query.
pub(crate) fn find_query_param<'a>(head: &'a Parts, name: &str) -> Option<Cow<'a, str>> {
    let decoded = |text: &'a str| percent_decode_str(text).decode_utf8_lossy();
    head.uri
        .query()?
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find_map(|(key, value)| (decoded(key) == name).then(|| decoded(value)))
}

#[cfg(test)]
mod tests;
