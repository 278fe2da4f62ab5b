//! Plain connections to the pod: nobody has proven who they are, policies
//! judge them all the same (wire.md §2.6).

use std::io;
use std::sync::Arc;

use mesh_model::NetworkAddress;
use mesh_net::addr::{LocalAddress, OriginalDestination, OriginalSource};
use mesh_net::copy::copy_bidirectional;
use mesh_net::socket::original_plain_destination;
use mesh_state::ResourceName;
use mesh_telemetry::{Addresses, Direction, Party, Reporter, early_denial};
use tokio::net::TcpStream;
use tracing::debug;

use super::admission::{connect, copy_while_permitted};
use super::checks::Refusal;
use super::describe::describe;
use super::guard::{Case, Guard};
use crate::connections::{Connection, Protocol};
use crate::journal::{Journal, Parties};
use crate::ports;
use crate::proxy::Pod;

/// Serves one connection to its end.
pub(crate) async fn serve_plaintext(pod: Arc<Pod>, mut downstream: TcpStream) {
    let (source, destination) = match addresses(&downstream) {
        Ok(addresses) => addresses,
        Err(error) => return debug!(%error, "a connection ended before it was looked at"),
    };
    let (mut guard, journal) = match Box::pin(check(&pod, source, destination)).await {
        Ok(checked) => checked,
        Err(refusal) => return early_denial(source.0, destination.0, Direction::Inbound, &refusal),
    };
    let connected = Box::pin(connect(&pod, &guard, source.0.ip(), destination.0)).await;
    drop(pod);
    let outcome = match connected {
        Ok(mut upstream) => {
            let counters = journal.counters();
            let copy = copy_bidirectional(&mut downstream, &mut upstream, &counters);
            let outcome = copy_while_permitted(copy, &mut guard).await;
            if outcome.is_err() {
                // Neither application may take a cut for an end. Fails only on a socket that is gone.
                let _ = upstream.set_zero_linger();
                let _ = downstream.set_zero_linger();
            }
            outcome
        }
        // Closed without a word, as if nobody listened.
        Err(ended) => Err(ended),
    };
    journal.close(outcome);
}

fn addresses(downstream: &TcpStream) -> io::Result<(OriginalSource, OriginalDestination)> {
    let source = OriginalSource::new(downstream.peer_addr()?);
    let local = LocalAddress::new(downstream.local_addr()?);
    Ok((source, original_plain_destination(downstream, local, ports::INBOUND_PLAINTEXT)?))
}

async fn check(
    pod: &Pod,
    source: OriginalSource,
    destination: OriginalDestination,
) -> Result<(Guard, Journal), Refusal> {
    if ports::is_reserved(destination.0.port()) {
        return Err(Refusal::ReservedPort(destination.0.port()));
    }
    let settings = &pod.mesh.settings;
    let local = pod.fetch_workload().await.ok_or(Refusal::UnknownWorkload)?;
    let from = NetworkAddress::new(Arc::clone(&settings.network), source.0.ip());
    describe(pod, &local, vec![ResourceName::Address(from.clone())]).await;
    let snapshot = pod.mesh.reader.snapshot();
    let case =
        Case { local: Arc::clone(&local), source: source.0.ip(), identity: None, destination: destination.0 };
    let guard = Guard::new(pod.mesh.reader.clone(), case, settings.log_dry_run);
    let journal = Journal::open(
        pod,
        Reporter::Destination,
        Parties {
            source: Party { workload: snapshot.find_workload(&from), identity: None },
            service: snapshot.find_service_behind(&local, destination.0.port()),
            destination: Party { workload: Some(local), identity: None },
        },
        Addresses { source: source.0, destination: destination.0, target: None },
        Connection {
            src: source.0,
            original_dst: destination.0,
            actual_dst: destination.0,
            protocol: Protocol::Tcp,
        },
    );
    Ok((guard, journal))
}
