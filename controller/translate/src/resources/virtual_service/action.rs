//! Where a route of a VirtualService leads: backends, a redirect or an answer of its own.

use std::sync::Arc;

use mesh_model::{
    Backend, BackendTarget, DirectResponse, Forward, HttpMatch, PathChange, PortDerivation, Redirect,
    Rewrite, RuleAction, ValueMatch,
};

use super::{Context, headers};
use crate::objects::{
    Destination, DirectResponseBody, Headers, HttpRedirect, HttpRewrite, HttpRouteEntry, RedirectPort,
    RouteDestination,
};
use crate::resources::problem::{Problem, Reason};

pub(super) fn translate(
    context: Context<'_>,
    entry: &HttpRouteEntry,
    path: &str,
    problems: &mut Vec<Problem>,
) -> RuleAction {
    if let Some(redirect) = &entry.redirect {
        return RuleAction::Redirect(translate_redirect(redirect));
    }
    if let Some(response) = &entry.direct_response {
        let body: Arc<[u8]> = match &response.body {
            None => Arc::from([]),
            Some(DirectResponseBody::String(text)) => text.as_bytes().into(),
            Some(DirectResponseBody::Bytes(bytes)) => bytes.0.as_slice().into(),
        };
        return RuleAction::DirectResponse(DirectResponse { status: response.status, body });
    }
    let alone = entry.route.len() == 1;
    let backends = entry.route.iter().enumerate().map(|(at, route)| {
        let RouteDestination { destination, weight, headers } = route;
        let target = resolve(context, destination).unwrap_or_else(|(reason, message)| {
            let message = format!("{message}; its requests get status 503");
            problems.push(Problem::new(format!("{path}.route[{at}].destination"), reason, message));
            BackendTarget::Invalid { status: 503 }
        });
        backend(target, share(alone, *weight), headers.as_ref())
    });
    RuleAction::Forward(Forward { backends: backends.collect() })
}

/// One destination without a weight takes everything; among several it takes nothing.
pub(super) fn share(alone: bool, weight: Option<u32>) -> u32 {
    if alone { weight.filter(|it| *it > 0).unwrap_or(1) } else { weight.unwrap_or(0) }
}

pub(super) fn backend(target: BackendTarget, weight: u32, changes: Option<&Headers>) -> Backend {
    let (request_headers, response_headers) = headers(changes);
    Backend { target, weight, request_headers, response_headers }
}

/// The service and port that a destination names.
pub(super) fn resolve(
    context: Context<'_>,
    destination: &Destination,
) -> Result<BackendTarget, (Reason, String)> {
    let cluster = context.cluster;
    let not_found = |message: String| Err((Reason::BackendNotFound, message));
    let hostname = cluster.settings.hostname_meant(context.namespace, &destination.host);
    let Some(service) = cluster.resolve_hostname(context.namespace, &hostname) else {
        return not_found(format!("there is no service for host {:?}", destination.host));
    };
    let object = service.object.key();
    let asked = destination.port.as_ref().map(|port| port.number.0);
    let port = match (asked, service.object.ports()) {
        (None, [only]) => only.number,
        (None, [first, ..]) => match context.port.unwrap_or(first.number) {
            port if service.object.has_port(port) => port,
            port => {
                let message = format!("{object} has several ports and none of them is {port}; say which");
                return not_found(message);
            }
        },
        (None, []) => return not_found(format!("{object} has no TCP port")),
        (Some(port), _) if !service.object.has_port(port) => {
            return not_found(format!("{object} has no TCP port {port}"));
        }
        (Some(port), _) => port,
    };
    let subset = destination.subset.as_deref().map(Arc::from);
    Ok(BackendTarget::Service { service: service.key, port, subset })
}

fn translate_redirect(written: &HttpRedirect) -> Redirect {
    Redirect {
        status: written.redirect_code.unwrap_or(301),
        scheme: written.scheme.as_deref().map(Arc::from),
        host: written.authority.as_deref().map(Arc::from),
        port: written.port.map(|port| port.0),
        port_derivation: match written.derive_port {
            None => PortDerivation::FromListener,
            Some(RedirectPort::FromProtocolDefault) => PortDerivation::FromProtocolDefault,
            Some(RedirectPort::FromRequestPort) => PortDerivation::FromRequestPort,
        },
        path: written.uri.as_deref().map(|uri| PathChange::Full(uri.into())),
    }
}

pub(super) fn rewrite(written: &HttpRewrite, matched: &mut HttpMatch) -> Rewrite {
    let path = match (&written.uri_regex_rewrite, &written.uri) {
        (Some(it), _) => Some(PathChange::Regex {
            pattern: it.pattern.as_str().into(),
            substitution: it.rewrite.as_str().into(),
        }),
        (None, Some(uri)) => Some(replace_matched(uri, matched)),
        (None, None) => None,
    };
    Rewrite { authority: written.authority.as_deref().map(Arc::from), path }
}

/// Replaces what matched: a prefix, or the whole path. Where the path does not matter, the prefix
/// `/` counts as what matched.
pub(super) fn replace_matched(with: &str, matched: &mut HttpMatch) -> PathChange {
    match matched.path.get_or_insert_with(|| ValueMatch::Prefix("/".into())) {
        ValueMatch::Prefix(_) | ValueMatch::PathPrefix(_) => PathChange::Prefix(with.into()),
        ValueMatch::Exact(_) | ValueMatch::Regex(_) | ValueMatch::Presence => PathChange::Full(with.into()),
    }
}
