//! The whole process on one page: what there is, who is told what, and in which
//! order it ends.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use mesh_model::WaypointKey;
use mesh_net::socket::{SocketOptions, listen_tcp};
use mesh_runtime::drain::{self, DrainWatcher, Mode};
use mesh_runtime::logging::{self, Format, LevelHandle};
use mesh_runtime::readiness::Readiness;
use mesh_runtime::workers::Workers;
use mesh_runtime::{footprint, heap, shutdown};
use mesh_telemetry::{
    HealthMetrics, HedgeMetrics, HttpMetrics, OnDemandMetrics, OutlierMetrics, OverflowMetrics,
    RateLimitMetrics, Registry, SpanMetrics, TcpMetrics,
};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle};

use crate::admin::Admin;
use crate::balance::Groups;
use crate::config::Config;
use crate::control::{certificate_store, follow_controller, hold_until_certified, node_id};
use crate::handed;
use crate::health::{Charts, Rounds};
use crate::names::Names;
use crate::rate_limits::Counters;
use crate::routes::RouteCache;
use crate::upstream::Ledger;
use crate::worker::{self, Common, Me, Settings, Worker};

/// Never shared with the data path: a burst of configuration must not hold up requests.
const CONTROL_THREADS: usize = 1;
/// What is left to do once the connections have ended.
const LAST_STEPS: Duration = Duration::from_secs(1);
/// Requests for tunnels at the same time on one connection to a waypoint.
const ACCEPTED_STREAMS: u32 = 100;

/// Runs a waypoint until SIGTERM, SIGINT or `POST /quitquitquit`.
pub fn run(config: Config) -> anyhow::Result<()> {
    let levels = logging::init(Format::from_env(), "info").context("cannot set up logging")?;
    let workers = Workers::start(config.worker_threads, "waypoint-data").context("cannot start workers")?;
    let control = Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("waypoint-control")
        .enable_all()
        .build()
        .context("cannot start the control runtime")?;
    let served = control.block_on(serve(config, levels, workers.handles()));
    control.shutdown_timeout(LAST_STEPS);
    if !workers.shutdown(LAST_STEPS) {
        tracing::warn!("requests were still busy when the process ended");
    }
    logging::flush(LAST_STEPS);
    served
}

async fn serve(config: Config, levels: LevelHandle, workers: &[Handle]) -> anyhow::Result<()> {
    tracing::info!(version = env!("CARGO_PKG_VERSION"), gateway = config.own.gateway, "waypoint starts");
    let readiness = Readiness::new();
    let registry = Registry::new("waypoint", env!("CARGO_PKG_VERSION"));
    let (drain, draining) = drain::channel();
    let (quit, mut requests) = shutdown::channel();
    let (writer, reader) = mesh_state::new();

    let certificates = certificate_store(&config)?;
    tokio::spawn(hold_until_certified(
        certificates.clone(),
        config.identity(),
        readiness.register("certificate"),
    ));
    let state_manager = readiness.register("state manager");
    let counters = Arc::new(Counters::new(RateLimitMetrics::new(&registry)));
    let ledger = Arc::new(Ledger::new(OverflowMetrics::new(&registry)));
    let routes = RouteCache::following(&writer, counters.clone(), ledger.clone());
    let following =
        follow_controller(&config, &writer, certificates.clone(), state_manager, draining.clone())?;
    tokio::spawn(following);
    let common = Common {
        me: me(&config),
        settings: settings(&config),
        reader: reader.clone(),
        certificates: certificates.clone(),
        http_metrics: HttpMetrics::new(&registry),
        tcp_metrics: TcpMetrics::new(&registry),
        on_demand: OnDemandMetrics::new(&registry),
        names: Names::system(),
        ledger,
        groups: Groups::new(OutlierMetrics::new(&registry)),
        span_metrics: SpanMetrics::new(&registry),
        routes,
        hedge_metrics: HedgeMetrics::new(&registry),
        counters,
    };
    let charts = Charts::new(common.groups.clone(), HealthMetrics::new(&registry));
    tokio::spawn(Rounds::new(&common, charts.clone()).run());
    start_workers(workers, &common, &config, &draining).context("cannot take connections")?;
    drop(draining);

    // The servers answer until the very end, so that one can watch the drain.
    let (_servers_end, servers) = drain::channel();
    let deadline = config.drain_deadline;
    let groups = common.groups;
    let changes = [reader.configs_changed(), reader.addresses_changed()];
    let admin = Admin { config, reader, certificates, groups, charts, registry, readiness, levels, quit };
    admin.start(&servers).context("cannot open the waypoint's own ports")?;
    tokio::spawn(footprint::keep_small());
    tokio::spawn(heap::keep_small_after(changes));

    let reason = shutdown::signaled(&mut requests).await.context("cannot wait for signals")?;
    tracing::info!(?reason, ?deadline, "draining");
    let drained = drain.start(Mode::Graceful, deadline).await;
    tracing::info!(?drained, "waypoint ends");
    Ok(())
}

/// Who the waypoint is.
fn me(config: &Config) -> Me {
    Me {
        uid: config.uid(),
        identity: config.identity(),
        ip: config.own.ip,
        gateway: WaypointKey::new(config.own.namespace.as_str(), config.own.gateway.as_str()),
        node_id: node_id(&config.own),
        cluster_id: config.place.cluster_id.clone(),
        sandwiched: config.proxy_protocol.is_some(),
    }
}

fn settings(config: &Config) -> Settings {
    Settings {
        detection_patience: config.detection_patience,
        access_log: config.access_log,
        reachable: config.reachable.as_slice().into(),
        tls: config.tls,
        hbone: mesh_hbone::Settings { accepted_streams: ACCEPTED_STREAMS, ..mesh_hbone::Settings::default() },
    }
}

/// Opens the listeners of each worker on the same ports, or none (UP-09).
fn start_workers(
    workers: &[Handle],
    common: &Common,
    config: &Config,
    drain: &DrainWatcher,
) -> io::Result<()> {
    let shared = SocketOptions { reuse_port: true, ..SocketOptions::plain() };
    let open = || {
        let handed = config.proxy_protocol.map(|address| listen_tcp(address, &shared)).transpose()?;
        Ok((listen_anywhere(config.ports.hbone, &shared)?, handed))
    };
    let listeners = workers.iter().map(|_| open()).collect::<io::Result<Vec<_>>>()?;
    for (runtime, (hbone, handed)) in workers.iter().zip(listeners) {
        let (common, drain) = (common.clone(), drain.clone());
        runtime.spawn(async move {
            let opened = TcpListener::from_std(hbone)
                .and_then(|hbone| Ok((hbone, handed.map(TcpListener::from_std).transpose()?)));
            match opened {
                Ok((hbone, handed)) => {
                    let worker = Arc::new(Worker::new(common, &drain));
                    if let Some(handed) = handed {
                        tokio::spawn(handed::accept(worker.clone(), handed, drain.clone()));
                    }
                    worker::accept(worker, hbone, drain).await;
                }
                Err(error) => tracing::error!(%error, "a worker cannot use its listeners"),
            }
        });
    }
    Ok(())
}

/// Listens on every address; where there is no IPv6, on those of IPv4.
pub(crate) fn listen_anywhere(port: u16, options: &SocketOptions) -> io::Result<std::net::TcpListener> {
    let on = |ip: IpAddr| listen_tcp(SocketAddr::new(ip, port), options);
    match on(Ipv6Addr::UNSPECIFIED.into()) {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => on(Ipv4Addr::UNSPECIFIED.into()),
        listening => listening,
    }
    .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on port {port}: {error}")))
}
