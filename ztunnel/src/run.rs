//! The whole process on one page: what there is, who is told what, and in which
//! order it ends.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use mesh_identity::{RevocationFile, Revocations};
use mesh_net::socket::{Keepalive, SocketOptions, Transparency};
use mesh_runtime::logging::{self, Format, LevelHandle};
use mesh_runtime::readiness::Readiness;
use mesh_runtime::workers::Workers;
use mesh_runtime::{drain, footprint, shutdown};
use mesh_telemetry::{
    DnsMetrics, OnDemandMetrics, PodMetrics, Registry, RevocationMetrics, TcpMetrics, XdsMetrics,
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::admin::Admin;
use crate::config::{Config, DataPath};
use crate::control::Receivers;
use crate::identities::Identities;
use crate::pods::{Keeper, Roster};
use crate::proxy::{Launcher, Mesh, Settings};
use crate::revocable::Revoking;
use crate::{control, dns, zds};

/// Never shared with the data path: a burst of configuration must not hold up connections.
const CONTROL_THREADS: usize = 2;
/// What is left to do once the connections have ended.
const LAST_STEPS: Duration = Duration::from_secs(1);

/// Runs ztunnel until SIGTERM, SIGINT or `POST /quitquitquit`.
pub fn run(config: Config) -> anyhow::Result<()> {
    let levels = logging::init(Format::from_env(), "info").context("cannot set up logging")?;
    raise_descriptor_limit();
    let workers = Workers::start(config.worker_threads, "ztunnel-data").context("cannot start workers")?;
    let control = Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("ztunnel-control")
        .enable_all()
        .build()
        .context("cannot start the control runtime")?;
    let served = control.block_on(serve(config, levels, workers.handles().to_vec()));
    control.shutdown_timeout(LAST_STEPS);
    if !workers.shutdown(LAST_STEPS) {
        warn!("connections were still busy when the process ended");
    }
    logging::flush(LAST_STEPS);
    served
}

async fn serve(config: Config, levels: LevelHandle, workers: Vec<Handle>) -> anyhow::Result<()> {
    info!(version = env!("CARGO_PKG_VERSION"), workers = workers.len(), "ztunnel starts");
    let readiness = Readiness::new();
    let registry = Registry::new("ztunnel", env!("CARGO_PKG_VERSION"));
    let (drain, draining) = drain::channel();
    let (shutdown, mut requests) = shutdown::channel();
    let (writer, reader) = match config.place.preferred_service_namespace.as_deref() {
        Some(namespace) => mesh_state::with_preferred_namespace(namespace),
        None => mesh_state::new(),
    };

    let store = control::certificate_store(&config)?;
    // Controller and servers go on until the very end: policies may still change
    // while connections drain, and one may want to watch.
    let (_until_the_end, ending) = drain::channel();
    let state_manager = readiness.register("state manager");
    let metrics = XdsMetrics::new(&registry);
    let receivers = Receivers { writer: &writer, reader: &reader, store: store.clone(), metrics };
    let (following, discovery) =
        control::follow_controller(&config, receivers, state_manager, ending.clone())?;
    tokio::spawn(following);
    if let Some(discovery) = discovery.clone() {
        tokio::spawn(discovery.forget_unused(writer, config.own.node.clone()));
    }

    let pod_metrics = PodMetrics::new(&registry);
    let mesh = Arc::new(Mesh {
        reader: reader.clone(),
        discovery,
        store: store.clone(),
        metrics: TcpMetrics::new(&registry),
        names: names(&config, &registry),
        revoking: revoking(&config, &registry),
        settings: settings(&config),
    });
    let (roster, shown_roster) = watch::channel(Roster::default());
    let launcher = Launcher::new(mesh, workers, pod_metrics.clone());
    let keeper = Keeper::new(launcher, Identities::new(store.clone()), roster, pod_metrics);

    let ready = readiness.clone();
    let (deadline, socket) = (config.drain_deadline, config.zds_socket.clone());
    Admin { config, reader, store, roster: shown_roster, registry, readiness, levels, shutdown }
        .start(&ending)
        .context("cannot open ztunnel's own ports")?;
    tokio::spawn(zds::follow(socket, keeper, ready, draining, deadline));
    tokio::spawn(footprint::keep_small());

    let reason = shutdown::signaled(&mut requests).await.context("cannot wait for signals")?;
    info!(?reason, ?deadline, "draining");
    let drained = drain.start(drain::Mode::Graceful, deadline + LAST_STEPS).await;
    info!(?drained, "ztunnel ends");
    Ok(())
}

/// Reads the revocation lists before the first connection, and keeps up with them.
fn revoking(config: &Config, registry: &Registry) -> Option<Revoking> {
    let mut file = RevocationFile::new(config.revocation_lists.as_ref()?);
    let lists = Revocations::new();
    file.refresh(&lists);
    tokio::spawn(file.follow(lists.clone()));
    Some(Revoking { lists, metrics: RevocationMetrics::new(registry) })
}

fn names(config: &Config, registry: &Registry) -> dns::Setup {
    dns::Setup {
        listen: config.dns.listen.clone(),
        servers: dns::name_servers(&config.dns.resolv_conf).into(),
        ipv6: config.data_path.ipv6,
        cluster_domain: config.dns.cluster_domain.as_str().into(),
        metrics: DnsMetrics::new(registry),
        on_demand: OnDemandMetrics::new(registry),
    }
}

fn settings(config: &Config) -> Settings {
    let Config { place, data_path, .. } = config;
    Settings {
        trust_domain: place.trust_domain.as_str().into(),
        network: place.network.as_str().into(),
        cluster_id: place.cluster_id.as_str().into(),
        sockets: socket_options(data_path),
        ipv6: data_path.ipv6,
        tunnel: mesh_hbone::Settings {
            stream_window: data_path.tunnel.stream_window,
            connection_window: data_path.tunnel.connection_window,
            frame_size: data_path.tunnel.frame_size,
            pooled_streams: data_path.tunnel.streams_per_connection.into(),
            unused_release: data_path.tunnel.idle_release,
            ..mesh_hbone::Settings::default()
        },
        original_source: data_path.original_source != Some(false),
        localhost_application_tunnel: data_path.localhost_application_tunnel,
        response_baggage: data_path.response_baggage,
        log_dry_run: data_path.log_dry_run,
    }
}

fn socket_options(data_path: &DataPath) -> SocketOptions {
    SocketOptions {
        mark: Some(data_path.packet_mark),
        reuse_port: data_path.reuse_port,
        transparent: match data_path.original_source {
            None => Transparency::Try,
            Some(true) => Transparency::Must,
            Some(false) => Transparency::Never,
        },
        keepalive: data_path.keepalive.map(|times| Keepalive {
            time: times.idle,
            interval: times.interval,
            retries: times.retries,
        }),
        user_timeout: data_path.user_timeout,
    }
}

/// Every connection takes two descriptors or more; the usual soft limit of 1024 is soon used up.
fn raise_descriptor_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        warn!(%error, "cannot raise the limit of open files");
    }
}
