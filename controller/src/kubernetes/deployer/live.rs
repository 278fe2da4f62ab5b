//! Objects of waypoints as they are in the cluster, without what nobody asks about.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use controller_translate::expand::{GATEWAY_NAME_LABEL, MANAGED_LABEL, REVISION_ANNOTATION};
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, select_all};
use kube::api::DynamicObject;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch_objects};
use kube::{Api, Client};
use serde_json::Value;

use super::part::{Key, Part};
use crate::kubernetes::retry::Retry;

/// Kubernetes counts there how often a Deployment was rolled.
const ROLLS: &str = "deployment.kubernetes.io/revision";

/// An object, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Live {
    pub(super) uid: Option<String>,
    pub(super) version: Option<String>,
    /// The Gateway it belongs to, if it is generated for one.
    pub(super) gateway: Option<String>,
    /// The uids of its owners.
    pub(super) owners: Vec<String>,
    /// The control plane that made it.
    pub(super) revision: Option<String>,
    /// It is being deleted.
    pub(super) is_going: bool,
    /// Changes whenever somebody changes what the object says.
    pub(super) fingerprint: u64,
}

impl Live {
    pub(super) fn new(object: DynamicObject) -> Self {
        let fingerprint = fingerprint(&object);
        let metadata = object.metadata;
        let labels = metadata.labels.unwrap_or_default();
        let is_managed = labels.get(MANAGED_LABEL.0).is_some_and(|it| it == MANAGED_LABEL.1);
        Live {
            uid: metadata.uid,
            version: metadata.resource_version,
            gateway: labels.get(GATEWAY_NAME_LABEL).filter(|_| is_managed).cloned(),
            owners: metadata.owner_references.unwrap_or_default().into_iter().map(|it| it.uid).collect(),
            revision: metadata.annotations.unwrap_or_default().remove(REVISION_ANNOTATION),
            is_going: metadata.deletion_timestamp.is_some(),
            fingerprint,
        }
    }
}

/// What is written by Kubernetes all the time is not part of it.
fn fingerprint(object: &DynamicObject) -> u64 {
    let mut metadata = object.metadata.clone();
    metadata.managed_fields = None;
    metadata.resource_version = None;
    metadata.generation = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove(ROLLS);
    }
    let mut data = object.data.clone();
    if let Value::Object(fields) = &mut data {
        fields.remove("status");
    }
    hash(&(serde_json::to_string(&metadata).unwrap_or_default(), data.to_string()))
}

/// A value's hash, the same as long as the process lives.
pub(super) fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// All of them.
#[derive(Default)]
pub(super) struct LiveObjects {
    known: BTreeMap<Key, Live>,
    /// A list that is being read, by kind; it replaces what was known.
    incoming: BTreeMap<Part, BTreeMap<Key, Live>>,
    /// Kinds whose first list is complete.
    listed: Vec<Part>,
}

impl LiveObjects {
    pub(super) fn take(&mut self, part: Part, event: Event<DynamicObject>) {
        match event {
            Event::Init => drop(self.incoming.insert(part, BTreeMap::new())),
            Event::InitApply(object) => {
                self.incoming.entry(part).or_default().insert(key(part, &object), Live::new(object));
            }
            Event::InitDone => {
                self.known.retain(|key, _| key.part != part);
                self.known.extend(self.incoming.remove(&part).unwrap_or_default());
                if !self.listed.contains(&part) {
                    self.listed.push(part);
                }
            }
            Event::Apply(object) => self.put(key(part, &object), Live::new(object)),
            Event::Delete(object) => drop(self.known.remove(&key(part, &object))),
        }
    }

    /// Everything that was there at the start is known.
    pub(super) fn is_complete(&self) -> bool {
        self.listed.len() == Part::ALL.len()
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Live> {
        self.known.get(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, &Live)> {
        self.known.iter()
    }

    pub(super) fn put(&mut self, key: Key, live: Live) {
        self.known.insert(key, live);
    }
}

fn key(part: Part, object: &DynamicObject) -> Key {
    let metadata = &object.metadata;
    Key {
        part,
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
    }
}

type Events = BoxStream<'static, (Part, watcher::Result<Event<DynamicObject>>)>;

/// Everything that is generated for waypoints.
pub(super) fn watch(client: &Client) -> Events {
    let (label, value) = MANAGED_LABEL;
    let streams = Part::ALL.map(|part| {
        let api = Api::<DynamicObject>::all_with(client.clone(), &part.resource());
        let ours = watcher::Config::default().labels(&format!("{label}={value}"));
        watch_objects(api, ours).backoff(Retry::default()).map(move |event| (part, event)).boxed()
    });
    select_all(streams).boxed()
}
