//! One stream of one proxy: requests in, responses out.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mesh_proto::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource};
use tokio::sync::watch;
use tokio::time::Sleep;
use tonic::{Status, Streaming};
use tracing::{debug, info, warn};

use super::catalog::Catalog;
use super::interest::{Delta, Interest};
use super::{Caller, ServerSettings, View};

/// Types one stream may ask for.
const MAX_TYPES: usize = 16;

/// A node's id ends up in the log.
const MAX_NODE_ID: usize = 1024;

/// What all streams of a server have done.
#[derive(Debug, Default)]
pub struct Statistics {
    /// Streams open now.
    pub streams: AtomicU64,
    /// Responses sent.
    pub responses: AtomicU64,
    /// Responses of which a peer rejected something.
    pub rejections: AtomicU64,
}

/// A stream.
pub(super) struct Session {
    requests: Streaming<DeltaDiscoveryRequest>,
    catalog: watch::Receiver<Catalog>,
    settings: ServerSettings,
    statistics: Arc<Statistics>,
    peer: Peer,
    types: BTreeMap<String, Topic>,
    queue: VecDeque<DeltaDiscoveryResponse>,
    nonces: u64,
    end: Pin<Box<Sleep>>,
}

/// Who is at the other end.
enum Peer {
    /// Known by its credentials only.
    Caller(Box<dyn Caller>),
    Node {
        id: String,
        view: Arc<dyn View>,
    },
}

/// One type on the stream.
struct Topic {
    interest: Interest,
    /// The nonce of the last response and whether its ack is missing. Changes
    /// wait for the ack, so that a slow peer gets them as one.
    nonce: String,
    outstanding: bool,
}

impl Session {
    pub(super) fn new(
        requests: Streaming<DeltaDiscoveryRequest>,
        caller: Box<dyn Caller>,
        catalog: watch::Receiver<Catalog>,
        settings: ServerSettings,
        statistics: Arc<Statistics>,
    ) -> Self {
        statistics.streams.fetch_add(1, Ordering::Relaxed);
        let end = Box::pin(tokio::time::sleep(shorten(settings.max_stream_age)));
        Session {
            requests,
            catalog,
            settings,
            statistics,
            peer: Peer::Caller(caller),
            types: BTreeMap::new(),
            queue: VecDeque::new(),
            nonces: 0,
            end,
        }
    }

    /// The next response; `None` when the stream ends well.
    pub(super) async fn next(&mut self) -> Result<Option<DeltaDiscoveryResponse>, Status> {
        loop {
            let (held_back, closed) = {
                let catalog = self.catalog.borrow_and_update();
                (catalog.held_back, catalog.closed)
            };
            if closed {
                return Ok(None);
            }
            if !held_back {
                self.push_changes();
            }
            if let Some(response) = self.queue.pop_front() {
                self.statistics.responses.fetch_add(1, Ordering::Relaxed);
                return Ok(Some(response));
            }
            tokio::select! {
                request = self.requests.message(), if !held_back => match request? {
                    Some(request) => self.take_request(&request)?,
                    None => return Ok(None),
                },
                changed = self.catalog.changed() => {
                    if changed.is_err() {
                        return Ok(None);
                    }
                }
                () = &mut self.end => {
                    debug!("ending the stream of {} for its age", self.peer.name());
                    return Ok(None);
                }
            }
        }
    }

    /// Queues what changed in the types that wait for no ack.
    fn push_changes(&mut self) {
        let revision = self.catalog.borrow().revision;
        let behind = self.types.iter().filter(|(_, topic)| !topic.outstanding);
        let behind: Vec<String> = behind
            .filter(|(_, topic)| topic.interest.revision() < revision)
            .map(|(type_url, _)| type_url.clone())
            .collect();
        for type_url in behind {
            let delta = self.advance(&type_url);
            if !delta.is_empty() {
                self.respond(&type_url, delta);
            }
        }
    }

    fn advance(&mut self, type_url: &str) -> Delta {
        let Some(topic) = self.types.get_mut(type_url) else { return Delta::default() };
        let (current, changed) = {
            let catalog = self.catalog.borrow();
            (catalog.snapshot(type_url), catalog.changed_since(type_url, topic.interest.revision()))
        };
        topic.interest.advance(current, changed)
    }

    fn take_request(&mut self, request: &DeltaDiscoveryRequest) -> Result<(), Status> {
        let view = self.identify(request)?;
        let type_url = &request.type_url;
        if !self.types.contains_key(type_url) {
            return self.open(request, view);
        }
        self.take_answer(request);
        if request.resource_names_subscribe.is_empty() && request.resource_names_unsubscribe.is_empty() {
            return Ok(());
        }
        let mut delta = self.advance(type_url);
        if let Some(topic) = self.types.get_mut(type_url) {
            topic.interest.resubscribe(request, &mut delta);
        }
        self.check_names(type_url)?;
        if !delta.is_empty() {
            self.respond(type_url, delta);
        }
        Ok(())
    }

    /// The peer's view; the first request has to say who it is.
    fn identify(&mut self, request: &DeltaDiscoveryRequest) -> Result<Arc<dyn View>, Status> {
        let caller = match &self.peer {
            Peer::Node { view, .. } => return Ok(view.clone()),
            Peer::Caller(caller) => caller,
        };
        let node = request.node.as_ref();
        let node =
            node.ok_or_else(|| Status::invalid_argument("the first request does not name its node"))?;
        if node.id.len() > MAX_NODE_ID {
            return Err(Status::invalid_argument(format!(
                "the node's id is longer than {MAX_NODE_ID} bytes"
            )));
        }
        let view = caller.view(node)?;
        info!("{:?} opened a discovery stream", node.id);
        self.peer = Peer::Node { id: node.id.clone(), view: view.clone() };
        Ok(view)
    }

    /// Opens a type. Even an empty set is answered, or the peer never becomes ready.
    fn open(&mut self, request: &DeltaDiscoveryRequest, view: Arc<dyn View>) -> Result<(), Status> {
        let type_url = &request.type_url;
        if self.types.len() >= MAX_TYPES {
            return Err(Status::resource_exhausted(format!("more than {MAX_TYPES} types on one stream")));
        }
        let current = self.catalog.borrow().snapshot(type_url);
        let (interest, delta) = Interest::open(request, view, current);
        let topic = Topic { interest, nonce: String::new(), outstanding: false };
        self.types.insert(type_url.clone(), topic);
        self.check_names(type_url)?;
        self.respond(type_url, delta);
        Ok(())
    }

    fn check_names(&self, type_url: &str) -> Result<(), Status> {
        let limit = self.settings.max_names;
        match self.types.get(type_url) {
            Some(topic) if topic.interest.name_count() > limit => Err(Status::resource_exhausted(format!(
                "more than {limit} names of {type_url} on one stream"
            ))),
            _ => Ok(()),
        }
    }

    /// Takes an ack or nack; those of earlier responses say nothing new.
    fn take_answer(&mut self, request: &DeltaDiscoveryRequest) {
        let Some(topic) = self.types.get_mut(&request.type_url) else { return };
        if request.response_nonce.is_empty() {
            return;
        }
        if let Some(status) = &request.error_detail {
            self.statistics.rejections.fetch_add(1, Ordering::Relaxed);
            let message: String = status.message.chars().take(4096).collect();
            warn!("{} rejected resources of {}: {message}", self.peer.name(), request.type_url);
        }
        if topic.nonce == request.response_nonce {
            topic.outstanding = false;
        }
    }

    /// Queues a delta, split where it would be too large for one message.
    fn respond(&mut self, type_url: &str, delta: Delta) {
        let Some(topic) = self.types.get_mut(type_url) else { return };
        let with_aliases = !topic.interest.is_wildcard();
        let mut response = DeltaDiscoveryResponse { removed_resources: delta.removed, ..Default::default() };
        let mut responses = Vec::new();
        let mut size = 0;
        for entry in delta.send {
            let resource = Resource {
                name: entry.name.to_string(),
                version: entry.version.to_string(),
                aliases: entry
                    .aliases
                    .iter()
                    .filter(|_| with_aliases)
                    .map(|alias| alias.to_string())
                    .collect(),
                resource: Some(prost_types::Any {
                    type_url: type_url.to_owned(),
                    value: entry.bytes.clone(),
                }),
                ..Default::default()
            };
            let length = prost::Message::encoded_len(&resource);
            if size + length > self.settings.max_response && !response.resources.is_empty() {
                responses.push(std::mem::take(&mut response));
                size = 0;
            }
            size += length;
            response.resources.push(resource);
        }
        responses.push(response);
        for mut response in responses {
            self.nonces += 1;
            topic.nonce = format!("{:x}", self.nonces);
            response.nonce.clone_from(&topic.nonce);
            type_url.clone_into(&mut response.type_url);
            response.system_version_info = topic.interest.revision().to_string();
            self.queue.push_back(response);
        }
        topic.outstanding = true;
    }
}

impl Peer {
    fn name(&self) -> &str {
        match self {
            Peer::Caller(_) => "a proxy that has not named itself",
            Peer::Node { id, .. } => id,
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.statistics.streams.fetch_sub(1, Ordering::Relaxed);
        debug!("the stream of {} has ended", self.peer.name());
    }
}

/// Takes off up to a tenth, so that streams opened together do not end together.
fn shorten(age: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    age.mul_f64(1.0 - (random % 1000) as f64 / 10_000.0)
}
