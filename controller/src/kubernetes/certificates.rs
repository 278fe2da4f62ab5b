//! Certificates in ConfigMaps that BackendTLSPolicies name: each of these ConfigMaps is watched by itself, and no other.

use std::collections::BTreeMap;
use std::sync::Arc;

use controller_translate::Name;
use controller_translate::cluster::Certificates;
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tracing::debug;

use super::retry::Retry;
use crate::picture::Picture;
use crate::source::Event;

/// The key of a ConfigMap that has certificates.
const KEY: &str = "ca.crt";
/// More than one mesh has; policies that name those beyond trust nobody.
const MOST: usize = 1000;

/// Tells what those say that the picture asks for, for as long as events are taken.
pub(crate) async fn keep(client: Client, picture: Arc<Picture>, events: mpsc::Sender<Event>) {
    let mut changed = picture.progress();
    let mut watches: BTreeMap<Name, Watched> = BTreeMap::new();
    loop {
        changed.mark_unchanged();
        let wanted = picture.read().wanted_certificates();
        watches.retain(|map, _| wanted.contains(map));
        for map in wanted {
            if watches.len() < MOST && !watches.contains_key(&map) {
                let following = follow(client.clone(), map.clone(), events.clone());
                watches.insert(map, Watched(tokio::spawn(following).abort_handle()));
            }
        }
        if changed.changed().await.is_err() {
            return;
        }
    }
}

/// A watch that ends with this value.
struct Watched(AbortHandle);

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn follow(client: Client, map: Name, events: mpsc::Sender<Event>) {
    let api = Api::<ConfigMap>::namespaced(client, &map.namespace);
    let config = watcher::Config::default().fields(&format!("metadata.name={}", map.name));
    let mut changes = watcher(api, config).backoff(Retry::default()).boxed();
    let mut listed = missing();
    while let Some(change) = changes.next().await {
        let found = match change {
            Ok(watcher::Event::Init) => {
                listed = missing();
                continue;
            }
            Ok(watcher::Event::InitApply(object)) => {
                listed = certificates(&object);
                continue;
            }
            Ok(watcher::Event::InitDone) => listed.clone(),
            Ok(watcher::Event::Apply(object)) => certificates(&object),
            Ok(watcher::Event::Delete(_)) => missing(),
            Err(error) => {
                debug!("cannot watch ConfigMap {map}, trying again: {error}");
                continue;
            }
        };
        if events.send(Event::Certificates(map.clone(), found)).await.is_err() {
            return;
        }
    }
}

/// What a ConfigMap says now; none if it cannot be asked. A policy's certificates go before the policy, so that it
/// never holds without them.
pub(super) async fn read(client: &Client, map: &Name) -> Option<Certificates> {
    let api = Api::<ConfigMap>::namespaced(client.clone(), &map.namespace);
    match api.get_opt(&map.name).await {
        Ok(Some(object)) => Some(certificates(&object)),
        Ok(None) => Some(missing()),
        Err(error) => {
            debug!("cannot read ConfigMap {map}: {error}");
            None
        }
    }
}

fn missing() -> Certificates {
    Err("does not exist".to_owned())
}

fn certificates(map: &ConfigMap) -> Certificates {
    let text = map.data.as_ref().and_then(|data| data.get(KEY));
    let text = text.ok_or_else(|| format!("has no key {KEY}"))?;
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        certificate
            .map_err(|error| format!("has something else than certificates in PEM at {KEY}: {error}"))?;
        count += 1;
    }
    match count {
        0 => Err(format!("has no certificate in PEM at {KEY}")),
        _ => Ok(text.as_str().into()),
    }
}

#[cfg(test)]
mod tests;
