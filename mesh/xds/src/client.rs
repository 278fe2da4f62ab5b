//! The client: one stream to the controller, opened again whenever it ends.

mod backoff;
mod demand;
mod known;
mod stream;

use std::future::Future;
use std::time::{Duration, Instant};

use mesh_proto::discovery::Node;
use thiserror::Error;
use tokio::sync::mpsc;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::{Body as HttpBody, Bytes};
use tracing::{debug, info, warn};

use crate::Handler;
use backoff::Backoff;
use demand::Wish;
pub use demand::{Demand, DemandError};
use known::Known;

/// What calls are made on: a tonic `Channel`, or one wrapped in interceptors.
pub trait Transport:
    GrpcService<
        Body,
        Error: Into<BoxError>,
        ResponseBody: HttpBody<Data = Bytes, Error: Into<BoxError> + Send> + Send + 'static,
        Future: Send,
    > + Send
    + 'static
{
}

impl<T> Transport for T where
    T: GrpcService<
            Body,
            Error: Into<BoxError>,
            ResponseBody: HttpBody<Data = Bytes, Error: Into<BoxError> + Send> + Send + 'static,
            Future: Send,
        > + Send
        + 'static
{
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// No way to the controller.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct ConnectError(#[from] pub BoxError);

/// Opens ways to the controller. Asked before every stream, so that a changed
/// root or token is used at once. Any `Fn() -> Future<Output = Result<Transport, ConnectError>>` is one.
pub trait Connect: Send + Sync + 'static {
    /// What it gives.
    type Transport: Transport;

    /// Something to make the call on; it may connect by itself later.
    fn connect(&self) -> impl Future<Output = Result<Self::Transport, ConnectError>> + Send;
}

impl<F, R, T> Connect for F
where
    F: Fn() -> R + Send + Sync + 'static,
    R: Future<Output = Result<T, ConnectError>> + Send,
    T: Transport,
{
    type Transport = T;

    fn connect(&self) -> impl Future<Output = Result<T, ConnectError>> + Send {
        self()
    }
}

/// How the client behaves.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Larger responses end the stream.
    pub max_message: usize,
    /// The first pause before a new stream; it doubles.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
}

impl Default for ClientSettings {
    fn default() -> Self {
        ClientSettings {
            max_message: 200 << 20,
            first_pause: Duration::from_millis(10),
            longest_pause: Duration::from_secs(15),
        }
    }
}

/// A delta ADS client.
pub struct Client<C> {
    connect: C,
    node: Node,
    types: Vec<Known>,
    /// Kept beside the receiver, so that it waits rather than ends when nobody has a `Demand`.
    wish_sender: mpsc::Sender<Wish>,
    wishes: mpsc::Receiver<Wish>,
    settings: ClientSettings,
    /// Called with the first response of every stream.
    on_answer: Box<dyn Fn() + Send + Sync>,
    /// Called with the end of every stream.
    on_end: Box<dyn Fn(StreamEnd) + Send + Sync>,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// The controller was not reached.
    NotReached,
    /// The controller, or the way to it, failed.
    Failed,
    /// The controller wants it opened again.
    Complete,
}

/// Why a stream ended.
#[derive(Debug, Error)]
enum StreamError {
    #[error("cannot reach the controller: {0}")]
    Connect(#[from] ConnectError),
    #[error("the controller ended the stream: {}: {}", .0.code(), .0.message())]
    Status(#[from] tonic::Status),
    #[error("the controller does not read our requests")]
    Stalled,
}

impl<C: Connect> Client<C> {
    /// A client that subscribes to everything of each handler's type.
    pub fn new(connect: C, node: Node, handlers: Vec<Box<dyn Handler>>) -> Self {
        let types = handlers.into_iter().map(Known::new).collect();
        let (wish_sender, wishes) = demand::channel();
        Client {
            connect,
            node,
            types,
            wish_sender,
            wishes,
            settings: ClientSettings::default(),
            on_answer: Box::new(|| {}),
            on_end: Box::new(|_| {}),
        }
    }

    /// Calls this whenever the controller is there, or there again: with the first response of every stream.
    pub fn on_answer(mut self, call: impl Fn() + Send + Sync + 'static) -> Self {
        self.on_answer = Box::new(call);
        self
    }

    /// Calls this whenever a stream has ended, unless the client itself is stopped.
    pub fn on_end(mut self, call: impl Fn(StreamEnd) + Send + Sync + 'static) -> Self {
        self.on_end = Box::new(call);
        self
    }

    /// The same with other settings.
    pub fn with_settings(mut self, settings: ClientSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Subscribes to resources of that type by name only, when somebody asks
    /// for them (AD-14). `None` if no handler takes the type.
    pub fn on_demand(&mut self, type_url: &str) -> Option<Demand> {
        let known = self.types.iter_mut().find(|known| known.type_url() == type_url)?;
        known.set_on_demand();
        Some(Demand::new(known.type_url(), self.wish_sender.clone()))
    }

    /// Keeps a stream open until `stop`. What was received stays with the
    /// handlers whatever happens (UP-11). `ready` is called once the first
    /// response of every type that is not on demand has been taken (AD-13).
    pub async fn run(mut self, ready: impl FnOnce() + Send, stop: impl Future<Output = ()> + Send) {
        let mut ready = Some(ready);
        let mut backoff = Backoff::new(self.settings.first_pause, self.settings.longest_pause);
        tokio::pin!(stop);
        loop {
            let start = Instant::now();
            let mut answered = false;
            let result = tokio::select! {
                result = self.stream(&mut answered, &mut ready) => result,
                () = &mut stop => return,
            };
            (self.on_end)(match &result {
                Ok(()) => StreamEnd::Complete,
                Err(StreamError::Connect(_)) => StreamEnd::NotReached,
                // A channel connects by itself, so that a controller that is away ends the call.
                Err(StreamError::Status(_)) if !answered => StreamEnd::NotReached,
                Err(_) => StreamEnd::Failed,
            });
            let pause = match &result {
                Ok(()) => backoff.after_end(answered),
                Err(StreamError::Status(status)) => {
                    backoff.after_status(status.code(), answered, start.elapsed())
                }
                Err(_) => backoff.grow(),
            };
            match result {
                Ok(()) => debug!("the controller ended the discovery stream, opening it again"),
                Err(error) if answered => info!("{error}; opening the stream again in {pause:?}"),
                Err(error) => warn!("{error}; trying again in {pause:?}"),
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = &mut stop => return,
            }
        }
    }
}
