//! ztunnel's own servers: admin on the loopback address, metrics and readiness
//! on every address (telemetry.md §7.1).

mod dump;
mod profile;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use http::{Method, StatusCode};
use mesh_identity::Store;
use mesh_net::socket::{SocketOptions, listen_tcp};
use mesh_runtime::admin::{
    Request, Response, Router, answer, json, logging_handler, quit_handler, readiness_router, serve, text,
};
use mesh_runtime::drain::DrainWatcher;
use mesh_runtime::logging::LevelHandle;
use mesh_runtime::readiness::Readiness;
use mesh_runtime::shutdown::ShutdownTrigger;
use mesh_state::Reader;
use mesh_telemetry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::Config;
use crate::pods::Roster;
use dump::{CertificateDump, Dump, InfoDump, PodDump, PodState, Version};

/// What the servers show and change.
pub(crate) struct Admin {
    pub(crate) config: Config,
    pub(crate) reader: Reader,
    pub(crate) store: Store,
    pub(crate) roster: watch::Receiver<Roster>,
    pub(crate) registry: Registry,
    pub(crate) readiness: Readiness,
    pub(crate) levels: LevelHandle,
    pub(crate) shutdown: ShutdownTrigger,
}

impl Admin {
    /// Opens all ports, or none (UP-09); they are served until the drain.
    pub(crate) fn start(self, drain: &DrainWatcher) -> io::Result<()> {
        let ports = self.config.ports;
        let local = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        let admin = listen(local, ports.admin)?;
        let everywhere = [IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::UNSPECIFIED)];
        let stats = listen(everywhere, ports.stats)?;
        let readiness = listen(everywhere, ports.readiness)?;

        let ready = readiness_router(self.readiness.clone());
        let (admin_router, stats_router) = self.routers();
        for (listeners, router) in [(admin, admin_router), (stats, stats_router), (readiness, ready)] {
            for listener in listeners {
                tokio::spawn(serve(listener, router.clone(), drain.clone()));
            }
        }
        Ok(())
    }

    fn routers(self) -> (Router, Router) {
        let Admin { config, reader, store, roster, registry, levels, shutdown, .. } = self;
        let registry = Arc::new(registry);
        let metrics = move |request: &Request| encode(&registry, request);
        let stats = Router::new()
            .route(Method::GET, "/metrics", metrics.clone())
            .route(Method::GET, "/stats/prometheus", metrics)
            .index("ztunnel metrics");
        let admin = Router::new()
            .route_any("/config_dump", move |_| config_dump(&config, &reader, &store, &roster))
            .route(Method::POST, "/logging", logging_handler(levels))
            .route(Method::POST, "/quitquitquit", quit_handler(shutdown))
            .route_later(Method::GET, "/debug/pprof/profile", profile::cpu)
            .route_any("/debug/pprof/heap", profile::heap)
            .route_any("/debug/pprof/heap/profiling", profile::heap)
            .index("ztunnel");
        (admin, stats)
    }
}

/// On every address the machine has a family for; an IPv6 wildcard takes IPv4 as well.
fn listen(ips: [IpAddr; 2], port: u16) -> io::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for ip in ips {
        let address = SocketAddr::new(ip, port);
        match listen_tcp(address, &SocketOptions::plain()) {
            Ok(listener) => listeners.push(TcpListener::from_std(listener)?),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(io::Error::new(error.kind(), format!("{address} is taken by another program")));
            }
            Err(error) if ip.is_ipv6() => tracing::debug!(%address, %error, "not listening on IPv6"),
            Err(error) => return Err(error),
        }
        if ip.is_unspecified() && !listeners.is_empty() {
            break;
        }
    }
    Ok(listeners)
}

/// Prometheus reads both formats; OpenMetrics is announced to whoever asks for it.
fn encode(registry: &Registry, request: &Request) -> Response {
    let accept = request.headers().get(http::header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let open = accept.is_some_and(|accept| accept.contains("application/openmetrics-text"));
    let content_type = if open {
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    } else {
        "text/plain; version=0.0.4; charset=utf-8"
    };
    answer(StatusCode::OK, content_type, registry.encode())
}

fn config_dump(
    config: &Config,
    reader: &Reader,
    store: &Store,
    roster: &watch::Receiver<Roster>,
) -> Response {
    let snapshot = reader.snapshot();
    let roster = roster.borrow().clone();
    let mut dump = Dump {
        workloads: snapshot.workloads().map(|workload| (&**workload).into()).collect(),
        services: snapshot
            .services()
            .map(|service| dump::ServiceDump::new(service, snapshot.endpoints(&service.key)))
            .collect(),
        policies: snapshot.policies().map(|policy| (&**policy).into()).collect(),
        certificates: store.snapshot().iter().map(|(id, state)| CertificateDump::new(id, state)).collect(),
        workload_state: pods(config, &roster),
        version: Version::of_this_program(),
        config,
    };
    dump.sort();
    match serde_json::to_vec_pretty(&dump) {
        Ok(body) => json(body),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("cannot write the dump: {error}\n")),
    }
}

fn pods<'a>(config: &'a Config, roster: &'a Roster) -> BTreeMap<&'a str, PodDump<'a>> {
    let pod = |pod: &'a crate::pods::PodView| PodDump {
        state: if pod.connections.is_some() { PodState::Up } else { PodState::Pending },
        info: InfoDump { info: &pod.info, trust_domain: &config.place.trust_domain },
        connections: pod.connections.as_ref().map(|connections| connections.dump()),
    };
    roster.iter().map(|view| (&*view.uid.0, pod(view))).collect()
}
