//! The path of a connection that carries no HTTP: whether it may pass, the rule that takes it, the name it asks for
//! where a policy or a rule wants to know that, and on to a backend.

mod admission;

use mesh_hbone::{Incoming, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::client_hello::peek;
use crate::routes::{Asked, Backend, Destination, Stream, StreamVerdict};
use crate::tcp;
use crate::tunnel::Tunnel;
use crate::wildcard;
use admission::{Refused, admit, depends_on_name};

pub(crate) use admission::Admitted;

/// Takes a tunnel, or refuses it if its connection may not pass or is for nowhere.
pub(crate) async fn accept(tunnel: &Tunnel, incoming: Incoming) {
    let verdict = judge(tunnel, Asked::NotRead);
    if needs_name(tunnel, &verdict) {
        // The client says nothing before it is told that it may. Fails only when it has given up.
        if let Ok(stream) = incoming.accept(&[]) {
            carry_by_name(tunnel, stream).await;
        }
        return;
    }
    let admitted = match admit(tunnel, Asked::NotRead).await {
        Ok(admitted) => admitted,
        Err(refused) => {
            let status = match refused {
                Refused::Denied(_) | Refused::Revoked(_) => StatusCode::UNAUTHORIZED,
                Refused::NotConfigured => StatusCode::SERVICE_UNAVAILABLE,
            };
            tcp::report_failed(tunnel, refused.into_failure());
            return incoming.refuse(status);
        }
    };
    match destination(tunnel, &verdict, Asked::NotRead) {
        Ok(destination) => tcp::accept(tunnel, &destination, incoming, admitted).await,
        Err(reason) => {
            tcp::report_unroutable(tunnel, reason);
            incoming.refuse(StatusCode::SERVICE_UNAVAILABLE);
        }
    }
}

/// Carries on with a tunnel that has been taken already.
pub(crate) async fn carry<S: AsyncRead + AsyncWrite + Unpin>(tunnel: &Tunnel, stream: S) {
    let verdict = judge(tunnel, Asked::NotRead);
    match needs_name(tunnel, &verdict) {
        true => carry_by_name(tunnel, stream).await,
        false => carry_on(tunnel, stream, &verdict, Asked::NotRead).await,
    }
}

/// Whether the name that a connection asks for has to be read: for a policy, for a rule, or because it says where
/// the connection goes.
fn needs_name(tunnel: &Tunnel, verdict: &StreamVerdict) -> bool {
    let may_lead_to_wildcard = match verdict {
        StreamVerdict::NameNeeded => return true,
        StreamVerdict::NoMatch => false,
        StreamVerdict::Ungoverned => wildcard::find(tunnel, &tunnel.destination()).is_some(),
        StreamVerdict::Rule(rule) => {
            rule.backends.iter().any(|backend| wildcard::find(tunnel, &backend.destination).is_some())
        }
    };
    may_lead_to_wildcard || depends_on_name(tunnel)
}

async fn carry_by_name<S: AsyncRead + AsyncWrite + Unpin>(tunnel: &Tunnel, stream: S) {
    let peeked = tokio::select! {
        peeked = peek(stream, tunnel.worker.settings.detection_patience) => peeked,
        // It has been told of nobody yet, so nothing is lost.
        _ = tunnel.drain.signaled() => return,
    };
    match peeked {
        Ok((name, stream)) => {
            let asked = name.as_deref().map_or(Asked::Nothing, Asked::Name);
            carry_on(tunnel, stream, &judge(tunnel, asked), asked).await;
        }
        Err(error) => tracing::debug!(%error, "a tunnel ended before it was clear whom it asks for"),
    }
}

async fn carry_on<S: AsyncRead + AsyncWrite + Unpin>(
    tunnel: &Tunnel,
    stream: S,
    verdict: &StreamVerdict,
    asked: Asked<'_>,
) {
    // Dropped, the stream is reset.
    let admitted = match admit(tunnel, asked).await {
        Ok(admitted) => admitted,
        Err(refused) => return tcp::report_failed(tunnel, refused.into_failure()),
    };
    match destination(tunnel, verdict, asked) {
        Ok(destination) => tcp::carry(tunnel, &destination, stream, admitted).await,
        Err(reason) => tcp::report_unroutable(tunnel, reason),
    }
}

fn judge(tunnel: &Tunnel, asked: Asked<'_>) -> StreamVerdict {
    let snapshot = tunnel.worker.reader.snapshot();
    let config = tunnel.plan.service().and_then(|service| snapshot.service_config(&service.key));
    let service_port = tunnel.target.port();
    let governed = |config: &mesh_model::ServiceConfig| {
        config.find_port(service_port).is_some_and(|port| !port.stream_rules.is_empty())
    };
    // Most ports have no such rules; they cost no look at the cache.
    let Some(config) = config.filter(|config| governed(config)) else {
        return StreamVerdict::Ungoverned;
    };
    tunnel.worker.routes.find(&config).judge_stream(Stream {
        source: tunnel.downstream.ip().to_canonical(),
        source_namespace: &tunnel.identity.namespace,
        destination: tunnel.target.ip(),
        service_port,
        asked,
    })
}

/// Where a connection goes, by weight where there is a choice; or why it goes nowhere.
fn destination(tunnel: &Tunnel, verdict: &StreamVerdict, asked: Asked<'_>) -> Result<Destination, String> {
    let rule = match verdict {
        StreamVerdict::Ungoverned => return Ok(tunnel.destination()),
        StreamVerdict::Rule(rule) => rule,
        StreamVerdict::NoMatch | StreamVerdict::NameNeeded => {
            return Err(match asked {
                Asked::Name(name) => {
                    format!("no route is for the name {name:?} that its client asks for by TLS")
                }
                Asked::Nothing => "no route is for connections that ask for no name by TLS".to_owned(),
                Asked::NotRead => "no route is for it".to_owned(),
            });
        }
    };
    match Backend::choose(&rule.backends).map(|backend| &backend.destination) {
        None => Err(format!("{} has no backend that may take connections", rule.name)),
        Some(Destination::Invalid(_)) => Err(format!("{} leads to a backend that does not exist", rule.name)),
        Some(destination) => {
            tracing::debug!(rule = %rule.name, target = %tunnel.target, "a connection is routed");
            Ok(destination.clone())
        }
    }
}
