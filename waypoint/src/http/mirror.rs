//! Copies of requests, sent and forgotten: whatever becomes of them, the request
//! itself does not notice (RES-15).

use std::sync::Arc;
use std::time::Duration;

use http::header::{HOST, HeaderValue};
use http_body_util::{BodyExt, Full, Limited};

use super::attempts::{Outgoing, find_terms, hop_for, request_for};
use super::body::RequestBody;
use super::fault::includes;
use super::grpc_web::ClientBody;
use super::normalise::Kind;
use super::version::version_for;
use crate::balance::{Caller, Outcome};
use crate::outside::fetch_endpoint;
use crate::routes::{Backend, Rule};
use crate::tunnel::Tunnel;

/// All of a copy's life, from waiting for the request's body to the end of the response.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Responses are read, so that the connection can be kept, up to this.
const LARGEST_RESPONSE: usize = 1 << 20;

/// Sends a request's copies. Those beyond what a worker allows, and those of
/// requests with more in them than is kept, are not sent.
pub(crate) fn send_copies(tunnel: &Arc<Tunnel>, rule: &Arc<Rule>, outgoing: &Outgoing) {
    if outgoing.kind.websocket {
        return;
    }
    for (index, (_, share)) in rule.mirrors.iter().enumerate() {
        if !includes(*share) {
            continue;
        }
        let Ok(slot) = tunnel.worker.mirrors.clone().try_acquire_owned() else {
            tracing::debug!(rule = %rule.name, "a copy was not sent: too many are on their way");
            continue;
        };
        let (tunnel, rule) = (tunnel.clone(), rule.clone());
        let (mut head, kind, whole) = (outgoing.head.clone(), outgoing.kind, outgoing.body.whole());
        tokio::spawn(async move {
            let backend = &rule.mirrors[index].0;
            backend.request_headers.apply(&mut head.headers);
            if let Some(host) = head.headers.get(HOST).and_then(shadow_host) {
                head.headers.insert(HOST, host);
            }
            let sent = async {
                let Ok(body) = whole.await else {
                    return Err("its body is too large or broke off".to_owned());
                };
                send(&tunnel, backend, &head, kind, RequestBody::Whole(Full::new(body))).await
            };
            let ended = tokio::time::timeout(TIMEOUT, sent).await;
            if let Err(reason) = ended.unwrap_or_else(|_| Err("it took too long".to_owned())) {
                tracing::debug!(rule = %rule.name, reason, "a copy did not arrive");
            }
            drop(slot);
        });
    }
}

async fn send(
    tunnel: &Tunnel,
    backend: &Backend,
    head: &http::request::Parts,
    kind: Kind,
    body: RequestBody<ClientBody>,
) -> Result<(), String> {
    let mut caller = Caller::of_request(tunnel, head);
    let fetched = fetch_endpoint(tunnel, &backend.destination, &mut caller, &[]).await;
    let (chosen, on_its_way) = fetched.map_err(|none| format!("{none:?}"))?;
    let terms = find_terms(tunnel, &backend.destination);
    let asked = terms.as_ref().map(|terms| terms.version).unwrap_or_default();
    let version = version_for((asked, chosen.app_protocol), head.version, kind.grpc, kind.websocket);
    let request = request_for(head, body, version, 1).ok_or("its host is no authority")?;
    let hop = hop_for(tunnel, (&chosen, terms.as_ref()), head);
    let result = tunnel.worker.pool.send(&hop, version, request).await;
    on_its_way.tell(Outcome::of(&result));
    let answer = result.map_err(|error| error.reason)?;
    let read = Limited::new(answer.response.into_body(), LARGEST_RESPONSE).collect().await;
    read.map(|_| ()).map_err(|error| error.to_string())
}

/// The host of a copy tells it from the request: `shop:80` becomes `shop-shadow:80`.
fn shadow_host(host: &HeaderValue) -> Option<HeaderValue> {
    let host = host.to_str().ok()?;
    let shadow = match host.rsplit_once(':') {
        // IPv6 addresses in brackets have colons of their own.
        Some((name, port)) if !port.contains(']') => format!("{name}-shadow:{port}"),
        _ => format!("{host}-shadow"),
    };
    shadow.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gw_26_a_copy_has_a_host_of_its_own() {
        for (host, expected) in [("shop", "shop-shadow"), ("shop.prod:80", "shop.prod-shadow:80")] {
            assert_eq!(shadow_host(&HeaderValue::from_static(host)).unwrap(), expected);
        }
    }
}
