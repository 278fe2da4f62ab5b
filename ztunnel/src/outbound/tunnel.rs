//! Carrying a connection through an HBONE tunnel.

use std::sync::Arc;

use mesh_hbone::{ConnectError, ConnectRequest, DialError, PoolKey, TlsStream, TunnelStream, copy_with_tcp};
use mesh_identity::Certificate;
use mesh_model::Workload;
use mesh_net::copy::Side;
use mesh_telemetry::traceparent::TraceParent;
use mesh_telemetry::{Addresses, Party, Reporter, baggage, forwarded};
use tokio::net::TcpStream;

use super::plan::Tunnel;
use super::{Captured, reset};
use crate::connections::Protocol;
use crate::journal::{Ended, Journal, Parties};
use crate::proxy::{ConnectFailure, Lane, Pod};
use crate::revocable::Revocable;

pub(super) async fn carry(
    lane: Lane,
    captured: Captured,
    source: Arc<Workload>,
    plan: Tunnel,
    mut downstream: TcpStream,
) {
    let plan = Box::new(plan);
    let journal = Journal::open(
        &lane.pod,
        Reporter::Source,
        Parties {
            source: Party { workload: Some(Arc::clone(&source)), identity: Some(lane.pod.identity.clone()) },
            destination: Party {
                identity: Some(plan.workload.identity()),
                workload: Some(Arc::clone(&plan.workload)),
            },
            service: plan.service.clone(),
        },
        Addresses {
            source: captured.source.0,
            destination: plan.next_hop,
            target: Some(plan.target.to_string()),
        },
        captured.leads(plan.next_hop, Protocol::Hbone),
    );
    // Boxed: opening takes much more memory than what follows, and only for a moment.
    let opened = Box::pin(open(&lane, captured, &source, &plan)).await;
    drop((plan, source));
    let outcome = match opened {
        Ok(mut tunnel) => {
            let counters = journal.counters();
            let copied = copy_with_tcp(&mut downstream, &mut tunnel, Side::Downstream, &counters).await;
            copied.map_err(Ended::Broken)
        }
        Err(error) => {
            reset(&downstream);
            Err(Ended::NoTunnel(error))
        }
    };
    journal.close(outcome);
}

async fn open(
    lane: &Lane,
    captured: Captured,
    source: &Workload,
    plan: &Tunnel,
) -> Result<TunnelStream, ConnectError> {
    let key = PoolKey {
        source: lane.pod.identity.clone(),
        accepted: plan.accepted.clone(),
        destination: plan.next_hop,
        source_ip: captured.source.0.ip(),
    };
    let service_host = plan.service.as_ref().map(|service| &*service.key.hostname);
    let request = ConnectRequest {
        baggage: vec![baggage::encode(source)],
        forwarded: Some(forwarded::encode(captured.source.0, service_host)),
        traceparent: Some(TraceParent::random().to_string()),
        ..ConnectRequest::new(plan.target.clone())
    };
    let (tunnel, _) = lane.pool.connect(&key, || dial(&lane.pod, plan), &request).await?;
    Ok(tunnel)
}

async fn dial(pod: &Pod, plan: &Tunnel) -> Result<TlsStream<Revocable>, DialError> {
    // Without one there is no point in connecting.
    pod.fetch_certificate().await?;
    let stream = pod.connect(plan.next_hop, None).await.map_err(|failure| match failure {
        ConnectFailure::Refused { to, source } => {
            DialError::Connect { address: to, source: Arc::new(source) }
        }
        ConnectFailure::TimedOut { to, after } => DialError::ConnectTimeout { address: to, after },
    })?;
    let timeout = pod.mesh.settings.tunnel.handshake_timeout;
    let connect = async |stream, certificate: Arc<Certificate>| {
        TlsStream::connect(stream, &certificate, &plan.accepted, timeout).await
    };
    Ok(pod.arm(stream, Reporter::Source).await?.shake_hands(connect).await?)
}
