//! WebSockets: after the handshake the two connections are joined (GW-35).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::Response;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use mesh_net::copy::{Transferred, copy_bidirectional};
use mesh_runtime::drain::DrainWatcher;

use super::report::Exchange;
use super::response::ResponseBody;
use crate::upstream::Lease;

/// Answers the client's handshake with the backend's, and joins what follows.
pub(crate) fn join(
    mut response: Response<Incoming>,
    client: OnUpgrade,
    (mut exchange, lease): (Exchange, Lease),
    drain: DrainWatcher,
) -> Response<ResponseBody> {
    let backend = hyper::upgrade::on(&mut response);
    tokio::spawn(async move {
        let joined = copy(client, backend, &mut exchange);
        tokio::select! {
            result = joined => if let Err(error) = result {
                tracing::debug!(error, "an upgraded connection ended early");
            },
            () = drain.forced() => {}
        }
        // It has been one of the service's requests all the time.
        drop(lease);
    });
    response.map(|_| ResponseBody::none())
}

async fn copy(client: OnUpgrade, backend: OnUpgrade, exchange: &mut Exchange) -> Result<(), String> {
    let (client, backend) = tokio::try_join!(client, backend).map_err(|error| error.to_string())?;
    let counters = Arc::new(Transferred::default());
    let (mut client, mut backend) = (TokioIo::new(client), TokioIo::new(backend));
    let result = copy_bidirectional(&mut client, &mut backend, &counters).await;
    exchange.received().fetch_add(counters.sent.load(Ordering::Relaxed), Ordering::Relaxed);
    exchange.count_sent(usize::try_from(counters.received.load(Ordering::Relaxed)).unwrap_or(usize::MAX));
    result.map_err(|error| error.to_string())
}
