//! A controller in memory: discovery and certificates over plain gRPC, for
//! tests that drive a proxy as its user does.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mesh_model::codec::{address, authorization, service_config, waypoint_config};
use mesh_model::{Identity, Policy, Service, ServiceConfig, WaypointConfig, Workload};
use mesh_proto::discovery::Node;
use mesh_proto::istio::ca::istio_certificate_service_server::{
    IstioCertificateService, IstioCertificateServiceServer,
};
use mesh_proto::istio::ca::{IstioCertificateRequest, IstioCertificateResponse};
use mesh_proto::type_urls;
use mesh_runtime::workers::Workers;
use mesh_xds::{
    Admission, Caller, Change, DiscoveryServer, Entry, Publisher, ServerSettings, Statistics, View,
};
use prost_types::value::Kind;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use crate::authority::FakeCa;

/// How long its streams may take to end when it is dropped.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// What it can publish.
pub trait Publish {
    /// The type the resource is published under.
    const TYPE_URL: &'static str;

    /// The resource under its name.
    fn entry(&self) -> Entry;
}

impl Publish for Workload {
    const TYPE_URL: &'static str = type_urls::ADDRESS;

    fn entry(&self) -> Entry {
        let aliases = self.own_addresses().map(|address| address.to_string().into());
        let services = self.services.keys().map(|key| key.to_string().into());
        Entry {
            aliases: aliases.collect(),
            belongs_to: services.collect(),
            ..Entry::new(Arc::clone(&self.uid.0), &address::encode_workload(self))
        }
    }
}

impl Publish for Service {
    const TYPE_URL: &'static str = type_urls::ADDRESS;

    fn entry(&self) -> Entry {
        let addresses = self.addresses.iter().map(|address| address.to_string().into());
        let blocks = self.cidrs.iter().map(|block| format!("{}/{}", block.network, block.cidr).into());
        Entry {
            aliases: addresses.chain(blocks).collect(),
            ..Entry::new(self.key.to_string(), &address::encode_service(self))
        }
    }
}

impl Publish for Policy {
    const TYPE_URL: &'static str = type_urls::AUTHORIZATION;

    fn entry(&self) -> Entry {
        Entry::new(self.key.to_string(), &authorization::encode(self))
    }
}

impl Publish for ServiceConfig {
    const TYPE_URL: &'static str = type_urls::SERVICE_CONFIG;

    fn entry(&self) -> Entry {
        Entry::new(self.key.to_string(), &service_config::encode(self))
    }
}

impl Publish for WaypointConfig {
    const TYPE_URL: &'static str = type_urls::WAYPOINT_CONFIG;

    fn entry(&self) -> Entry {
        Entry::new(self.key.to_string(), &waypoint_config::encode(self))
    }
}

/// The running controller; gone with its value.
pub struct TestController {
    address: SocketAddr,
    publisher: Publisher,
    ca: Arc<FakeCa>,
    peers: Peers,
    statistics: Arc<Statistics>,
    workers: Option<Workers>,
}

/// The node ids of the streams opened so far.
type Peers = Arc<Mutex<Vec<String>>>;

impl TestController {
    /// Listens on the address; port 0 takes any.
    pub fn start(address: SocketAddr) -> io::Result<Self> {
        Self::start_on(TcpListener::bind(address)?, FakeCa::new("cluster.local"))
    }

    /// Serves on a listener made elsewhere, such as in another network namespace,
    /// on a thread of its own.
    pub fn start_on(listener: TcpListener, ca: Arc<FakeCa>) -> io::Result<Self> {
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let (publisher, peers) = (Publisher::new(), Peers::default());
        let admission = Anyone { peers: Arc::clone(&peers) };
        let discovery = DiscoveryServer::new(&publisher, admission, ServerSettings::default());
        let statistics = discovery.statistics();
        let authority = IstioCertificateServiceServer::new(Signing { ca: Arc::clone(&ca) });
        let server =
            tonic::transport::Server::builder().add_service(discovery.into_service()).add_service(authority);
        let workers = Workers::start(1, "controller")?;
        let handle = &workers.handles()[0];
        let entered = handle.enter();
        let connections = TcpListenerStream::new(tokio::net::TcpListener::from_std(listener)?);
        drop(entered);
        handle.spawn(server.serve_with_incoming(connections));
        Ok(TestController { address, publisher, ca, peers, statistics, workers: Some(workers) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address as proxies are told it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The authority behind its certificate service.
    pub fn ca(&self) -> &Arc<FakeCa> {
        &self.ca
    }

    /// Publishes a resource, or its new value.
    pub fn publish<R: Publish>(&self, resource: &R) {
        self.publisher.publish(R::TYPE_URL, vec![Change::Upsert(resource.entry())]);
    }

    /// Takes a resource back.
    pub fn remove<R: Publish>(&self, resource: &R) {
        self.publisher.publish(R::TYPE_URL, vec![Change::Remove(resource.entry().name)]);
    }

    /// What it publishes, for what [`Publish`] does not make: garbage, for instance.
    pub fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    /// Responses of which a proxy rejected something, so far.
    pub fn rejections(&self) -> u64 {
        self.statistics.rejections.load(Ordering::Relaxed)
    }

    /// The node ids of the discovery streams opened so far, in order.
    pub fn peers(&self) -> Vec<String> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for TestController {
    fn drop(&mut self) {
        if let Some(workers) = self.workers.take() {
            workers.shutdown(SHUTDOWN);
        }
    }
}

/// Admits everyone to everything.
struct Anyone {
    peers: Peers,
}

#[tonic::async_trait]
impl Admission for Anyone {
    async fn admit(&self, _: &MetadataMap) -> Result<Box<dyn Caller>, Status> {
        Ok(Box::new(Anyone { peers: Arc::clone(&self.peers) }))
    }
}

impl Caller for Anyone {
    fn view(&self, node: &Node) -> Result<Arc<dyn View>, Status> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).push(node.id.clone());
        Ok(Arc::new(Everything))
    }
}

struct Everything;

impl View for Everything {
    fn sees(&self, _: &str, _: &Entry) -> bool {
        true
    }
}

struct Signing {
    ca: Arc<FakeCa>,
}

#[tonic::async_trait]
impl IstioCertificateService for Signing {
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        let proven = proven(request.metadata());
        let request = request.into_inner();
        let identity = impersonated(&request).or(proven).ok_or_else(|| {
            Status::invalid_argument("neither an ImpersonatedIdentity nor a token namespace.account")
        })?;
        let cert_chain = self.ca.answer(&identity, &request.csr).await?;
        Ok(Response::new(IstioCertificateResponse { cert_chain }))
    }
}

/// Tokens of tests say whom they prove: `namespace.account`.
fn proven(metadata: &MetadataMap) -> Option<Identity> {
    let token = metadata.get("authorization")?.to_str().ok()?.strip_prefix("Bearer ")?;
    let (namespace, account) = token.split_once('.')?;
    Some(Identity::new("cluster.local", namespace, account))
}

fn impersonated(request: &IstioCertificateRequest) -> Option<Identity> {
    match &request.metadata.as_ref()?.fields.get("ImpersonatedIdentity")?.kind {
        Some(Kind::StringValue(text)) => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
