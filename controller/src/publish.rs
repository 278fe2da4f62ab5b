//! From events to resources on the wire: what an event affects is derived again
//! and published if it differs.

mod entry;

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use controller_translate::{Affected, Cluster, ResourceKey, resources, status};
use mesh_xds::{Change, Publisher};
use tokio::sync::mpsc;
use tracing::{debug, info};

use crate::picture::Picture;
use crate::source::{Event, QUEUE};
use crate::status::Statuses;

pub(crate) use entry::{TYPES, node_name, waypoint_tags};

/// Derives and publishes.
pub struct Publishing {
    picture: Arc<Picture>,
    publisher: Publisher,
    statuses: Option<Statuses>,
}

impl Publishing {
    /// Publishes what follows from the picture; statuses too, if they go anywhere.
    pub fn new(picture: Arc<Picture>, publisher: Publisher, statuses: Option<Statuses>) -> Self {
        Publishing { picture, publisher, statuses }
    }

    /// Takes events until their source ends. `complete` is called once everything
    /// that was there at the start is published.
    pub async fn run(self, mut events: mpsc::Receiver<Event>, complete: impl FnOnce() + Send) {
        let mut complete = Some(complete);
        let mut waiting = Affected::default();
        let mut batch = Vec::new();
        while events.recv_many(&mut batch, QUEUE).await > 0 {
            waiting.extend(self.picture.apply(batch.drain(..)));
            if !self.picture.is_complete() {
                continue;
            }
            if complete.is_some() {
                waiting.statuses.extend(status::keys(&self.picture.read()));
            }
            self.publish(mem::take(&mut waiting));
            if let Some(complete) = complete.take() {
                let counts = TYPES.map(|type_url| self.publisher.count(type_url));
                info!(
                    "the objects are read: {} addresses, {} policies, {} configs, {} waypoints",
                    counts[0], counts[1], counts[2], counts[3]
                );
                self.publisher.release();
                complete();
            }
        }
    }

    fn publish(&self, affected: Affected) {
        let Affected { mut resources, statuses } = affected;
        // Who is sent a service's config depends on the service's waypoint.
        let configs: Vec<ResourceKey> = resources
            .iter()
            .filter_map(|key| match key {
                ResourceKey::Service(service) => Some(ResourceKey::ServiceConfig(service.clone())),
                _ => None,
            })
            .collect();
        resources.extend(configs);
        let mut changes: BTreeMap<&'static str, Vec<Change>> = BTreeMap::new();
        let cluster = self.picture.read();
        for key in &resources {
            let (type_url, change) = derive(&cluster, key);
            changes.entry(type_url).or_default().push(change);
        }
        let statuses = statuses.into_iter().map(|key| {
            let status = status::derive(&cluster, &key);
            (key, status)
        });
        let statuses: Vec<_> = statuses.collect();
        drop(cluster);
        for (type_url, changes) in changes {
            let changed = self.publisher.publish(type_url, changes);
            debug!("{changed} resources of {type_url} changed");
        }
        if let Some(sink) = &self.statuses {
            sink.set(statuses);
        }
    }
}

fn derive(cluster: &Cluster, key: &ResourceKey) -> (&'static str, Change) {
    let (type_url, name) = entry::name(key);
    match resources::derive(cluster, key) {
        Some(resource) => (type_url, Change::Upsert(entry::entry(cluster, name, &resource))),
        None => (type_url, Change::Remove(name)),
    }
}
