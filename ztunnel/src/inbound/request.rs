//! One CONNECT: checks, permit, application, 200, and only then bytes (HB-09).

use std::sync::Arc;

use mesh_hbone::{ConnectRequest, Incoming, StatusCode, Target, copy_with_tcp};
use mesh_model::{NamespacedHostname, NetworkAddress, Service, Workload};
use mesh_net::copy::Side;
use mesh_net::proxy_protocol::header_v2;
use mesh_state::{ResourceName, Snapshot};
use mesh_telemetry::{Addresses, Direction, Party, Reporter, baggage, early_denial, forwarded};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::admission::{connect, copy_while_permitted};
use super::checks::{Arrival, Delivery, Refusal, deliver};
use super::describe::describe;
use super::guard::{Case, Guard};
use super::hbone::Carrier;
use crate::connections::{Connection, Protocol};
use crate::journal::{Ended, Journal, Parties};
use crate::proxy::ConnectFailure;

/// A request that passed the checks.
struct Checked {
    local: Arc<Workload>,
    delivery: Delivery,
    guard: Guard,
    journal: Journal,
}

/// Serves one request to the end of its tunnel.
pub(super) async fn serve(carrier: Arc<Carrier>, incoming: Incoming) {
    let checked = match Box::pin(check(&carrier, &incoming.request)).await {
        Ok(checked) => checked,
        Err(refusal) => {
            early_denial(carrier.source.0, carrier.local.0, Direction::Inbound, &refusal);
            return incoming.refuse(refusal.status());
        }
    };
    let Checked { local, delivery, mut guard, journal } = checked;
    let mut upstream = match Box::pin(reach_application(&carrier, &guard, &delivery)).await {
        Ok(upstream) => upstream,
        Err(ended) => {
            incoming.refuse(status_of(&ended));
            return journal.close(Err(ended));
        }
    };
    let accepted = if carrier.pod.mesh.settings.response_baggage {
        incoming.accept(&[("baggage", &baggage::encode(&local))])
    } else {
        incoming.accept(&[])
    };
    drop((carrier, local, delivery));
    let mut tunnel = match accepted {
        Ok(tunnel) => tunnel,
        Err(error) => return journal.close(Err(Ended::GivenUp(error))),
    };
    let counters = journal.counters();
    let copy = copy_with_tcp(&mut upstream, &mut tunnel, Side::Upstream, &counters);
    let outcome = copy_while_permitted(copy, &mut guard).await;
    if let Err(Ended::Revoked(_)) = outcome {
        // Neither application may take the cut for an end. Fails only on a socket that is gone.
        let _ = upstream.set_zero_linger();
        tunnel.abort();
    }
    journal.close(outcome);
}

async fn check(carrier: &Carrier, request: &ConnectRequest) -> Result<Checked, Refusal> {
    let pod = &carrier.pod;
    let settings = &pod.mesh.settings;
    let local = pod.fetch_workload().await.ok_or(Refusal::UnknownWorkload)?;
    describe(pod, &local, names_of(carrier, &local, &request.target)).await;
    let snapshot = pod.mesh.reader.snapshot();
    let arrival = Arrival {
        local: &local,
        address: carrier.local.0.ip(),
        target: &request.target,
        localhost: settings.localhost_application_tunnel,
    };
    let delivery = deliver(&snapshot, arrival)?;
    let case = Case {
        local: Arc::clone(&local),
        source: carrier.source.0.ip(),
        identity: Some(carrier.identity.clone()),
        destination: delivery.destination,
    };
    let guard = Guard::new(pod.mesh.reader.clone(), case, settings.log_dry_run);
    let target = request.target.to_string();
    let journal = Journal::open(
        pod,
        Reporter::Destination,
        Parties {
            source: source_of(carrier, &snapshot, request),
            destination: Party { workload: Some(Arc::clone(&local)), identity: Some(pod.identity.clone()) },
            service: service_of(&snapshot, &local, request, &delivery),
        },
        Addresses { source: carrier.source.0, destination: carrier.local.0, target: Some(target) },
        Connection {
            src: carrier.source.0,
            original_dst: carrier.local.0,
            actual_dst: delivery.upstream,
            protocol: Protocol::Hbone,
        },
    );
    Ok(Checked { local, delivery, guard, journal })
}

/// Who it is from, and what it asks for if that is not the pod itself.
fn names_of(carrier: &Carrier, local: &Workload, target: &Target) -> Vec<ResourceName> {
    let on = |network: &Arc<str>, ip| ResourceName::Address(NetworkAddress::new(Arc::clone(network), ip));
    let mut names = vec![on(&carrier.pod.mesh.settings.network, carrier.source.0.ip())];
    match target {
        Target::Address(asked) if asked.ip() == carrier.local.0.ip() => {}
        Target::Address(asked) => names.push(on(&local.network, asked.ip().to_canonical())),
        Target::Hostname(hostname, _) => {
            let name = NamespacedHostname::new(Arc::clone(&local.namespace), Arc::clone(hostname));
            names.push(ResourceName::Host(name));
        }
    }
    names
}

/// Who the tunnel is from: the address tells the workload, unless it is a gateway's.
fn source_of(carrier: &Carrier, snapshot: &Snapshot, request: &ConnectRequest) -> Party {
    let network = &carrier.pod.mesh.settings.network;
    let foreign =
        request.forwarded_network.as_ref().is_some_and(|other| !other.eq_ignore_ascii_case(network));
    let address = NetworkAddress::new(Arc::clone(network), carrier.source.0.ip());
    let workload = if foreign { None } else { snapshot.find_workload(&address) };
    Party { workload, identity: Some(carrier.identity.clone()) }
}

/// The service the client addressed: by its own account, else the one that leads here (TEL-19).
fn service_of(
    snapshot: &Snapshot,
    local: &Workload,
    request: &ConnectRequest,
    delivery: &Delivery,
) -> Option<Arc<Service>> {
    let told = request.forwarded.as_deref().and_then(forwarded::find_host);
    told.and_then(|host| snapshot.find_service_by_host(host, &*local.namespace))
        .or_else(|| delivery.service.clone())
        .or_else(|| snapshot.find_service_behind(local, delivery.destination.port()))
}

async fn reach_application(
    carrier: &Carrier,
    guard: &Guard,
    delivery: &Delivery,
) -> Result<TcpStream, Ended> {
    let source = carrier.source.0;
    let mut upstream = connect(&carrier.pod, guard, source.ip(), delivery.upstream).await?;
    if let Some(announced) = delivery.announced {
        let header = header_v2(source, announced, Some(&carrier.identity.to_string()));
        let to = delivery.upstream;
        upstream.write_all(&header).await.map_err(|source| ConnectFailure::Refused { to, source })?;
    }
    Ok(upstream)
}

fn status_of(ended: &Ended) -> StatusCode {
    match ended {
        Ended::Denied(_) => StatusCode::UNAUTHORIZED,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}
