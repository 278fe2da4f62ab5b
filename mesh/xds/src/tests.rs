//! What the tests share: a server on loopback, a raw stream to it, a server
//! that follows a script, handlers that record.

mod client;
mod pair;
mod server;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, stream};
use mesh_proto::discovery::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use mesh_proto::discovery::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use mesh_proto::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::metadata::MetadataMap;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status, Streaming};

use crate::{
    Admission, Audience, Caller, ClientSettings, ConnectError, DiscoveryServer, Entry, Handler, Publisher,
    RawResource, Rejected, ServerSettings, View,
};

const FRUIT: &str = "type.test/fruit";
const STONE: &str = "type.test/stone";
const PATIENCE: Duration = Duration::from_secs(10);

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it should have happened by now")
}

fn node() -> Node {
    Node { id: "ztunnel~10.0.0.1~z.istio-system~istio-system.svc.cluster.local".into(), ..Default::default() }
}

/// An entry whose bytes are `text`.
fn entry(name: &str, text: &str) -> Entry {
    let mut entry = Entry::new(name, &());
    entry.bytes = text.as_bytes().to_vec();
    entry.version = crate::version_of(&entry.bytes).into();
    entry
}

/// Admits who carries `password: sesame`; its view is that of the node's cluster.
struct Gate;

struct Admitted;

struct ClusterView(String);

#[tonic::async_trait]
impl Admission for Gate {
    async fn admit(&self, metadata: &MetadataMap) -> Result<Box<dyn Caller>, Status> {
        match metadata.get("password") {
            Some(word) if word == "sesame" => Ok(Box::new(Admitted)),
            _ => Err(Status::unauthenticated("say the word")),
        }
    }
}

impl Caller for Admitted {
    fn view(&self, node: &Node) -> Result<Arc<dyn View>, Status> {
        match node.id.parse::<crate::NodeId>() {
            Ok(_) => Ok(Arc::new(ClusterView(node.cluster.clone()))),
            Err(error) => Err(Status::invalid_argument(error.to_string())),
        }
    }
}

impl View for ClusterView {
    fn sees(&self, _: &str, entry: &Entry) -> bool {
        match &entry.audience {
            Audience::Everyone => true,
            audience => audience.includes(&self.0),
        }
    }

    fn implied(&self, _: &str) -> Vec<String> {
        vec!["node/one".to_owned()]
    }
}

/// Ends its server when dropped.
struct Running {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(address: &str) -> TcpListener {
    TcpListener::bind(address).await.unwrap()
}

fn serve_on(listener: TcpListener, publisher: &Publisher, settings: ServerSettings) -> Running {
    let address = listener.local_addr().unwrap();
    let service = DiscoveryServer::new(publisher, Gate, settings).into_service();
    let server = Server::builder().serve_with_incoming(service, TcpIncoming::from(listener));
    Running { address, task: tokio::spawn(async { server.await.unwrap() }) }
}

async fn serve(publisher: &Publisher, settings: ServerSettings) -> Running {
    serve_on(listen("127.0.0.1:0").await, publisher, settings)
}

type Password = fn(Request<()>) -> Result<Request<()>, Status>;

fn say_password(mut request: Request<()>) -> Result<Request<()>, Status> {
    request.metadata_mut().insert("password", "sesame".parse().unwrap());
    Ok(request)
}

async fn channel(address: SocketAddr) -> Result<Channel, ConnectError> {
    let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await;
    channel.map_err(|error| ConnectError(error.into()))
}

async fn connect(address: SocketAddr) -> Result<InterceptedService<Channel, Password>, ConnectError> {
    Ok(InterceptedService::new(channel(address).await?, say_password))
}

/// A stream driven by hand.
struct RawStream {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

impl RawStream {
    async fn open(address: SocketAddr) -> Result<Self, Status> {
        let (requests, mut outgoing) = mpsc::channel(16);
        let outgoing = stream::poll_fn(move |context| outgoing.poll_recv(context));
        let mut client = AggregatedDiscoveryServiceClient::new(connect(address).await.unwrap());
        let responses = soon(client.delta_aggregated_resources(outgoing)).await?.into_inner();
        Ok(RawStream { requests, responses })
    }

    async fn send(&self, request: DeltaDiscoveryRequest) {
        self.requests.send(request).await.unwrap();
    }

    /// The next response, not acknowledged.
    async fn next(&mut self) -> DeltaDiscoveryResponse {
        soon(self.responses.message()).await.unwrap().expect("the stream has ended")
    }

    async fn ack(&self, response: &DeltaDiscoveryResponse) {
        self.send(DeltaDiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            ..Default::default()
        })
        .await;
    }
}

fn first(type_url: &str) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest { node: Some(node()), type_url: type_url.to_owned(), ..Default::default() }
}

fn names(response: &DeltaDiscoveryResponse) -> Vec<&str> {
    let mut names: Vec<&str> = response.resources.iter().map(|resource| resource.name.as_str()).collect();
    names.sort_unstable();
    names
}

/// A server whose streams are handed to the test.
struct Script(mpsc::UnboundedSender<Scripted>);

struct Scripted {
    requests: Streaming<DeltaDiscoveryRequest>,
    responses: mpsc::Sender<Result<DeltaDiscoveryResponse, Status>>,
}

impl Scripted {
    async fn request(&mut self) -> DeltaDiscoveryRequest {
        soon(self.requests.message()).await.unwrap().expect("the client has gone")
    }

    async fn respond(&self, response: DeltaDiscoveryResponse) {
        self.responses.send(Ok(response)).await.unwrap();
    }
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Script {
    type DeltaAggregatedResourcesStream =
        Pin<Box<dyn Stream<Item = Result<DeltaDiscoveryResponse, Status>> + Send>>;

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let (responses, mut outgoing) = mpsc::channel(16);
        let scripted = Scripted { requests: request.into_inner(), responses };
        self.0.send(scripted).map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(Box::pin(stream::poll_fn(move |context| outgoing.poll_recv(context)))))
    }
}

async fn scripted() -> (Running, mpsc::UnboundedReceiver<Scripted>) {
    let listener = listen("127.0.0.1:0").await;
    let address = listener.local_addr().unwrap();
    let (streams, receiver) = mpsc::unbounded_channel();
    let service = AggregatedDiscoveryServiceServer::new(Script(streams));
    let server = Server::builder().serve_with_incoming(service, TcpIncoming::from(listener));
    (Running { address, task: tokio::spawn(async { server.await.unwrap() }) }, receiver)
}

/// What a handler was given: texts by name and removed names.
#[derive(Debug, PartialEq)]
struct Taken {
    upserts: Vec<(String, String)>,
    removed: Vec<String>,
}

fn taken(upserts: &[(&str, &str)], removed: &[&str]) -> Taken {
    Taken {
        upserts: upserts.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect(),
        removed: removed.iter().map(|&name| name.to_owned()).collect(),
    }
}

/// Hands on what it gets, and rejects what says `bad`.
struct Recorder {
    type_url: &'static str,
    taken: mpsc::UnboundedSender<Taken>,
}

fn recorder(type_url: &'static str) -> (Box<dyn Handler>, mpsc::UnboundedReceiver<Taken>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Box::new(Recorder { type_url, taken: sender }), receiver)
}

impl Handler for Recorder {
    fn type_url(&self) -> &'static str {
        self.type_url
    }

    fn apply(&mut self, upserts: Vec<RawResource>, mut removed: Vec<String>) -> Vec<Rejected> {
        let mut rejected = Vec::new();
        let mut texts = Vec::new();
        for RawResource { name, bytes, .. } in upserts {
            match String::from_utf8(bytes).unwrap() {
                text if text == "bad" => rejected.push(Rejected { name, reason: "it is bad".into() }),
                text => texts.push((name, text)),
            }
        }
        texts.sort();
        removed.sort();
        let _ = self.taken.send(Taken { upserts: texts, removed });
        rejected
    }
}

/// Settings that keep tests short.
fn quick() -> ClientSettings {
    ClientSettings { longest_pause: Duration::from_millis(50), ..ClientSettings::default() }
}
