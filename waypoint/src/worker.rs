//! One worker thread: its listener, its connections, its pools. Nothing here is shared with
//! other workers but the mesh's state, the certificates, and how endpoints have done.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use mesh_hbone::{Pool, Settings as HboneSettings, TlsStream};
use mesh_identity::{Profile, Store};
use mesh_model::{Identity, Uid, WaypointKey, Workload};
use mesh_runtime::accepting::AcceptFailures;
use mesh_runtime::drain::DrainWatcher;
use mesh_state::Reader;
use mesh_telemetry::{HedgeMetrics, HttpMetrics, OnDemandMetrics, SpanMetrics, TcpMetrics};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::balance::{Groups, Lineups};
use crate::config::RequestLog;
use crate::names::Names;
use crate::rate_limits::Counters;
use crate::routes::RouteCache;
use crate::security::GuardCache;
use crate::spans::{Exporter, Reach, SpanQueue};
use crate::tunnel::{self, Downstream};
use crate::upstream::{HttpPool, Ledger, TermsCache, Upstream};

/// Connections of one worker; more wait to be accepted.
const MOST_CONNECTIONS: usize = 10_000;
/// Copies of requests on their way at the same time.
const MOST_MIRRORS: usize = 256;
/// How long the controller may take to tell us of ourselves.
const OWN_WORKLOAD_PATIENCE: Duration = Duration::from_secs(5);

/// Who this waypoint is.
#[derive(Clone, Debug)]
pub(crate) struct Me {
    pub(crate) uid: Uid,
    pub(crate) identity: Identity,
    pub(crate) ip: IpAddr,
    /// What it was made for.
    pub(crate) gateway: WaypointKey,
    /// What it is called among proxies.
    pub(crate) node_id: String,
    pub(crate) cluster_id: String,
    /// A ztunnel is in front, and takes what goes out.
    pub(crate) sandwiched: bool,
}

/// How this waypoint behaves.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// How long it may take to see what is spoken on a port that does not say.
    pub(crate) detection_patience: Duration,
    /// Which requests are logged, and how.
    pub(crate) access_log: RequestLog,
    pub(crate) hbone: HboneSettings,
    /// Blocks of addresses that names which clients choose may have although they are no one's outside.
    pub(crate) reachable: Arc<[IpNet]>,
    /// What it may do in TLS, inside the mesh and towards others.
    pub(crate) tls: Profile,
}

/// What all workers have in common.
#[derive(Clone)]
pub(crate) struct Common {
    pub(crate) me: Me,
    pub(crate) settings: Settings,
    pub(crate) reader: Reader,
    pub(crate) certificates: Store,
    pub(crate) http_metrics: Arc<HttpMetrics>,
    pub(crate) tcp_metrics: Arc<TcpMetrics>,
    pub(crate) on_demand: OnDemandMetrics,
    /// Limits are the process's, not a worker's.
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) names: Arc<Names>,
    pub(crate) groups: Arc<Groups>,
    pub(crate) span_metrics: Arc<SpanMetrics>,
    /// What is counted is the process's, too.
    pub(crate) counters: Arc<Counters>,
    pub(crate) hedge_metrics: HedgeMetrics,
    /// Made ready once for all.
    pub(crate) routes: Arc<RouteCache>,
}

/// What the connections of one worker share.
pub(crate) struct Worker {
    pub(crate) me: Me,
    pub(crate) settings: Settings,
    pub(crate) reader: Reader,
    pub(crate) routes: Arc<RouteCache>,
    pub(crate) guards: GuardCache,
    pub(crate) terms: TermsCache,
    pub(crate) lineups: Lineups,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) pool: HttpPool,
    pub(crate) mirrors: Arc<Semaphore>,
    pub(crate) http_metrics: Arc<HttpMetrics>,
    pub(crate) tcp_metrics: Arc<TcpMetrics>,
    pub(crate) on_demand: OnDemandMetrics,
    pub(crate) names: Arc<Names>,
    pub(crate) spans: SpanQueue,
    pub(crate) hedge_metrics: HedgeMetrics,
}

impl Worker {
    /// Call on the worker's runtime. The drain waits until its spans are sent.
    pub(crate) fn new(common: Common, drain: &DrainWatcher) -> Worker {
        let Common {
            me,
            settings,
            reader,
            certificates,
            http_metrics,
            tcp_metrics,
            on_demand,
            ledger,
            names,
            groups,
            span_metrics,
            counters,
            hedge_metrics,
            routes,
        } = common;
        let upstream = Arc::new(Upstream {
            me: me.clone(),
            reader: reader.clone(),
            certificates,
            tunnels: Pool::new(settings.hbone.clone()),
            settings: settings.hbone.clone(),
        });
        let pool = HttpPool::new(upstream.clone());
        let reach = Reach {
            me: me.clone(),
            reader: reader.clone(),
            pool: pool.clone(),
            lineups: Lineups::new(groups.clone()),
            terms: TermsCache::new(ledger.clone(), settings.tls),
        };
        Worker {
            spans: Exporter::start(reach, span_metrics, drain.clone()),
            pool,
            mirrors: Arc::new(Semaphore::new(MOST_MIRRORS)),
            routes,
            guards: GuardCache::new(counters),
            terms: TermsCache::new(ledger, settings.tls),
            lineups: Lineups::new(groups),
            me,
            settings,
            reader,
            upstream,
            http_metrics,
            tcp_metrics,
            on_demand,
            names,
            hedge_metrics,
        }
    }

    /// This waypoint's own workload, as soon as the controller tells us of it.
    pub(crate) async fn fetch_me(&self) -> Option<Arc<Workload>> {
        self.reader.fetch_workload_by_uid(&self.me.uid, OWN_WORKLOAD_PATIENCE).await
    }
}

/// Accepts connections until the drain starts.
pub(crate) async fn accept(worker: Arc<Worker>, listener: TcpListener, drain: DrainWatcher) {
    accept_each(listener, drain, |stream, drain| serve(worker.clone(), stream, drain)).await;
}

/// Accepts connections until the drain starts, each served by itself.
pub(crate) async fn accept_each<F>(
    listener: TcpListener,
    drain: DrainWatcher,
    serve: impl Fn(TcpStream, DrainWatcher) -> F,
) where
    F: Future<Output = Result<(), String>> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut failures = AcceptFailures::of("tunnels");
    loop {
        let accepted = async {
            // The semaphore is never closed, so there is always a slot some day.
            let slot = slots.clone().acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            _ = drain.signaled() => return,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                let serving = serve(stream, drain.clone());
                tokio::spawn(async move {
                    if let Err(error) = serving.await {
                        tracing::debug!(downstream = %address, error, "a connection ended early");
                    }
                    drop(slot);
                });
            }
            Err(error) => failures.pause(&error).await,
        }
    }
}

/// Serves one connection: its handshake, then tunnels until it ends.
async fn serve(worker: Arc<Worker>, stream: TcpStream, drain: DrainWatcher) -> Result<(), String> {
    let describe = |error: &dyn std::fmt::Display| error.to_string();
    let address = stream.peer_addr().map_err(|error| describe(&error))?;
    let settings = worker.settings.hbone.clone();
    let fetched = worker.upstream.certificates.fetch(&worker.me.identity).await;
    let certificate = fetched.map_err(|error| describe(&error))?;
    let tls = tokio::select! {
        tls = TlsStream::accept(stream, &certificate, settings.handshake_timeout) => tls,
        _ = drain.signaled() => return Ok(()),
    };
    let tls = tls.map_err(|error| describe(&error))?;
    let downstream = Downstream { address, identity: tls.peer_identity().clone(), open: false };
    let handler = {
        let drain = drain.clone();
        move |incoming| tunnel::handle(worker.clone(), downstream.clone(), drain.clone(), incoming)
    };
    mesh_hbone::serve(tls, &settings, drain, handler).await.map_err(|error| describe(&error))
}
