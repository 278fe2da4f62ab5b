//! One routing rule, both ways.

use std::sync::Arc;

use mesh_proto::adit::waypoint::v1 as proto;
use proto::http_rule::Action;

use super::DecodeError;
use super::cors;
use super::duration::{decode as decode_duration, decode_timeout, encode as encode_duration};
use super::field::{at, each, known, optional, or_empty, port, required};
use super::http_match::{self, decode_header_change, decode_pattern, encode_header_change};
use super::session;
use crate::{
    Abort, AbortError, Backend, BackendTarget, Delay, DirectResponse, Fault, Forward, HttpRule, Mirror,
    PathChange, PerMillion, PortDerivation, Redirect, Retry, Rewrite, RuleAction,
};

/// As large as an answer without a backend may be.
const MAX_BODY: usize = 1024 * 1024;

pub(super) fn decode(wire: proto::HttpRule) -> Result<HttpRule, DecodeError> {
    Ok(HttpRule {
        name: wire.name.into(),
        matches: each("matches", wire.matches, http_match::decode)?,
        request_headers: at("request_headers", decode_header_change(wire.request_headers))?,
        response_headers: at("response_headers", decode_header_change(wire.response_headers))?,
        action: match required("action", wire.action)? {
            Action::Forward(wire) => at("forward", decode_forward(wire)).map(RuleAction::Forward)?,
            Action::Redirect(wire) => at("redirect", decode_redirect(wire)).map(RuleAction::Redirect)?,
            Action::DirectResponse(wire) => {
                at("direct_response", decode_direct_response(wire)).map(RuleAction::DirectResponse)?
            }
        },
        rewrite: at("rewrite", wire.rewrite.map(decode_rewrite).transpose())?,
        request_timeout: decode_timeout("request_timeout", wire.request_timeout)?,
        attempt_timeout: decode_timeout("attempt_timeout", wire.attempt_timeout)?,
        retry: at("retry", wire.retry.map_or_else(|| Ok(Retry::default()), decode_retry))?,
        fault: at("fault", decode_fault(wire.fault.unwrap_or_default()))?,
        mirrors: each("mirrors", wire.mirrors, decode_mirror)?,
        cors: at("cors", wire.cors.map(cors::decode).transpose())?,
        session: at("session", wire.session.map(session::decode).transpose())?,
    })
}

pub(super) fn encode(rule: &HttpRule) -> proto::HttpRule {
    proto::HttpRule {
        name: rule.name.to_string(),
        matches: rule.matches.iter().map(http_match::encode).collect(),
        request_headers: encode_header_change(&rule.request_headers),
        response_headers: encode_header_change(&rule.response_headers),
        rewrite: rule.rewrite.as_ref().map(|rewrite| proto::Rewrite {
            authority: or_empty(rewrite.authority.as_ref()),
            path: rewrite.path.as_ref().map(encode_path_change),
        }),
        request_timeout: rule.request_timeout.map(encode_duration),
        attempt_timeout: rule.attempt_timeout.map(encode_duration),
        retry: Some(encode_retry(&rule.retry)),
        fault: encode_fault(&rule.fault),
        mirrors: rule.mirrors.iter().map(encode_mirror).collect(),
        cors: rule.cors.as_ref().map(cors::encode),
        session: rule.session.as_ref().map(session::encode_session),
        action: Some(match &rule.action {
            RuleAction::Forward(forward) => Action::Forward(encode_forward(forward)),
            RuleAction::Redirect(redirect) => Action::Redirect(encode_redirect(redirect)),
            RuleAction::DirectResponse(response) => Action::DirectResponse(proto::DirectResponse {
                status: response.status.into(),
                body: response.body.to_vec(),
            }),
        }),
    }
}

pub(super) fn decode_forward(wire: proto::Forward) -> Result<Forward, DecodeError> {
    Ok(Forward { backends: each("backends", wire.backends, decode_backend)? })
}

pub(super) fn encode_forward(forward: &Forward) -> proto::Forward {
    proto::Forward { backends: forward.backends.iter().map(encode_backend).collect() }
}

fn decode_backend(wire: proto::Backend) -> Result<Backend, DecodeError> {
    let target = if wire.service.is_empty() {
        BackendTarget::Invalid { status: status("invalid_status", wire.invalid_status)? }
    } else {
        let service = wire
            .service
            .parse()
            .map_err(|error: crate::ParseNameError| DecodeError::new(error.to_string()).within("service"))?;
        BackendTarget::Service { service, port: port("port", wire.port)?, subset: optional(&wire.subset) }
    };
    Ok(Backend {
        target,
        weight: wire.weight,
        request_headers: at("request_headers", decode_header_change(wire.request_headers))?,
        response_headers: at("response_headers", decode_header_change(wire.response_headers))?,
    })
}

fn encode_backend(backend: &Backend) -> proto::Backend {
    let mut wire = proto::Backend {
        weight: backend.weight,
        request_headers: encode_header_change(&backend.request_headers),
        response_headers: encode_header_change(&backend.response_headers),
        ..proto::Backend::default()
    };
    match &backend.target {
        BackendTarget::Service { service, port, subset } => {
            wire.service = service.to_string();
            wire.port = (*port).into();
            wire.subset = or_empty(subset.as_ref());
        }
        BackendTarget::Invalid { status } => wire.invalid_status = (*status).into(),
    }
    wire
}

fn decode_redirect(wire: proto::Redirect) -> Result<Redirect, DecodeError> {
    let number = port("port", wire.port)?;
    if ![301, 302, 303, 307, 308].contains(&wire.status) {
        return Err(DecodeError::new(format!("{} is not a redirect", wire.status)).within("status"));
    }
    Ok(Redirect {
        status: status("status", wire.status)?,
        scheme: optional(&wire.scheme),
        host: optional(&wire.host),
        port: (number != 0).then_some(number),
        port_derivation: match known("port_derivation", wire.port_derivation)? {
            proto::PortDerivation::FromListener => PortDerivation::FromListener,
            proto::PortDerivation::FromProtocolDefault => PortDerivation::FromProtocolDefault,
            proto::PortDerivation::FromRequestPort => PortDerivation::FromRequestPort,
        },
        path: at("path", wire.path.map(decode_path_change).transpose())?,
    })
}

fn encode_redirect(redirect: &Redirect) -> proto::Redirect {
    proto::Redirect {
        status: redirect.status.into(),
        scheme: or_empty(redirect.scheme.as_ref()),
        host: or_empty(redirect.host.as_ref()),
        port: redirect.port.unwrap_or(0).into(),
        path: redirect.path.as_ref().map(encode_path_change),
        port_derivation: match redirect.port_derivation {
            PortDerivation::FromListener => proto::PortDerivation::FromListener,
            PortDerivation::FromProtocolDefault => proto::PortDerivation::FromProtocolDefault,
            PortDerivation::FromRequestPort => proto::PortDerivation::FromRequestPort,
        }
        .into(),
    }
}

fn decode_path_change(wire: proto::PathChange) -> Result<PathChange, DecodeError> {
    use proto::path_change::Change;
    Ok(match required("change", wire.change)? {
        Change::Full(path) => PathChange::Full(path.into()),
        Change::Prefix(path) => PathChange::Prefix(path.into()),
        Change::Regex(wire) => PathChange::Regex {
            pattern: at("regex.pattern", decode_pattern(wire.pattern))?,
            substitution: wire.substitution.into(),
        },
    })
}

fn encode_path_change(change: &PathChange) -> proto::PathChange {
    use proto::path_change::Change;
    let change = match change {
        PathChange::Full(path) => Change::Full(path.to_string()),
        PathChange::Prefix(path) => Change::Prefix(path.to_string()),
        PathChange::Regex { pattern, substitution } => Change::Regex(proto::RegexRewrite {
            pattern: pattern.to_string(),
            substitution: substitution.to_string(),
        }),
    };
    proto::PathChange { change: Some(change) }
}

fn decode_rewrite(wire: proto::Rewrite) -> Result<Rewrite, DecodeError> {
    Ok(Rewrite {
        authority: optional(&wire.authority),
        path: at("path", wire.path.map(decode_path_change).transpose())?,
    })
}

fn decode_direct_response(wire: proto::DirectResponse) -> Result<DirectResponse, DecodeError> {
    if wire.body.len() > MAX_BODY {
        return Err(DecodeError::new(format!("{} bytes, at most {MAX_BODY} are taken", wire.body.len()))
            .within("body"));
    }
    Ok(DirectResponse { status: status("status", wire.status)?, body: wire.body.into() })
}

fn decode_retry(wire: proto::Retry) -> Result<Retry, DecodeError> {
    Ok(Retry {
        attempts: wire.attempts,
        codes: each("codes", wire.codes, |code| status("", code))?,
        conditions: each("conditions", wire.conditions, |name| Ok(Arc::from(name)))?,
        backoff: match wire.backoff {
            Some(wire) => at("backoff", decode_duration(wire))?,
            None => Retry::default().backoff,
        },
        avoid_previous_hosts: wire.avoid_previous_hosts,
    })
}

fn encode_retry(retry: &Retry) -> proto::Retry {
    proto::Retry {
        attempts: retry.attempts,
        codes: retry.codes.iter().map(|code| u32::from(*code)).collect(),
        conditions: retry.conditions.iter().map(ToString::to_string).collect(),
        backoff: Some(encode_duration(retry.backoff)),
        avoid_previous_hosts: retry.avoid_previous_hosts,
    }
}

fn decode_fault(wire: proto::Fault) -> Result<Fault, DecodeError> {
    Ok(Fault {
        delay: at("delay", wire.delay.map(decode_delay).transpose())?,
        abort: at("abort", wire.abort.map(decode_abort).transpose())?,
    })
}

fn decode_delay(wire: proto::Delay) -> Result<Delay, DecodeError> {
    let fixed = at("fixed", decode_duration(required("fixed", wire.fixed)?))?;
    Ok(Delay { fixed, share: share(wire.per_million)? })
}

fn decode_abort(wire: proto::Abort) -> Result<Abort, DecodeError> {
    use proto::abort::Error;
    let error = match required("error", wire.error)? {
        Error::HttpStatus(code) => AbortError::Http(status("http_status", code)?),
        Error::GrpcStatus(code @ 0..=16) => AbortError::Grpc(code),
        Error::GrpcStatus(code) => {
            return Err(DecodeError::new(format!("{code} is not a status of gRPC")).within("grpc_status"));
        }
    };
    Ok(Abort { error, share: share(wire.per_million)? })
}

fn encode_fault(fault: &Fault) -> Option<proto::Fault> {
    use proto::abort::Error;
    let delay = fault
        .delay
        .as_ref()
        .map(|delay| proto::Delay { fixed: Some(encode_duration(delay.fixed)), per_million: delay.share.0 });
    let abort = fault.abort.as_ref().map(|abort| proto::Abort {
        per_million: abort.share.0,
        error: Some(match abort.error {
            AbortError::Http(code) => Error::HttpStatus(code.into()),
            AbortError::Grpc(code) => Error::GrpcStatus(code),
        }),
    });
    (delay.is_some() || abort.is_some()).then_some(proto::Fault { delay, abort })
}

fn decode_mirror(wire: proto::Mirror) -> Result<Mirror, DecodeError> {
    let backend = at("backend", decode_backend(required("backend", wire.backend)?))?;
    Ok(Mirror { backend, share: share(wire.per_million)? })
}

fn encode_mirror(mirror: &Mirror) -> proto::Mirror {
    proto::Mirror { backend: Some(encode_backend(&mirror.backend)), per_million: mirror.share.0 }
}

pub(super) fn share(per_million: u32) -> Result<PerMillion, DecodeError> {
    match PerMillion(per_million) {
        share if share <= PerMillion::ALL => Ok(share),
        _ => Err(DecodeError::new(format!("{per_million} is more than a million")).within("per_million")),
    }
}

/// A status that ends a request; informational ones do not.
fn status(field: &str, code: u32) -> Result<u16, DecodeError> {
    match u16::try_from(code) {
        Ok(code @ 200..=599) => Ok(code),
        _ => Err(DecodeError::new(format!("{code} is not a final status of HTTP")).within(field)),
    }
}
