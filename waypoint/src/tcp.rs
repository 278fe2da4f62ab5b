//! Bytes that are none of our business: passed on as they come.

mod expiry;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mesh_authz::Permit;
use mesh_hbone::{ConnectError, DialError, Incoming, StatusCode};
use mesh_net::copy::{Transferred, copy_bidirectional};
use mesh_state::Endpoint;
use mesh_telemetry::{Addresses, ConnectionReport, Failure, Reporter, ResponseFlag, ServiceRef, forwarded};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::balance::{Caller, OnItsWay, Outcome, party_of};
use crate::http::find_terms;
use crate::outside::fetch_endpoint;
use crate::routes::Destination;
use crate::stream::Admitted;
use crate::tunnel::Tunnel;
use crate::upstream::{Client, Hop, OpenError, Terms, Wire};
use expiry::expired;

/// Endpoints that are tried before a connection is given up.
const MOST_TRIED: usize = 3;
/// How often the bytes of a long connection are brought up to date (TEL-08).
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// Takes a tunnel once there is somewhere for it to lead: 200 says so (HB-09).
pub(crate) async fn accept(
    tunnel: &Tunnel,
    destination: &Destination,
    incoming: Incoming,
    admitted: Admitted,
) {
    let Some(upstream) = connect(tunnel, destination, &admitted.permit).await else {
        return incoming.refuse(StatusCode::SERVICE_UNAVAILABLE);
    };
    match incoming.accept(&[]) {
        Ok(stream) => pass(tunnel, stream, upstream, admitted).await,
        Err(error) => upstream.report.close(Err(broken(error))),
    }
}

/// Carries on with a tunnel that has been taken already.
pub(crate) async fn carry<S>(tunnel: &Tunnel, destination: &Destination, stream: S, admitted: Admitted)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // Dropped, the stream is reset: nobody could be reached (RES-16).
    if let Some(upstream) = connect(tunnel, destination, &admitted.permit).await {
        pass(tunnel, stream, upstream, admitted).await;
    }
}

/// A connection for nowhere: told in metrics and in the log.
pub(crate) fn report_unroutable(tunnel: &Tunnel, reason: String) {
    report_failed(tunnel, Failure { flag: ResponseFlag::NoRoute, error: reason });
}

/// A connection that ends before it leads anywhere: told in metrics and in the log.
pub(crate) fn report_failed(tunnel: &Tunnel, failure: Failure) {
    let (report, _) = open_report(tunnel, None);
    report.close(Err(failure));
}

type Counters = Arc<Transferred>;

/// A connection to an endpoint, and what is told of it.
struct Connected {
    wire: Wire,
    report: ConnectionReport,
    counters: Counters,
    terms: Option<Arc<Terms>>,
    /// The endpoint is busy with it until it ends.
    on_its_way: OnItsWay,
}

/// Connects to an endpoint, to another one if that fails.
async fn connect(tunnel: &Tunnel, destination: &Destination, _permit: &Permit) -> Option<Connected> {
    let terms = find_terms(tunnel, destination);
    let counted = match terms.as_ref().map(|terms| terms.enter_connection()).transpose() {
        Ok(counted) => counted,
        Err(overflow) => {
            let failure = Failure { flag: ResponseFlag::Overflow, error: overflow.to_string() };
            report_failed(tunnel, failure);
            return None;
        }
    };
    let hostname = tunnel.plan.service().map(|service| &*service.key.hostname);
    let client = forwarded::encode(tunnel.downstream, hostname);
    let mut caller = Caller::of_connection(tunnel);
    let mut tried: Vec<SocketAddr> = Vec::new();
    let mut failure = None;
    while tried.len() < MOST_TRIED {
        let fetched = fetch_endpoint(tunnel, destination, &mut caller, &tried).await;
        let Ok((chosen, on_its_way)) = fetched else { break };
        if tried.contains(&chosen.endpoint.address) {
            break;
        }
        tried.push(chosen.endpoint.address);
        let hop = Hop {
            endpoint: &chosen.endpoint,
            terms: terms.as_ref(),
            client: Client::of(tunnel),
            authority: None,
            open: tunnel.open,
        };
        match tunnel.worker.upstream.connect(&hop, None, Some(client.clone())).await {
            Ok(wire) => {
                // As if it had answered a request well: connections have no status.
                on_its_way.tell(Some(Outcome::Answered(200)));
                let (report, counters) = open_report(tunnel, Some(&chosen.endpoint));
                let wire = wire.holding(counted);
                return Some(Connected { wire, report, counters, terms, on_its_way });
            }
            Err(error) => {
                on_its_way.tell(Some(Outcome::Failed));
                failure = Some((chosen.endpoint, error));
            }
        }
    }
    let (report, _) = open_report(tunnel, failure.as_ref().map(|(endpoint, _)| &**endpoint));
    report.close(Err(match failure {
        Some((_, error)) => Failure { flag: flag_of(&error), error: error.to_string() },
        None => Failure { flag: ResponseFlag::ConnectFailure, error: "no healthy endpoint".to_owned() },
    }));
    None
}

async fn pass<S>(tunnel: &Tunnel, mut stream: S, upstream: Connected, mut admitted: Admitted)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Connected { mut wire, report, counters, terms, on_its_way: _on_its_way } = upstream;
    let limits = terms.map(|terms| terms.tcp).unwrap_or_default();
    let mut expired = std::pin::pin!(expired(limits, &counters));
    let copying = copy_bidirectional(&mut stream, &mut wire, &counters);
    let mut copying = std::pin::pin!(copying);
    let mut revoked = std::pin::pin!(admitted.revoked(tunnel));
    let result = loop {
        tokio::select! {
            result = copying.as_mut() => break result.map_err(broken),
            refused = revoked.as_mut() => break Err(refused.into_failure()),
            reason = expired.as_mut() => {
                tracing::debug!(target = %tunnel.target, reason, "a connection is closed");
                break Ok(());
            }
            () = tokio::time::sleep(REPORT_INTERVAL) => report.flush(),
            () = tunnel.drain.forced() => break Err(broken("the waypoint shut down")),
        }
    };
    report.close(result);
}

fn broken(error: impl std::fmt::Display) -> Failure {
    Failure { flag: ResponseFlag::None, error: error.to_string() }
}

fn open_report(tunnel: &Tunnel, endpoint: Option<&Endpoint>) -> (ConnectionReport, Counters) {
    let addresses = Addresses {
        source: tunnel.downstream,
        destination: endpoint.map_or(tunnel.target, |endpoint| endpoint.address),
        target: Some(tunnel.target.to_string()),
    };
    let destination = endpoint.map(party_of).unwrap_or_default();
    let service = tunnel.plan.service().map(|service| ServiceRef { key: service.key.clone() });
    let (metrics, source) = (&tunnel.worker.tcp_metrics, tunnel.source.clone());
    let mut report =
        ConnectionReport::open(metrics, Reporter::Waypoint, source, destination, service, addresses);
    let counters = Counters::default();
    let meter = counters.clone();
    report.measure(move || (meter.sent.load(Ordering::Relaxed), meter.received.load(Ordering::Relaxed)));
    (report, counters)
}

fn flag_of(error: &OpenError) -> ResponseFlag {
    let error = match error {
        OpenError::Connect(error) => error,
        OpenError::Tls(_) => return ResponseFlag::TlsFailure,
        OpenError::Timeout(..) | OpenError::ClientAddress(..) => return ResponseFlag::ConnectFailure,
    };
    match error {
        ConnectError::Dial(DialError::Identity(_)) => ResponseFlag::IdentityError,
        ConnectError::Dial(DialError::Tls(_)) => ResponseFlag::TlsFailure,
        ConnectError::Dial(DialError::ConnectTimeout { .. }) => ResponseFlag::NetworkPolicy,
        ConnectError::Http2(_) => ResponseFlag::Http2HandshakeFailure,
        ConnectError::Refused(StatusCode::UNAUTHORIZED) => ResponseFlag::Denied,
        _ => ResponseFlag::ConnectFailure,
    }
}
