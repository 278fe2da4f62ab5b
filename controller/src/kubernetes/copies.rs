//! Texts of the authority that every namespace has, each in a ConfigMap: the roots, which proxies verify the controller
//! and each other with, and the lists of what was revoked (ID-21). Kept by the leader: made for new namespaces, put
//! right when edited or deleted, brought up to date when the authority says something else.

mod pending;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::retry::Retry;
use pending::Pending;

/// The ConfigMap that has such a text in every namespace.
#[derive(Clone, Copy, Debug)]
pub struct Copies {
    /// Its name.
    name: &'static str,
    /// The key of the text.
    key: &'static str,
    /// Who owns its fields.
    manager: &'static str,
}

/// Those of the roots.
pub const ROOTS: Copies =
    Copies { name: "istio-ca-root-cert", key: "root-cert.pem", manager: "adit.io/root-certificate" };
/// Those of the lists of what was revoked.
pub const REVOCATION_LISTS: Copies =
    Copies { name: "istio-ca-crl", key: "ca-crl.pem", manager: "adit.io/revocation-lists" };

const LABEL: (&str, &str) = ("istio.io/config", "true");
/// Before trying again what failed.
const PAUSE: Duration = Duration::from_secs(5);
/// Writes at a time.
const MAX_WRITES: usize = 8;

/// Keeps the ConfigMaps while `leader` says so, until it is dropped. What they say is what `read` finds in the source now;
/// while that is nothing, none is made or changed.
pub async fn distribute<T>(
    client: Client,
    copies: Copies,
    source: watch::Receiver<T>,
    read: impl Fn(&T) -> Option<String>,
    mut leader: watch::Receiver<bool>,
) {
    while leader.wait_for(|is_leader| *is_leader).await.is_ok() {
        let deposed = async {
            let _ = leader.wait_for(|is_leader| !*is_leader).await;
        };
        tokio::select! {
            () = lead(&client, copies, source.clone(), &read) => {}
            () = deposed => {}
        }
    }
}

async fn lead<T>(
    client: &Client,
    copies: Copies,
    mut source: watch::Receiver<T>,
    read: &impl Fn(&T) -> Option<String>,
) {
    // Nothing is watched for a text that never comes. Its source ends with the process.
    if source.wait_for(|value| read(value).is_some()).await.is_err() {
        return std::future::pending().await;
    }
    let namespaces = Api::<PartialObjectMeta<Namespace>>::all(client.clone());
    let mut namespaces =
        watcher::watcher(namespaces, watcher::Config::default()).backoff(Retry::default()).boxed();
    // The one ConfigMap of each namespace, not the others.
    let only = watcher::Config::default().fields(&format!("metadata.name={}", copies.name));
    let config_maps = Api::<ConfigMap>::all(client.clone());
    let mut config_maps = watcher::watcher(config_maps, only).backoff(Retry::default()).boxed();
    let mut pending = Pending::new(copies.key);
    let mut retry = None;
    loop {
        let retried = async {
            match retry {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = namespaces.try_next() => match event {
                Ok(Some(event)) => pending.namespace(event),
                Ok(None) => return,
                Err(error) => debug!("watching namespaces: {error}"),
            },
            event = config_maps.try_next() => match event {
                Ok(Some(event)) => pending.config_map(event),
                Ok(None) => return,
                Err(error) => debug!("watching ConfigMaps {}: {error}", copies.name),
            },
            Ok(()) = source.changed() => {}
            () = retried => {}
        }
        let Some(text) = read(&source.borrow_and_update()) else { continue };
        // What is not written yet is tried again after the pause, not at every event.
        if retry.is_none_or(|at| Instant::now() >= at) {
            retry = match write(client, copies, &text, &mut pending).await {
                true => None,
                false => Some(Instant::now() + PAUSE),
            };
        }
    }
}

/// Writes where it is wanting; whether all went well.
async fn write(client: &Client, copies: Copies, text: &str, pending: &mut Pending) -> bool {
    let Copies { name, manager, .. } = copies;
    let content = content(copies, text);
    let writes = pending.wanting(text).into_iter().map(|namespace| {
        let content = &content;
        async move {
            let api = Api::<ConfigMap>::namespaced(client.clone(), &namespace);
            let params = PatchParams::apply(manager).force();
            let written = api.patch(name, &params, &Patch::Apply(content)).await;
            (namespace, written)
        }
    });
    let written: Vec<_> = stream::iter(writes).buffer_unordered(MAX_WRITES).collect().await;
    let mut all_went_well = true;
    for (namespace, written) in written {
        match written {
            Ok(_) => pending.written(namespace, text),
            Err(error) => {
                warn!("cannot write ConfigMap {namespace}/{name}, trying again in {PAUSE:?}: {error}");
                all_went_well = false;
            }
        }
    }
    all_went_well
}

fn content(copies: Copies, text: &str) -> ConfigMap {
    let (label, value) = LABEL;
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(copies.name.to_owned()),
            labels: Some(BTreeMap::from([(label.to_owned(), value.to_owned())])),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(copies.key.to_owned(), text.to_owned())])),
        ..ConfigMap::default()
    }
}

#[cfg(test)]
mod tests;
