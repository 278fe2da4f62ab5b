//! One tunnel: who opened it, what it leads to, and what is spoken in it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mesh_hbone::{Incoming, StatusCode, Target};
use mesh_model::{AppProtocol, Identity, NetworkAddress, Workload};
use mesh_runtime::drain::DrainWatcher;
use mesh_state::Snapshot;
use mesh_telemetry::{Direction, Party, RequestSource, Security, early_denial};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::detect::{Protocol, detect};
use crate::plan::{Plan, Refusal};
use crate::routes::{Destination, Rule};
use crate::worker::Worker;
use crate::{http, stream};

/// How long a client of a port declared as HTTP may take to say something.
const HTTP_PATIENCE: Duration = Duration::from_secs(300);
/// How much later than the client's node we may learn of what is attached to us.
const NEWS_PATIENCE: Duration = Duration::from_secs(1);

/// What is known of a tunnel for as long as it is open.
pub(crate) struct Tunnel {
    pub(crate) worker: Arc<Worker>,
    pub(crate) drain: DrainWatcher,
    /// The far end of the connection the tunnel is in.
    pub(crate) downstream: SocketAddr,
    /// Who opened it, by certificate.
    pub(crate) identity: Identity,
    /// The same, with what the controller says of it.
    pub(crate) source: Party,
    pub(crate) request_source: Arc<RequestSource>,
    /// What it was opened to.
    pub(crate) target: SocketAddr,
    pub(crate) plan: Plan,
    /// Takes the requests that no rule governs.
    pub(crate) straight: Arc<Rule>,
    /// It came in the open: what follows from it goes on in the open too, for the ztunnel in front to tunnel it.
    pub(crate) open: bool,
}

/// Who opened a tunnel, and over which connection.
#[derive(Clone, Debug)]
pub(crate) struct Downstream {
    pub(crate) address: SocketAddr,
    pub(crate) identity: Identity,
    /// The tunnel has ended at the ztunnel in front.
    pub(crate) open: bool,
}

/// Takes one request for a tunnel, and whatever comes through it.
pub(crate) async fn handle(
    worker: Arc<Worker>,
    downstream: Downstream,
    drain: DrainWatcher,
    incoming: Incoming,
) {
    let tunnel = match Tunnel::plan(worker, downstream, drain, &incoming.request.target).await {
        Ok(tunnel) => Arc::new(tunnel),
        Err(status) => return incoming.refuse(status),
    };
    // Nobody waits for the client there: the server may be the first to speak (CAP-06).
    let Some(patience) = patience_with(&tunnel) else { return stream::accept(&tunnel, incoming).await };
    // Fails only when the client has given up.
    if let Ok(stream) = incoming.accept(&[]) {
        detect_and_serve(tunnel, stream, patience).await;
    }
}

/// Takes a connection that has come without a tunnel, from somebody who is to be believed.
pub(crate) async fn handle_open(
    worker: Arc<Worker>,
    downstream: Downstream,
    drain: DrainWatcher,
    target: SocketAddr,
    stream: TcpStream,
) {
    // Nobody is there who could be told the status: dropped, the connection is closed.
    let Ok(tunnel) = Tunnel::plan(worker, downstream, drain, &Target::Address(target)).await else { return };
    let tunnel = Arc::new(tunnel);
    match patience_with(&tunnel) {
        None => stream::carry(&tunnel, stream).await,
        Some(patience) => detect_and_serve(tunnel, stream, patience).await,
    }
}

/// How long to wait until it is clear what the client speaks; none where that does not matter.
fn patience_with(tunnel: &Tunnel) -> Option<Duration> {
    match tunnel.plan.app_protocol() {
        AppProtocol::Tcp | AppProtocol::Tls => None,
        AppProtocol::Unknown => Some(tunnel.worker.settings.detection_patience),
        AppProtocol::Http11 | AppProtocol::Http2 | AppProtocol::Grpc => Some(HTTP_PATIENCE),
    }
}

async fn detect_and_serve<S>(tunnel: Arc<Tunnel>, stream: S, patience: Duration)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let drain = tunnel.drain.clone();
    let detected = tokio::select! {
        detected = detect(stream, patience) => detected,
        // It has asked for nothing yet, so nothing is lost.
        _ = drain.signaled() => return,
    };
    match detected {
        Ok((Protocol::Tcp, stream)) if tunnel.plan.app_protocol() == AppProtocol::Unknown => {
            stream::carry(&tunnel, stream).await;
        }
        Ok((protocol, stream)) => http::serve(stream, protocol, tunnel).await,
        Err(error) => tracing::debug!(%error, "a tunnel ended before it was clear what is spoken in it"),
    }
}

impl Tunnel {
    /// What a request for a tunnel is for, or the status to refuse it with.
    async fn plan(
        worker: Arc<Worker>,
        downstream: Downstream,
        drain: DrainWatcher,
        target: &Target,
    ) -> Result<Tunnel, StatusCode> {
        let refuse = |status, reason: &dyn std::fmt::Display| {
            let address = match target {
                Target::Address(address) => *address,
                Target::Hostname(_, port) => SocketAddr::new(worker.me.ip, *port),
            };
            early_denial(downstream.address, address, Direction::Inbound, reason);
            Err(status)
        };
        let Some(me) = worker.fetch_me().await else {
            return refuse(
                StatusCode::SERVICE_UNAVAILABLE,
                &"this waypoint is not known to the controller yet",
            );
        };
        let plan = match fetch_plan(&worker, &me, target).await {
            Ok(plan) => plan,
            Err(refusal) => return refuse(refusal.status(), &refusal),
        };
        let snapshot = worker.reader.snapshot();
        let Target::Address(target) = *target else {
            return Err(StatusCode::BAD_REQUEST);
        };
        let place = NetworkAddress::new(me.network.clone(), downstream.address.ip().to_canonical());
        // An address that somebody else has taken over must not lend its new owner's name.
        let workload = snapshot.find_workload(&place).filter(|found| found.identity() == downstream.identity);
        let source = Party { workload, identity: Some(downstream.identity.clone()) };
        let request_source = RequestSource::new(&source, Security::MutualTls);
        let straight = Arc::new(Rule::straight_to(straight_destination(&plan, target)));
        Ok(Tunnel {
            worker,
            drain,
            downstream: downstream.address,
            identity: downstream.identity,
            source,
            request_source: Arc::new(request_source),
            target,
            plan,
            straight,
            open: downstream.open,
        })
    }

    /// Where it leads when no rule says otherwise.
    pub(crate) fn destination(&self) -> Destination {
        straight_destination(&self.plan, self.target)
    }
}

/// The plan for a target. What we do not serve may be news that has reached the client's
/// node before it reaches us (WP-02).
async fn fetch_plan(worker: &Worker, me: &Workload, target: &Target) -> Result<Plan, Refusal> {
    let settled = |snapshot: &Snapshot| match Plan::make(snapshot, me, target) {
        Err(refusal) if refusal.may_pass() => None,
        settled => Some(settled),
    };
    match worker.reader.fetch(NEWS_PATIENCE, settled).await {
        Some(settled) => settled,
        None => Plan::make(&worker.reader.snapshot(), me, target),
    }
}

fn straight_destination(plan: &Plan, target: SocketAddr) -> Destination {
    match plan {
        Plan::Service(service, port) => {
            Destination::Service { service: service.key.clone(), port: port.service_port, subset: None }
        }
        Plan::Workload(workload, _) => Destination::Workload(workload.clone(), target),
    }
}
