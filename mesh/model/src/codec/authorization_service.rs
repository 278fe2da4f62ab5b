//! Who can be asked whether a request may pass, both ways.
//!
//! A service that cannot be read is left out: who names it is denied what it matches, and nothing else is lost.

use std::time::Duration;

use mesh_proto::adit::waypoint::v1 as proto;
use proto::authorization_service::Protocol;

use super::DecodeError;
use super::condition::{decode_pattern, encode_pattern};
use super::duration::{decode as decode_duration, encode as encode_duration};
use super::field::{at, each, named, port, required};
use super::http_match::header_name;
use crate::{AuthorizationService, CheckProtocol, CheckedBody, HttpCheck, NamespacedHostname, Pattern};

/// Where nobody says how long it may take (api.md §3.8).
const TIMEOUT: Duration = Duration::from_secs(600);
/// For the client where nobody says otherwise.
const FORBIDDEN: u16 = 403;

pub(super) fn decode(wire: proto::AuthorizationService) -> Result<AuthorizationService, DecodeError> {
    let service: NamespacedHostname = at("service", parse(&wire.service))?;
    let status = match wire.status_on_error {
        0 => FORBIDDEN,
        status => at("status_on_error", error_status(status))?,
    };
    let timeout = at("timeout", wire.timeout.map(decode_duration).transpose())?;
    Ok(AuthorizationService {
        provider: named("provider", &wire.provider)?,
        service,
        port: port("port", wire.port)?,
        timeout: timeout.filter(|it| !it.is_zero()).unwrap_or(TIMEOUT),
        fail_open: wire.fail_open,
        status_on_error: status,
        body: wire.body.map(|body| CheckedBody {
            max_bytes: body.max_bytes,
            allow_partial: body.allow_partial,
            pack_as_bytes: body.pack_as_bytes,
        }),
        protocol: match required("protocol", wire.protocol)? {
            Protocol::Grpc(_) => CheckProtocol::Grpc,
            Protocol::Http(check) => CheckProtocol::Http(at("http", decode_http(check))?),
        },
    })
}

pub(super) fn encode(service: &AuthorizationService) -> proto::AuthorizationService {
    proto::AuthorizationService {
        provider: service.provider.to_string(),
        service: service.service.to_string(),
        port: service.port.into(),
        timeout: Some(encode_duration(service.timeout)),
        fail_open: service.fail_open,
        status_on_error: service.status_on_error.into(),
        body: service.body.map(|body| proto::CheckedBody {
            max_bytes: body.max_bytes,
            allow_partial: body.allow_partial,
            pack_as_bytes: body.pack_as_bytes,
        }),
        protocol: Some(match &service.protocol {
            CheckProtocol::Grpc => Protocol::Grpc(proto::GrpcCheck {}),
            CheckProtocol::Http(check) => Protocol::Http(encode_http(check)),
        }),
    }
}

fn parse(text: &str) -> Result<NamespacedHostname, DecodeError> {
    text.parse().map_err(|error| DecodeError::new(format!("{error}")))
}

fn error_status(status: u32) -> Result<u16, DecodeError> {
    let known = u16::try_from(status).ok().filter(|status| (400..600).contains(status));
    known.ok_or_else(|| DecodeError::new(format!("{status} is not the status of an error")))
}

fn decode_http(wire: proto::HttpCheck) -> Result<HttpCheck, DecodeError> {
    let header = |header: proto::Header| Ok((header_name("name", &header.name)?.into(), header.value.into()));
    Ok(HttpCheck {
        path_prefix: wire.path_prefix.into(),
        request_headers: each("request_headers", wire.request_headers, decode_name)?,
        additional_headers: each("additional_headers", wire.additional_headers, header)?,
        upstream_headers: each("upstream_headers", wire.upstream_headers, decode_name)?,
        downstream_headers_on_allow: each(
            "downstream_headers_on_allow",
            wire.downstream_headers_on_allow,
            decode_name,
        )?,
        downstream_headers_on_deny: each(
            "downstream_headers_on_deny",
            wire.downstream_headers_on_deny,
            decode_name,
        )?,
    })
}

fn encode_http(check: &HttpCheck) -> proto::HttpCheck {
    let patterns = |patterns: &[Pattern]| patterns.iter().map(encode_pattern).collect();
    let headers = check.additional_headers.iter();
    proto::HttpCheck {
        path_prefix: check.path_prefix.to_string(),
        request_headers: patterns(&check.request_headers),
        additional_headers: headers
            .map(|(name, value)| proto::Header { name: name.to_string(), value: value.to_string() })
            .collect(),
        upstream_headers: patterns(&check.upstream_headers),
        downstream_headers_on_allow: patterns(&check.downstream_headers_on_allow),
        downstream_headers_on_deny: patterns(&check.downstream_headers_on_deny),
    }
}

/// A pattern for names of headers.
fn decode_name(wire: proto::Pattern) -> Result<Pattern, DecodeError> {
    match decode_pattern(wire)? {
        Pattern::Exact(text) => Ok(Pattern::Exact(text.to_ascii_lowercase().into())),
        Pattern::Prefix(text) => Ok(Pattern::Prefix(text.to_ascii_lowercase().into())),
        Pattern::Suffix(text) => Ok(Pattern::Suffix(text.to_ascii_lowercase().into())),
        _ => Err(DecodeError::new("only exact, prefix and suffix are possible for names of headers")),
    }
}
