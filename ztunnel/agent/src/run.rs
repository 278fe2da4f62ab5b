//! The node agent as a whole: every part started, until a signal or a part that cannot go on.

mod cluster;
mod taint;

use std::net::SocketAddr;

use anyhow::{Context, Result};
use http::{Method, StatusCode};
use mesh_runtime::admin::{self, Router, logging_handler, text};
use mesh_runtime::drain::{self, DrainWatcher};
use mesh_runtime::logging::LevelHandle;
use mesh_runtime::readiness::Readiness;
use mesh_runtime::shutdown;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use crate::agent::{Agent, Parts};
use crate::config::{Config, Origin};
use crate::metrics::Metrics;
use crate::pod::Pods;
use crate::results::{Files, Results};
use crate::source::Source;
use crate::source::directory::Directory;
use crate::zds::{self, Proxies};

/// Answers of ztunnel that wait for the agent to finish a step.
const WAITING_ANSWERS: usize = 64;

/// Runs a node agent until SIGTERM or SIGINT. Capture stays when it ends. By `levels` operators change what it logs.
pub async fn run(config: Config, levels: Option<LevelHandle>) -> Result<()> {
    let readiness = Readiness::new();
    let metrics = Metrics::new();
    let (_trigger, watcher) = drain::channel();
    answer(config.health, health(readiness.clone()), &watcher).await?;
    answer(config.metrics, metrics.router(), &watcher).await?;
    if let Some(levels) = levels {
        let commands = Router::new().route(Method::POST, "/logging", logging_handler(levels));
        let taken = answer(config.commands, commands.index("adit node agent: commands"), &watcher).await;
        // The port is one of the node's, where others may have been first; no pod should have to wait for that.
        if let Err(error) = taken {
            warn!("no commands are taken; NODE_AGENT_COMMANDS names another port: {error:#}");
        }
    }
    let node = Node { config, readiness, metrics };
    match node.config.origin.clone() {
        Origin::Directory { pods, results } => {
            let place = results.display().to_string();
            let files = Files::open(results).with_context(|| format!("results in {place}"))?;
            info!("node agent: pods in {}", pods.display());
            node.serve(Results::Files(files), false, Directory::new(pods)).await.map(drop)
        }
        Origin::Kubernetes(kubernetes) => cluster::run(node, kubernetes).await,
    }
}

/// What both kinds of node have.
struct Node {
    config: Config,
    readiness: Readiness,
    metrics: Metrics,
}

impl Node {
    /// Serves pods until a signal; the agent as it is then.
    async fn serve(&self, results: Results, probed: bool, source: impl Source) -> Result<Agent> {
        let starting = self.readiness.register("pods");
        let listener = zds::listen(&self.config.zds_socket).context("listening for ztunnel")?;
        let (answer, answers) = mpsc::channel(WAITING_ANSWERS);
        let proxies = Proxies::new(answer);
        let mut agent = Agent::new(Parts {
            rules: self.config.rules.clone(),
            proxies: proxies.clone(),
            results,
            metrics: self.metrics.clone(),
            probed,
            grace: self.config.grace,
        })?;
        let (publish, pods) = watch::channel::<Option<Pods>>(None);
        let (_requests, mut requested) = shutdown::channel();
        info!("node agent: ztunnel at {}", self.config.zds_socket.display());
        tokio::select! {
            ended = agent.run(pods, answers, starting) => ended?,
            ended = source.run(publish) => ended?,
            () = listener.serve(proxies) => {}
            reason = shutdown::signaled(&mut requested) => info!("node agent ends ({:?})", reason?),
        }
        Ok(agent)
    }
}

/// Answers operators on `address`, if there is one.
async fn answer(address: Option<SocketAddr>, router: Router, watcher: &DrainWatcher) -> Result<()> {
    if let Some(address) = address {
        let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
        tokio::spawn(admin::serve(listener, router, watcher.clone()));
    }
    Ok(())
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
