//! The node agent as a whole: every part started, until a signal or a part that cannot go on.

use anyhow::{Context, Result};
use http::{Method, StatusCode};
use mesh_runtime::admin::{self, Router, text};
use mesh_runtime::readiness::Readiness;
use mesh_runtime::{drain, shutdown};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tracing::info;

use crate::agent::Agent;
use crate::config::Config;
use crate::results::Results;
use crate::source::Source;
use crate::source::directory::Directory;
use crate::zds::{self, Proxies};

/// Answers of ztunnel that wait for the agent to finish a step.
const WAITING_ANSWERS: usize = 64;

/// Runs a node agent until SIGTERM or SIGINT. Capture stays when it ends.
pub async fn run(config: Config) -> Result<()> {
    let readiness = Readiness::new();
    let starting = readiness.register("pods");
    let (_trigger, watcher) = drain::channel();
    if let Some(address) = config.health {
        let listener = TcpListener::bind(address).await.with_context(|| format!("health on {address}"))?;
        tokio::spawn(admin::serve(listener, health(readiness), watcher));
    }
    let place = config.results.display().to_string();
    let results = Results::open(config.results).with_context(|| format!("results in {place}"))?;
    let listener = zds::listen(&config.zds_socket).context("listening for ztunnel")?;
    let (answer, answers) = mpsc::channel(WAITING_ANSWERS);
    let proxies = Proxies::new(answer);
    let agent = Agent::new(config.rules, proxies.clone(), results)?;
    let (publish, pods) = watch::channel(None);
    let (_requests, mut requested) = shutdown::channel();
    info!("node agent: pods in {}, ztunnel at {}", config.pods.display(), config.zds_socket.display());
    tokio::select! {
        ended = agent.run(pods, answers, starting) => ended,
        ended = Directory::new(config.pods).run(publish) => ended,
        () = listener.serve(proxies) => Ok(()),
        reason = shutdown::signaled(&mut requested) => {
            info!("node agent ends ({:?}): pods stay captured", reason?);
            Ok(())
        }
    }
}

/// Alive from the start; ready once every pod there was at the start has been seen to.
fn health(readiness: Readiness) -> Router {
    Router::new().route(Method::GET, "/healthz", |_| text(StatusCode::OK, "ok\n")).route(
        Method::GET,
        "/readyz",
        move |_| match readiness.pending() {
            pending if pending.is_empty() => text(StatusCode::OK, "ready\n"),
            pending => {
                text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready, pending: {}\n", pending.join(", ")))
            }
        },
    )
}
