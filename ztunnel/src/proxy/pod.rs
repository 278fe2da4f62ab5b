//! What a connection needs to know of its pod and of the mesh.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mesh_hbone::{Pool, Settings as TunnelSettings};
use mesh_identity::{Certificate, IdentityError, Store};
use mesh_model::{Identity, Uid, Workload};
use mesh_net::namespace::Namespace;
use mesh_net::socket::{SocketOptions, tcp_socket_for};
use mesh_state::{Reader, ResourceName};
use mesh_telemetry::{Reporter, TcpMetrics};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::debug;

use crate::connections::Connections;
use crate::discovery::Discovery;
use crate::dns;
use crate::revocable::{Armed, Revoking};
use crate::zds::PodInfo;

/// How long a connection waits for the controller to say who its pod is (CAP-26).
const WORKLOAD_WAIT: Duration = Duration::from_secs(5);
/// HB-32.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What the proxies of all pods share.
pub(crate) struct Mesh {
    pub(crate) reader: Reader,
    /// Asks the controller for what is needed; none: everything is sent unasked.
    pub(crate) discovery: Option<Discovery>,
    pub(crate) store: Store,
    pub(crate) metrics: Arc<TcpMetrics>,
    pub(crate) names: dns::Setup,
    /// None: nothing is ever revoked.
    pub(crate) revoking: Option<Revoking>,
    pub(crate) settings: Settings,
}

/// The configuration as connections need it.
pub(crate) struct Settings {
    pub(crate) trust_domain: Arc<str>,
    pub(crate) network: Arc<str>,
    pub(crate) cluster_id: Arc<str>,
    pub(crate) sockets: SocketOptions,
    pub(crate) ipv6: bool,
    pub(crate) tunnel: TunnelSettings,
    /// Applications see the client's address.
    pub(crate) original_source: bool,
    pub(crate) localhost_application_tunnel: bool,
    pub(crate) response_baggage: bool,
    /// What dry-run policies would have done is logged at level info.
    pub(crate) log_dry_run: bool,
}

/// One enrolled pod.
pub(crate) struct Pod {
    pub(crate) identity: Identity,
    pub(crate) connections: Arc<Connections>,
    pub(crate) mesh: Arc<Mesh>,
    pub(crate) resolver: Arc<dns::Resolver>,
    uid: Uid,
    namespace: Namespace,
}

/// What one worker has of a pod; cheap to clone.
#[derive(Clone)]
pub(crate) struct Lane {
    pub(crate) pod: Arc<Pod>,
    /// The worker's own, and the pod's own: a successor in another namespace gets none of its tunnels.
    pub(crate) pool: Pool,
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub(crate) enum ConnectFailure {
    #[error("cannot connect to {to}: {source}")]
    Refused { to: SocketAddr, source: io::Error },
    #[error("cannot connect to {to}: no answer within {} s", after.as_secs())]
    TimedOut { to: SocketAddr, after: Duration },
}

impl Lane {
    pub(crate) fn new(pod: &Arc<Pod>) -> Self {
        Lane { pod: Arc::clone(pod), pool: Pool::new(pod.mesh.settings.tunnel.clone()) }
    }
}

impl Pod {
    pub(crate) fn new(info: &PodInfo, identity: Identity, namespace: Namespace, mesh: Arc<Mesh>) -> Self {
        let uid = Uid(format!("{}//Pod/{}/{}", mesh.settings.cluster_id, info.namespace, info.name).into());
        let upstream = dns::Upstream {
            servers: Arc::clone(&mesh.names.servers),
            namespace: namespace.clone(),
            sockets: mesh.settings.sockets.clone(),
            patience: dns::Patience::default(),
        };
        let resolver = dns::Resolver::new(&mesh.names, uid.clone(), mesh.reader.clone(), upstream);
        Pod { identity, connections: Arc::default(), mesh, resolver, uid, namespace }
    }

    /// The pod's workload; waits a while if the controller has not named it yet.
    pub(crate) async fn fetch_workload(&self) -> Option<Arc<Workload>> {
        let known = self.mesh.reader.snapshot().find_workload_by_uid(&self.uid);
        if known.is_some() {
            return known;
        }
        let asked =
            self.mesh.discovery.as_ref().map(|asks| asks.ask(ResourceName::Workload(self.uid.clone())));
        if let Some(Err(error)) = asked {
            debug!(%error, "not asking for the pod's workload");
        }
        Box::pin(self.mesh.reader.fetch_workload_by_uid(&self.uid, WORKLOAD_WAIT)).await
    }

    /// Prepares a handshake as this pod, in which `reporter` is our end.
    pub(crate) async fn arm(&self, stream: TcpStream, reporter: Reporter) -> Result<Armed, IdentityError> {
        let certificate = self.fetch_certificate().await?;
        Armed::new(self.mesh.revoking.as_ref(), certificate, stream, reporter)
    }

    pub(crate) async fn fetch_certificate(&self) -> Result<Arc<Certificate>, IdentityError> {
        self.mesh.store.fetch(&self.identity).await
    }

    /// Connects from inside the pod, with a source address if one has to be kept.
    pub(crate) async fn connect(
        &self,
        to: SocketAddr,
        source: Option<IpAddr>,
    ) -> Result<TcpStream, ConnectFailure> {
        let refused = |source| ConnectFailure::Refused { to, source };
        let options = &self.mesh.settings.sockets;
        let socket = self.namespace.run(|| tcp_socket_for(to, source, options)).map_err(refused)?;
        match timeout(CONNECT_TIMEOUT, socket.connect(to)).await {
            Ok(connected) => connected.map_err(refused),
            Err(_) => Err(ConnectFailure::TimedOut { to, after: CONNECT_TIMEOUT }),
        }
    }
}
