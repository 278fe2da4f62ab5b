//! The waypoint's own servers: admin on the loopback address, metrics and
//! readiness on every address (telemetry.md §7.3).

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http::{Method, StatusCode};
use mesh_identity::Store;
use mesh_net::socket::{SocketOptions, listen_tcp};
use mesh_runtime::admin::{
    Request, Router, answer, json, logging_handler, quit_handler, readiness_router, serve,
};
use mesh_runtime::drain::DrainWatcher;
use mesh_runtime::logging::LevelHandle;
use mesh_runtime::readiness::Readiness;
use mesh_runtime::shutdown::ShutdownTrigger;
use mesh_state::Reader;
use mesh_telemetry::Registry;
use tokio::net::TcpListener;

use crate::balance::Groups;
use crate::config::Config;
use crate::dump::dump;
use crate::health::Charts;
use crate::run::listen_anywhere;

/// What the servers show and change.
pub(crate) struct Admin {
    pub(crate) config: Config,
    pub(crate) reader: Reader,
    pub(crate) certificates: Store,
    pub(crate) groups: Arc<Groups>,
    pub(crate) charts: Arc<Charts>,
    pub(crate) registry: Registry,
    pub(crate) readiness: Readiness,
    pub(crate) levels: LevelHandle,
    pub(crate) quit: ShutdownTrigger,
}

impl Admin {
    /// Opens all ports, or none (UP-09).
    pub(crate) fn start(self, drain: &DrainWatcher) -> io::Result<()> {
        let Admin { config, reader, certificates, groups, charts, registry, readiness, levels, quit } = self;
        let ports = config.ports;
        let ready = readiness_router(readiness);
        let metrics = move |_: &Request| {
            let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            answer(StatusCode::OK, openmetrics, registry.encode())
        };
        let metrics = Arc::new(metrics);
        let again = metrics.clone();
        let stats = Router::new()
            .route(Method::GET, "/metrics", move |request| metrics(request))
            .route(Method::GET, "/stats/prometheus", move |request| again(request))
            .index("waypoint metrics");
        let admin = Router::new()
            .route_any("/config_dump", move |_| {
                json(dump(&config, &reader, &certificates, (&groups, &charts)))
            })
            .route(Method::POST, "/logging", logging_handler(levels))
            .route(Method::POST, "/quitquitquit", quit_handler(quit))
            .index("waypoint");
        let local = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), ports.admin);
        let plain = SocketOptions::plain();
        let listeners = [
            (listen_tcp(local, &plain)?, admin),
            (listen_anywhere(ports.stats, &plain)?, stats),
            (listen_anywhere(ports.readiness, &plain)?, ready),
        ];
        for (listener, router) in listeners {
            tokio::spawn(serve(TcpListener::from_std(listener)?, router, drain.clone()));
        }
        Ok(())
    }
}
