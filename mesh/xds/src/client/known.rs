//! What the client knows of one type: the versions it accepted and, on demand,
//! the names it wants. Outlives streams, so that a new one resumes (UP-12).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use mesh_proto::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node, Resource, Status};

use tracing::warn;

use super::demand::Wish;
use crate::{Handler, RawResource, Rejected};

const WILDCARD: &str = "*";
/// More names are not asked for: whoever asks for so many is being made to.
const MAX_WANTED: usize = 100_000;
/// After so much text a nack only counts what else is wrong.
const MAX_DETAIL: usize = 32 << 10;
/// How much of one name or reason a nack carries.
const MAX_PART: usize = 1024;

pub(super) struct Known {
    handler: Box<dyn Handler>,
    /// Versions by name. There is one for every resource, so they take no more room than they need.
    accepted: HashMap<Box<str>, Box<str>>,
    /// The names wanted, on demand; otherwise everything is.
    wanted: Option<BTreeSet<Arc<str>>>,
    answered: bool,
}

impl Known {
    pub(super) fn new(handler: Box<dyn Handler>) -> Self {
        Known { handler, accepted: HashMap::new(), wanted: None, answered: false }
    }

    pub(super) fn type_url(&self) -> &'static str {
        self.handler.type_url()
    }

    pub(super) fn set_on_demand(&mut self) {
        self.wanted.get_or_insert_default();
    }

    /// Whether readiness waits for this type no longer.
    pub(super) fn is_ready(&self) -> bool {
        self.answered || self.wanted.is_some()
    }

    /// What opens the type on a new stream.
    pub(super) fn first_request(&self, node: &Node) -> DeltaDiscoveryRequest {
        let mut versions: BTreeMap<String, String> =
            self.accepted.iter().map(|(name, version)| (name.to_string(), version.to_string())).collect();
        let mut subscribe = Vec::new();
        let mut unsubscribe = Vec::new();
        if let Some(wanted) = &self.wanted {
            // Subscribing to everything and taking it back says: by name only.
            subscribe.push(WILDCARD.to_owned());
            unsubscribe.push(WILDCARD.to_owned());
            for name in wanted {
                subscribe.push(name.to_string());
                versions.entry(name.to_string()).or_default();
            }
        }
        DeltaDiscoveryRequest {
            node: Some(node.clone()),
            type_url: self.type_url().to_owned(),
            resource_names_subscribe: subscribe,
            resource_names_unsubscribe: unsubscribe,
            initial_resource_versions: versions,
            ..Default::default()
        }
    }

    /// Takes wishes of this type; a request if they change anything.
    pub(super) fn take_wishes(&mut self, wishes: &[Wish]) -> Option<DeltaDiscoveryRequest> {
        let type_url = self.type_url();
        let wanted = self.wanted.as_mut()?;
        let mut changed = BTreeMap::new();
        for wish in wishes.iter().filter(|wish| wish.type_url == type_url) {
            if wish.wanted {
                if wanted.len() >= MAX_WANTED && !wanted.contains(&wish.name) {
                    warn!("not asking for {}: {MAX_WANTED} names are asked for already", wish.name);
                    continue;
                }
                wanted.insert(wish.name.clone());
            } else {
                wanted.remove(&wish.name);
                self.accepted.remove(&*wish.name);
            }
            changed.insert(&*wish.name, wish.wanted);
        }
        if changed.is_empty() {
            return None;
        }
        let names = |subscribed: bool| {
            let chosen = changed.iter().filter(move |&(_, &wanted)| wanted == subscribed);
            chosen.map(|(&name, _)| name.to_owned()).collect()
        };
        Some(DeltaDiscoveryRequest {
            type_url: type_url.to_owned(),
            resource_names_subscribe: names(true),
            resource_names_unsubscribe: names(false),
            ..Default::default()
        })
    }

    /// Takes a response; what is wrong with it, if anything.
    pub(super) fn take_response(&mut self, response: DeltaDiscoveryResponse) -> Option<Status> {
        self.answered = true;
        let mut rejected = Vec::new();
        let mut upserts = Vec::with_capacity(response.resources.len());
        let mut versions = HashMap::with_capacity(response.resources.len());
        for resource in response.resources {
            match self.check(resource) {
                Ok(raw) => {
                    versions.insert(Box::from(&*raw.name), Box::from(&*raw.version));
                    upserts.push(raw);
                }
                Err(reject) => rejected.push(reject),
            }
        }
        for name in &response.removed_resources {
            self.accepted.remove(&**name);
        }
        rejected.extend(self.handler.apply(upserts, response.removed_resources));
        for reject in &rejected {
            // What was accepted before is still what we have.
            versions.remove(&*reject.name);
        }
        self.accepted.extend(versions);
        (!rejected.is_empty()).then(|| Status { message: describe(&rejected), ..Default::default() })
    }

    fn check(&self, resource: Resource) -> Result<RawResource, Rejected> {
        let Resource { name, version, resource, .. } = resource;
        let reason = match resource {
            _ if name.is_empty() => "a resource without a name".to_owned(),
            None => "a resource without a body".to_owned(),
            Some(body) if body.type_url != self.type_url() => {
                format!("the body is a {:?}, not a {}", body.type_url, self.type_url())
            }
            Some(body) => return Ok(RawResource { name, version, bytes: body.value }),
        };
        Err(Rejected { name, reason })
    }
}

/// `name: reason; name: reason`, of bounded length.
fn describe(rejected: &[Rejected]) -> String {
    let mut text = String::new();
    for (index, Rejected { name, reason }) in rejected.iter().enumerate() {
        let separator = if index == 0 { "" } else { "; " };
        if text.len() > MAX_DETAIL {
            text.push_str(&format!("{separator}and {} more", rejected.len() - index));
            break;
        }
        text.push_str(separator);
        text.extend(name.chars().take(MAX_PART));
        text.push_str(": ");
        text.extend(reason.chars().take(MAX_PART));
    }
    text
}
