//! What a request has to be like, and changes to headers, both ways.

use std::sync::Arc;

use mesh_proto::adit::waypoint::v1 as proto;
use proto::string_match::MatchType;

use super::DecodeError;
use super::field::{at, each, is_token, optional, or_empty, port, required};
use crate::{ClaimMatch, HeaderChange, HttpMatch, NamedMatch, ValueMatch};

/// As long as a pattern may be: compiling one costs memory in proportion.
const MAX_PATTERN: usize = 4096;

pub(super) fn decode(wire: proto::HttpMatch) -> Result<HttpMatch, DecodeError> {
    let value = |field: &str, wire: Option<proto::StringMatch>| at(field, wire.map(decode_value).transpose());
    let port = port("port", wire.port)?;
    Ok(HttpMatch {
        path: value("path", wire.path)?,
        ignore_path_case: wire.ignore_path_case,
        method: value("method", wire.method)?,
        authority: value("authority", wire.authority)?,
        scheme: value("scheme", wire.scheme)?,
        headers: each("headers", wire.headers, decode_header_match)?,
        without_headers: each("without_headers", wire.without_headers, decode_header_match)?,
        query_params: each("query_params", wire.query_params, decode_named)?,
        source_namespace: optional(&wire.source_namespace),
        port: (port != 0).then_some(port),
        claims: each("claims", wire.claims, decode_claim)?,
        without_claims: each("without_claims", wire.without_claims, decode_claim)?,
    })
}

pub(super) fn encode(wanted: &HttpMatch) -> proto::HttpMatch {
    let value = |value: &Option<ValueMatch>| value.as_ref().map(encode_value);
    proto::HttpMatch {
        path: value(&wanted.path),
        ignore_path_case: wanted.ignore_path_case,
        method: value(&wanted.method),
        authority: value(&wanted.authority),
        scheme: value(&wanted.scheme),
        headers: wanted.headers.iter().map(encode_named).collect(),
        without_headers: wanted.without_headers.iter().map(encode_named).collect(),
        query_params: wanted.query_params.iter().map(encode_named).collect(),
        source_namespace: or_empty(wanted.source_namespace.as_ref()),
        port: wanted.port.unwrap_or(0).into(),
        claims: wanted.claims.iter().map(encode_claim).collect(),
        without_claims: wanted.without_claims.iter().map(encode_claim).collect(),
    }
}

fn decode_claim(wire: proto::ClaimMatch) -> Result<ClaimMatch, DecodeError> {
    if wire.path.is_empty() {
        return Err(DecodeError::new("empty").within("path"));
    }
    let value = at("value", decode_value(required("value", wire.value)?))?;
    Ok(ClaimMatch { path: wire.path.into_iter().map(Arc::from).collect(), value })
}

fn encode_claim(wanted: &ClaimMatch) -> proto::ClaimMatch {
    let path = wanted.path.iter().map(ToString::to_string).collect();
    proto::ClaimMatch { path, value: Some(encode_value(&wanted.value)) }
}

pub(super) fn decode_value(wire: proto::StringMatch) -> Result<ValueMatch, DecodeError> {
    match required("match_type", wire.match_type)? {
        MatchType::Exact(text) => Ok(ValueMatch::Exact(text.into())),
        MatchType::Prefix(text) => Ok(ValueMatch::Prefix(text.into())),
        MatchType::Regex(pattern) => at("regex", decode_pattern(pattern)).map(ValueMatch::Regex),
        MatchType::PathPrefix(text) => Ok(ValueMatch::PathPrefix(text.into())),
        MatchType::Presence(true) => Ok(ValueMatch::Presence),
        MatchType::Presence(false) => Err(DecodeError::new("false has no meaning").within("presence")),
    }
}

pub(super) fn encode_value(value: &ValueMatch) -> proto::StringMatch {
    let match_type = match value {
        ValueMatch::Exact(text) => MatchType::Exact(text.to_string()),
        ValueMatch::Prefix(text) => MatchType::Prefix(text.to_string()),
        ValueMatch::Regex(pattern) => MatchType::Regex(pattern.to_string()),
        ValueMatch::PathPrefix(text) => MatchType::PathPrefix(text.to_string()),
        ValueMatch::Presence => MatchType::Presence(true),
    };
    proto::StringMatch { match_type: Some(match_type) }
}

/// A regular expression; whoever compiles it sees whether it is one.
pub(super) fn decode_pattern(pattern: String) -> Result<Arc<str>, DecodeError> {
    match pattern.len() {
        0..=MAX_PATTERN => Ok(pattern.into()),
        length => Err(DecodeError::new(format!("{length} bytes, at most {MAX_PATTERN} are taken"))),
    }
}

fn decode_named(wire: proto::NamedMatch) -> Result<NamedMatch, DecodeError> {
    if wire.name.is_empty() {
        return Err(DecodeError::new("empty").within("name"));
    }
    let value = at("value", decode_value(required("value", wire.value)?))?;
    Ok(NamedMatch { name: wire.name.into(), value })
}

fn decode_header_match(mut wire: proto::NamedMatch) -> Result<NamedMatch, DecodeError> {
    wire.name = header_name("name", &wire.name)?;
    decode_named(wire)
}

fn encode_named(wanted: &NamedMatch) -> proto::NamedMatch {
    proto::NamedMatch { name: wanted.name.to_string(), value: Some(encode_value(&wanted.value)) }
}

pub(super) fn decode_header_change(wire: Option<proto::HeaderChange>) -> Result<HeaderChange, DecodeError> {
    let wire = wire.unwrap_or_default();
    Ok(HeaderChange {
        set: each("set", wire.set, decode_header)?,
        add: each("add", wire.add, decode_header)?,
        remove: each("remove", wire.remove, |name| header_name("", &name).map(Arc::from))?,
    })
}

pub(super) fn encode_header_change(change: &HeaderChange) -> Option<proto::HeaderChange> {
    (!change.is_empty()).then(|| proto::HeaderChange {
        set: change.set.iter().map(encode_header).collect(),
        add: change.add.iter().map(encode_header).collect(),
        remove: change.remove.iter().map(ToString::to_string).collect(),
    })
}

fn decode_header(wire: proto::Header) -> Result<(Arc<str>, Arc<str>), DecodeError> {
    let name = header_name("name", &wire.name)?;
    if wire.value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
        return Err(DecodeError::new("control characters cannot travel in a header").within("value"));
    }
    Ok((name.into(), wire.value.into()))
}

fn encode_header((name, value): &(Arc<str>, Arc<str>)) -> proto::Header {
    proto::Header { name: name.to_string(), value: value.to_string() }
}

/// A header's name in lower case; a pseudo-header's begins with a colon.
pub(super) fn header_name(field: &str, name: &str) -> Result<String, DecodeError> {
    if !is_token(name.strip_prefix(':').unwrap_or(name)) {
        return Err(DecodeError::new(format!("{name:?} is not the name of a header")).within(field));
    }
    Ok(name.to_ascii_lowercase())
}
