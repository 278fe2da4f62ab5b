//! The control plane: I/O around translate. Watches a source of objects, publishes
//! by delta xDS, signs certificates, writes statuses.

pub mod admin;
pub mod admission;
pub mod ca;
pub mod config;
pub mod directory;
mod files;
pub mod picture;
pub mod publish;
pub mod server;
pub mod source;
pub mod status;

use std::fs;
use std::future::Future;
use std::sync::Arc;

use anyhow::{Context, bail};
use mesh_runtime::admin::{logging_handler, quit_handler};
use mesh_runtime::drain::{self, Mode};
use mesh_runtime::logging::{self, Format};
use mesh_runtime::readiness::{Readiness, ReadinessTask};
use mesh_runtime::shutdown;
use mesh_xds::{DiscoveryServer, Publisher, ServerSettings};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tracing::info;

pub use config::Config;

use admission::{Gate, JwtAuthenticator, TokenAuthenticator};
use directory::Directory;
use picture::Picture;
use publish::Publishing;
use server::{Services, ServingCertificate};
use source::Source;
use status::{StatusDirectory, Statuses};

/// Runs the controller until it is told to end.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let levels = logging::init(Format::from_env(), "info")?;
    let (trigger, mut requests) = shutdown::channel();
    let xds = bind(config.xds_address).await?;
    let admin = bind(config.admin_address).await?;
    let (drain, watcher) = drain::channel();
    let stop = {
        let watcher = watcher.clone();
        async move {
            watcher.signaled().await;
        }
    };
    let (controller, facts) = Controller::new(config)?;
    let router = admin::router(facts)
        .route(http::Method::POST, "/logging", logging_handler(levels))
        .route(http::Method::POST, "/quitquitquit", quit_handler(trigger))
        .index("adit controller");
    tokio::spawn(mesh_runtime::admin::serve(admin, router, watcher));
    let controller = tokio::spawn(controller.run(xds, stop));
    tokio::pin!(controller);
    tokio::select! {
        ended = &mut controller => return ended?,
        reason = shutdown::signaled(&mut requests) => info!("ending: {:?}", reason?),
    }
    drain.start(Mode::Graceful, shutdown::drain_deadline()?).await;
    controller.await?
}

async fn bind(address: std::net::SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// Everything the controller consists of, put together but not running.
pub struct Controller {
    source: Directory,
    publishing: Publishing,
    statuses: Option<(Statuses, StatusDirectory)>,
    services: Services,
    certificate: ServingCertificate,
    publisher: Publisher,
    readiness: ReadinessTask,
}

impl Controller {
    /// Puts it together; fails where a setting makes it useless.
    pub fn new(config: Config) -> anyhow::Result<(Self, admin::Facts)> {
        let readiness = Readiness::new();
        let authority = Arc::new(ca::open(&config.ca, &config.mesh.trust_domain)?);
        let certificate = ServingCertificate::new(authority.clone(), config.names(), config.addresses())?;
        let authenticator = authenticator(&config)?;
        let statuses = match &config.status {
            None => None,
            Some(path) => {
                let directory = StatusDirectory::open(path);
                let directory = directory.with_context(|| format!("cannot use {}", path.display()))?;
                Some((Statuses::default(), directory))
            }
        };
        let (source, problems) = directory(&config)?;
        let picture = Arc::new(Picture::new(config.mesh));
        let publisher = Publisher::held_back();
        let sink = statuses.as_ref().map(|(statuses, _)| statuses.clone());
        let publishing = Publishing::new(picture.clone(), publisher.clone(), sink);
        let node_accounts = Arc::new(config.node_accounts.into_iter().collect());
        let gate = Gate::new(authenticator.clone(), picture.clone(), Arc::clone(&node_accounts));
        let discovery = DiscoveryServer::new(&publisher, gate, ServerSettings::default());
        let certificates = Arc::new(ca::Statistics::default());
        let facts = admin::Facts {
            readiness: readiness.clone(),
            publisher: publisher.clone(),
            streams: discovery.statistics(),
            certificates: certificates.clone(),
            problems,
        };
        let signer = ca::CertificateService {
            authority,
            authenticator,
            picture,
            node_accounts,
            statistics: certificates,
        };
        let services = Services { discovery: discovery.into_service(), certificates: signer.into_service() };
        let readiness = readiness.register("objects");
        Ok((Controller { source, publishing, statuses, services, certificate, publisher, readiness }, facts))
    }

    /// Runs it on this listener until `stop`.
    pub async fn run(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> anyhow::Result<()> {
        let (sender, events) = mpsc::channel(source::QUEUE);
        let tls = self.certificate.tls()?;
        let readiness = self.readiness;
        let write_statuses = async {
            match self.statuses {
                Some((statuses, directory)) => statuses.run(directory).await,
                None => std::future::pending().await,
            }
        };
        let publisher = self.publisher;
        let stop = async move {
            stop.await;
            publisher.close();
        };
        info!("serving proxies on {}", listener.local_addr()?);
        tokio::select! {
            ended = server::serve(listener, tls, self.services, stop) => ended,
            ended = self.source.run(sender) => {
                ended?;
                bail!("the source of objects has ended")
            }
            () = self.publishing.run(events, || readiness.done()) => bail!("the source of objects has ended"),
            () = write_statuses => bail!("statuses are no longer written"),
            () = self.certificate.renew() => bail!("the controller's certificate is no longer renewed"),
        }
    }
}

fn authenticator(config: &Config) -> anyhow::Result<Arc<dyn TokenAuthenticator>> {
    let path = config.token_key.display();
    let key = fs::read(&config.token_key).with_context(|| format!("cannot read the token key {path}"))?;
    let authenticator = JwtAuthenticator::new(&key, &config.tokens);
    Ok(Arc::new(authenticator.with_context(|| format!("cannot use the token key {path}"))?))
}

fn directory(config: &Config) -> anyhow::Result<(Directory, directory::Problems)> {
    if config.manifests.is_empty() {
        bail!("no directory of manifests; name one (MANIFESTS)");
    }
    for path in &config.manifests {
        if !path.is_dir() {
            bail!("{} is not a directory of manifests; make it or name another", path.display());
        }
    }
    for path in &config.runtime {
        fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
    }
    Ok(Directory::new(config.manifests.clone(), config.runtime.clone()))
}

#[cfg(test)]
mod tests;
