//! The control plane: I/O around translate. Watches a source of objects, publishes
//! by delta xDS, signs certificates, writes statuses.

pub mod admin;
pub mod admission;
pub mod background;
pub mod ca;
pub mod config;
pub mod directory;
mod files;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod key_sets;
pub mod kubernetes;
pub mod origin;
pub mod picture;
pub mod publish;
pub mod server;
pub mod source;
pub mod status;
mod trust;
pub mod webhook;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use mesh_runtime::admin::{Router, logging_handler, quit_handler};
use mesh_runtime::drain::{self, Mode};
use mesh_runtime::logging::{self, Format};
use mesh_runtime::readiness::{Readiness, ReadinessTask};
use mesh_runtime::shutdown;
use mesh_xds::{DiscoveryServer, Publisher, ServerSettings};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tracing::info;

pub use config::Config;

use admission::Gate;
use background::Background;
use config::ObjectSource;
use kubernetes::deployer::Deployer;
use kubernetes::{certificates, classes};
use origin::{InCluster, Objects, Origin};
use picture::Picture;
use publish::Publishing;
use server::{Services, ServingCertificate};
use source::{Event, Source};
use trust::Trust;

/// How long a controller in a cluster serves on once it is told to end: until no node sends anybody here.
const FAREWELL: Duration = Duration::from_secs(5);

/// Runs the controller until it is told to end.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let levels = logging::init(Format::from_env(), "info")?;
    let (trigger, mut requests) = shutdown::channel();
    let xds = bind(config.xds_address).await?;
    let admin = bind(config.admin_address).await?;
    // Whoever reaches a pod reaches its ports; commands are for those who may enter it.
    if !config.command_address.ip().is_loopback() {
        bail!("COMMAND_LISTEN_ADDRESS is {}; use a loopback address", config.command_address);
    }
    let command = bind(config.command_address).await?;
    let (drain, watcher) = drain::channel();
    let stop = {
        let watcher = watcher.clone();
        async move {
            watcher.signaled().await;
        }
    };
    // In a cluster an address is still called for a while after its pod has been told to end.
    let farewell = match &config.objects {
        ObjectSource::Kubernetes(_) => FAREWELL,
        ObjectSource::Directory(_) => Duration::ZERO,
    };
    let (controller, facts) = Controller::new(config).await?;
    let router = admin::router(facts).index("adit controller");
    tokio::spawn(mesh_runtime::admin::serve(admin, router, watcher.clone()));
    let commands = Router::new()
        .route(http::Method::POST, "/logging", logging_handler(levels))
        .route(http::Method::POST, "/quitquitquit", quit_handler(trigger))
        .index("adit controller: commands");
    tokio::spawn(mesh_runtime::admin::serve(command, commands, watcher));
    let controller = tokio::spawn(controller.run(xds, stop));
    tokio::pin!(controller);
    tokio::select! {
        ended = &mut controller => return ended?,
        reason = shutdown::signaled(&mut requests) => info!("ending: {:?}", reason?),
    }
    tokio::time::sleep(farewell).await;
    drain.start(Mode::Graceful, shutdown::drain_deadline()?).await;
    controller.await?
}

async fn bind(address: std::net::SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// Everything the controller consists of, put together but not running.
pub struct Controller {
    objects: Objects,
    sender: mpsc::Sender<Event>,
    events: mpsc::Receiver<Event>,
    publishing: Publishing,
    background: Background,
    services: Services,
    certificate: ServingCertificate,
    publisher: Publisher,
    readiness: ReadinessTask,
}

impl Controller {
    /// Puts it together; fails where a setting makes it useless.
    pub async fn new(config: Config) -> anyhow::Result<(Self, admin::Facts)> {
        let readiness = Readiness::new();
        let mut background = Background::default();
        let Origin { objects, problems, statuses, cluster } = origin(&config, &mut background).await?;
        let Trust { authority, authenticator, tokens } =
            Trust::open(&config, cluster.as_ref(), &mut background).await?;
        let certificate = ServingCertificate::new(authority.clone(), config.names(), config.addresses())?;
        if let ObjectSource::Kubernetes(source) = &config.objects {
            let listener = bind(source.webhook_address).await?;
            let serving = webhook::serve(listener, certificate.tls_for(b"http/1.1")?);
            background.add("the validating webhook", serving);
        }
        let picture = Arc::new(Picture::new(config.mesh));
        let (sender, events) = mpsc::channel(source::QUEUE);
        if let Some(cluster) = &cluster {
            let keeping = certificates::keep(cluster.client.clone(), picture.clone(), sender.clone());
            background.add("the reading of certificates", keeping);
        }
        deploy_waypoints(&config.objects, cluster.as_ref(), &picture, &sender, &mut background)?;
        let fetching = key_sets::keep(picture.clone(), sender.clone(), key_sets::over_the_network()?);
        background.add("the fetching of keys for tokens", fetching);
        let publisher = Publisher::held_back();
        let publishing = Publishing::new(picture.clone(), publisher.clone(), statuses);
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
            cluster,
            tokens,
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
        let controller = Controller {
            objects,
            sender,
            events,
            publishing,
            background,
            services,
            certificate,
            publisher,
            readiness,
        };
        Ok((controller, facts))
    }

    /// Runs it on this listener until `stop`.
    pub async fn run(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> anyhow::Result<()> {
        let tls = self.certificate.tls()?;
        let readiness = self.readiness;
        let publisher = self.publisher;
        let stop = async move {
            stop.await;
            publisher.close();
        };
        info!("serving proxies on {}", listener.local_addr()?);
        let mut background = self.background.run();
        let ended = tokio::select! {
            ended = server::serve(listener, tls, self.services, stop) => ended,
            ended = self.objects.run(self.sender) => {
                ended.and_then(|()| bail!("the source of objects has ended"))
            }
            () = self.publishing.run(self.events, || readiness.done()) => {
                Err(anyhow!("the source of objects has ended"))
            }
            purpose = background.ended() => Err(anyhow!("{purpose} has ended")),
            () = self.certificate.renew() => Err(anyhow!("the controller's certificate is no longer renewed")),
        };
        background.end().await;
        ended
    }
}

/// Has waypoints deployed, and their classes kept, where there is a cluster to deploy them in.
fn deploy_waypoints(
    objects: &ObjectSource,
    cluster: Option<&InCluster>,
    picture: &Arc<Picture>,
    events: &mpsc::Sender<Event>,
    background: &mut Background,
) -> anyhow::Result<()> {
    let (ObjectSource::Kubernetes(source), Some(cluster)) = (objects, cluster) else { return Ok(()) };
    let keeping = classes::keep(cluster.client.clone(), picture.clone(), cluster.leads.clone());
    background.add("the keeping of GatewayClasses", keeping);
    let Some(template) = source.waypoint_template.clone() else { return Ok(()) };
    let (client, leads) = (cluster.client.clone(), cluster.leads.clone());
    picture.expect_deployment();
    let deployer =
        Deployer::new(client, picture.clone(), leads, events.clone(), template, &source.namespace)?;
    background.add("the deployment of waypoints", deployer.run());
    Ok(())
}

async fn origin(config: &Config, background: &mut Background) -> anyhow::Result<Origin> {
    match &config.objects {
        ObjectSource::Directory(source) => Origin::directory(source, background),
        ObjectSource::Kubernetes(source) => {
            let client = kube::Client::try_default().await;
            let client = client.context("cannot find the API server; see KUBECONFIG")?;
            Ok(Origin::kubernetes(client, source, &config.mesh, background))
        }
    }
}

#[cfg(test)]
mod tests;
