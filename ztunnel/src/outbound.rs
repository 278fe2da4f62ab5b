//! A connection the pod opened: where it wants to go, the plan for it, and
//! carrying that out.

mod plan;
mod tunnel;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mesh_model::Workload;
use mesh_net::addr::{LocalAddress, OriginalDestination, OriginalSource};
use mesh_net::copy::copy_bidirectional;
use mesh_net::socket::original_destination;
use mesh_state::{NamedHop, Query, needed};
use mesh_telemetry::{Addresses, Direction, Party, Reporter, early_denial};
use thiserror::Error;
use tokio::net::TcpStream;
use tracing::debug;

use crate::connections::{Connection, Protocol};
use crate::discovery::{Need, Unanswered};
use crate::dns::LookupError;
use crate::journal::{Ended, Journal, Parties};
use crate::ports;
use crate::proxy::{Lane, Pod};
use plan::{Call, Plain, Plan, Refused, Step, plan};

/// A connection as the listener took it.
#[derive(Clone, Copy)]
struct Captured {
    source: OriginalSource,
    destination: OriginalDestination,
    listener: Option<LocalAddress>,
}

/// Why a connection is closed before it is anybody's.
#[derive(Debug, Error)]
enum Rejected {
    /// CAP-26.
    #[error("the controller has not named the pod's workload")]
    UnknownSource,
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    NotLookedUp(#[from] LookupError),
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
}

/// Serves one connection to its end.
pub(crate) async fn serve(lane: Lane, downstream: TcpStream) {
    let captured = match Captured::read(&downstream) {
        Ok(captured) => captured,
        Err(error) => return debug!(%error, "a captured connection ended before it was looked at"),
    };
    match decide(&lane.pod, captured).await {
        Ok((source, Plan::Plain(plain))) => carry_plain(lane, captured, source, plain, downstream).await,
        Ok((source, Plan::Tunnel(tunnel))) => {
            tunnel::carry(lane, captured, source, tunnel, downstream).await;
        }
        Err(rejected) => {
            early_denial(captured.source.0, captured.destination.0, Direction::Outbound, &rejected);
        }
    }
}

impl Captured {
    fn read(downstream: &TcpStream) -> io::Result<Self> {
        let local = LocalAddress::new(downstream.local_addr()?);
        Ok(Captured {
            source: OriginalSource::new(downstream.peer_addr()?),
            destination: original_destination(downstream, local, ports::OUTBOUND)?,
            listener: (local.0.port() == ports::OUTBOUND).then_some(local),
        })
    }

    fn leads(self, to: SocketAddr, protocol: Protocol) -> Connection {
        let Captured { source, destination, .. } = self;
        Connection { src: source.0, original_dst: destination.0, actual_dst: to, protocol }
    }
}

async fn decide(pod: &Pod, captured: Captured) -> Result<(Arc<Workload>, Plan), Rejected> {
    let source = pod.fetch_workload().await.ok_or(Rejected::UnknownSource)?;
    let Captured { destination, listener, .. } = captured;
    if let Some(discovery) = &pod.mesh.discovery {
        let query = Query { source: &source, destination: destination.0 };
        Box::pin(discovery.settle(|snapshot| needed(snapshot, query), Need::Route)).await?;
    }
    let snapshot = pod.mesh.reader.snapshot();
    let call = Call { source: &source, destination, listener };
    let plan = match plan(&snapshot, call)? {
        Step::Carry(plan) => plan,
        Step::LookUp(hop) => plan::at(Box::pin(look_up(pod, &source, destination, &hop)).await?, &hop, call)?,
    };
    Ok((source, plan))
}

/// An address of a workload that is known by name alone (DNS-25).
async fn look_up(
    pod: &Pod,
    source: &Arc<Workload>,
    destination: OriginalDestination,
    hop: &NamedHop,
) -> Result<IpAddr, LookupError> {
    let source = Party { workload: Some(Arc::clone(source)), identity: Some(pod.identity.clone()) };
    let (host, families) = (&hop.workload.hostname, hop.service.ip_families);
    pod.resolver.fetch_address(&source, host, destination.0.ip(), families).await
}

/// To a workload without HBONE or to somewhere unknown: as it is, from the pod itself.
async fn carry_plain(
    lane: Lane,
    captured: Captured,
    source: Arc<Workload>,
    plain: Plain,
    mut downstream: TcpStream,
) {
    let Plain { to, workload, service } = plain;
    let journal = Journal::open(
        &lane.pod,
        Reporter::Source,
        Parties {
            source: Party { workload: Some(source), identity: None },
            destination: Party { workload, identity: None },
            service,
        },
        Addresses { source: captured.source.0, destination: to, target: None },
        captured.leads(to, Protocol::Tcp),
    );
    let counters = journal.counters();
    // The pod's own address is the right one: nothing to spoof.
    let outcome = match Box::pin(lane.pod.connect(to, None)).await {
        Ok(mut upstream) => {
            let copied = copy_bidirectional(&mut downstream, &mut upstream, &counters).await;
            if copied.is_err() {
                reset(&upstream);
            }
            copied.map_err(Ended::Broken)
        }
        Err(failure) => Err(Ended::NotConnected(failure)),
    };
    if outcome.is_err() {
        reset(&downstream);
    }
    journal.close(outcome);
}

/// Lets the other side see a reset where an end would look like success (HB-10).
fn reset(stream: &TcpStream) {
    // Fails only on a socket that is already gone.
    let _ = stream.set_zero_linger();
}
