//! The whole process: what it listens on, what it follows, when it ends.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use http::{Method, StatusCode};
use mesh_proto::envoy::service::ratelimit::v3::rate_limit_service_server::RateLimitServiceServer;
use mesh_runtime::admin::{self, answer, readiness_router};
use mesh_runtime::drain;
use mesh_runtime::logging::{self, Format};
use mesh_runtime::readiness::Readiness;
use mesh_runtime::shutdown;
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::counts::Counts;
use crate::files::LimitFiles;
use crate::service::LimitService;

/// Between two looks at the files.
const PAUSE: Duration = Duration::from_secs(2);
/// How long questions that were asked may take to be answered.
const DRAIN: Duration = Duration::from_secs(5);
/// Questions at the same time on one connection.
const STREAMS: u32 = 256;
const LAST_STEPS: Duration = Duration::from_secs(1);

/// What a rate limiter is told from outside.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it is asked, by gRPC.
    pub address: SocketAddr,
    /// Where it says whether it is ready, and what it has decided.
    pub readiness_address: SocketAddr,
    /// `redis://…`
    pub redis: String,
    /// A file of limits, or a directory of such files.
    pub limits: Option<PathBuf>,
}

/// Runs a rate limiter until SIGTERM or SIGINT.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    // The levels are never changed while it runs.
    let _levels = logging::init(Format::from_env(), "info").context("cannot set up logging")?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), address = %settings.address, "rate limiter starts");
    let limits = LimitFiles::open(settings.limits).context("cannot read the limits")?;
    let counts = Counts::open(&settings.redis).context("the address of Redis cannot be used")?;
    let listener = listen(settings.address).await?;
    let probes = listen(settings.readiness_address).await?;

    let service = LimitService::new(limits.clone(), counts);
    let metrics = service.metrics();
    let router = readiness_router(Readiness::new()).route(Method::GET, "/metrics", move |_| {
        let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        answer(StatusCode::OK, openmetrics, metrics.encode())
    });
    let (_probes_end, watcher) = drain::channel();
    tokio::spawn(admin::serve(probes, router, watcher));
    tokio::spawn(limits.follow(PAUSE));
    let (_quit, mut requests) = shutdown::channel();
    let (ended, end) = tokio::sync::oneshot::channel::<()>();
    let serving = Server::builder()
        .max_concurrent_streams(STREAMS)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .add_service(RateLimitServiceServer::new(service))
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), async {
            // Dropped or sent: it ends.
            let _ = end.await;
        });
    let serving = tokio::spawn(serving);
    let reason = shutdown::signaled(&mut requests).await.context("cannot wait for signals")?;
    tracing::info!(?reason, "rate limiter ends");
    drop(ended);
    if let Ok(served) = tokio::time::timeout(DRAIN, serving).await {
        served.context("the server broke off")??;
    }
    logging::flush(LAST_STEPS);
    Ok(())
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}
