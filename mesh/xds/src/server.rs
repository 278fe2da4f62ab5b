//! The server: answers discovery streams from what a [`Publisher`] holds.

mod catalog;
mod entry;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod interest;
mod publisher;
mod session;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, stream};
use mesh_proto::discovery::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use mesh_proto::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

pub use entry::{Audience, Entry, version_of};
pub use publisher::{Change, Publisher};
use session::Session;
pub use session::Statistics;

use catalog::Catalog;

/// What one proxy may see. Must give the same answer for the same entry
/// throughout a stream.
pub trait View: Send + Sync + 'static {
    /// Whether this proxy is sent that entry.
    fn sees(&self, type_url: &str, entry: &Entry) -> bool;

    /// Names of that type a proxy that subscribes by name is subscribed to
    /// from the start, for instance what belongs to its node.
    fn implied(&self, _type_url: &str) -> Vec<String> {
        Vec::new()
    }
}

/// A peer whose credentials have been verified.
pub trait Caller: Send + 'static {
    /// The view of the node this peer says it is, or why it may not be that node.
    fn view(&self, node: &Node) -> Result<Arc<dyn View>, Status>;
}

/// Decides who may open a stream. Runs before the first message is read.
#[tonic::async_trait]
pub trait Admission: Send + Sync + 'static {
    /// Verifies the credentials in a call's metadata.
    async fn admit(&self, metadata: &MetadataMap) -> Result<Box<dyn Caller>, Status>;
}

/// How the server behaves.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// A stream is ended after this long (up to a tenth earlier), so that proxies spread over replicas.
    pub max_stream_age: Duration,
    /// Larger sets of resources are split over several responses.
    pub max_response: usize,
    /// Larger requests end the stream.
    pub max_request: usize,
    /// Names one stream may subscribe to.
    pub max_names: usize,
}

impl Default for ServerSettings {
    fn default() -> Self {
        ServerSettings {
            max_stream_age: Duration::from_secs(30 * 60),
            max_response: 64 << 20,
            max_request: 64 << 20,
            max_names: 250_000,
        }
    }
}

/// The aggregated discovery service.
pub struct DiscoveryServer<A> {
    catalog: tokio::sync::watch::Receiver<Catalog>,
    admission: A,
    settings: ServerSettings,
    statistics: Arc<Statistics>,
}

impl<A: Admission> DiscoveryServer<A> {
    /// A server of what `publisher` holds. Its streams end when the last
    /// publisher is dropped.
    pub fn new(publisher: &Publisher, admission: A, settings: ServerSettings) -> Self {
        DiscoveryServer { catalog: publisher.subscribe(), admission, settings, statistics: Arc::default() }
    }

    /// What its streams have done so far.
    pub fn statistics(&self) -> Arc<Statistics> {
        self.statistics.clone()
    }

    /// The service to add to a tonic server.
    pub fn into_service(self) -> AggregatedDiscoveryServiceServer<Self> {
        let max_request = self.settings.max_request;
        AggregatedDiscoveryServiceServer::new(self).max_decoding_message_size(max_request)
    }
}

type Responses = Pin<Box<dyn Stream<Item = Result<DeltaDiscoveryResponse, Status>> + Send>>;

#[tonic::async_trait]
impl<A: Admission> AggregatedDiscoveryService for DiscoveryServer<A> {
    type DeltaAggregatedResourcesStream = Responses;

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Responses>, Status> {
        let caller = self.admission.admit(request.metadata()).await?;
        let session = Session::new(
            request.into_inner(),
            caller,
            self.catalog.clone(),
            self.settings.clone(),
            self.statistics.clone(),
        );
        // Polled only while the peer takes what it is sent: a peer that does
        // not read costs one response, and changes meanwhile fall into one.
        let responses = stream::unfold(Some(session), |session| async {
            let mut session = session?;
            match session.next().await {
                Ok(None) => None,
                Ok(Some(response)) => Some((Ok(response), Some(session))),
                Err(status) => Some((Err(status), None)),
            }
        });
        Ok(Response::new(Box::pin(responses)))
    }
}
