//! The roots to trust, in a ConfigMap in every namespace: what proxies verify the controller and each
//! other with. Kept by the leader: made for new namespaces, put right when edited or deleted, brought
//! up to date when the authority changes.

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
use crate::ca::CurrentAuthority;
use pending::Pending;

/// The ConfigMap's name.
pub const NAME: &str = "istio-ca-root-cert";
const KEY: &str = "root-cert.pem";
const LABEL: (&str, &str) = ("istio.io/config", "true");
const FIELD_MANAGER: &str = "adit.io/root-certificate";
/// Before trying again what failed.
const PAUSE: Duration = Duration::from_secs(5);
/// Writes at a time.
const MAX_WRITES: usize = 8;

/// Keeps the ConfigMaps while `leader` says so, until it is dropped.
pub async fn distribute(client: Client, authority: CurrentAuthority, mut leader: watch::Receiver<bool>) {
    while leader.wait_for(|is_leader| *is_leader).await.is_ok() {
        let deposed = async {
            let _ = leader.wait_for(|is_leader| !*is_leader).await;
        };
        tokio::select! {
            () = lead(&client, &authority) => {}
            () = deposed => {}
        }
    }
}

async fn lead(client: &Client, authority: &CurrentAuthority) {
    let namespaces = Api::<PartialObjectMeta<Namespace>>::all(client.clone());
    let mut namespaces =
        watcher::watcher(namespaces, watcher::Config::default()).backoff(Retry::default()).boxed();
    // The one ConfigMap of each namespace, not the others.
    let only = watcher::Config::default().fields(&format!("metadata.name={NAME}"));
    let config_maps = Api::<ConfigMap>::all(client.clone());
    let mut config_maps = watcher::watcher(config_maps, only).backoff(Retry::default()).boxed();
    let mut changes = authority.changes();
    let mut pending = Pending::default();
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
                Err(error) => debug!("watching ConfigMaps {NAME}: {error}"),
            },
            // Not closed as long as `authority` lives.
            _ = changes.changed() => {}
            () = retried => {}
        }
        let root = authority.get().root_pem().to_owned();
        // What is not written yet is tried again after the pause, not at every event.
        if retry.is_none_or(|at| Instant::now() >= at) {
            retry = match write(client, &root, &mut pending).await {
                true => None,
                false => Some(Instant::now() + PAUSE),
            };
        }
    }
}

/// Writes where it is wanting; whether all went well.
async fn write(client: &Client, root: &str, pending: &mut Pending) -> bool {
    let content = content(root);
    let writes = pending.wanting(root).into_iter().map(|namespace| {
        let content = &content;
        async move {
            let api = Api::<ConfigMap>::namespaced(client.clone(), &namespace);
            let params = PatchParams::apply(FIELD_MANAGER).force();
            let written = api.patch(NAME, &params, &Patch::Apply(content)).await;
            (namespace, written)
        }
    });
    let written: Vec<_> = stream::iter(writes).buffer_unordered(MAX_WRITES).collect().await;
    let mut all_went_well = true;
    for (namespace, written) in written {
        match written {
            Ok(_) => pending.written(namespace, root),
            Err(error) => {
                warn!("cannot write ConfigMap {namespace}/{NAME}, trying again in {PAUSE:?}: {error}");
                all_went_well = false;
            }
        }
    }
    all_went_well
}

fn content(root: &str) -> ConfigMap {
    let (label, value) = LABEL;
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(NAME.to_owned()),
            labels: Some(BTreeMap::from([(label.to_owned(), value.to_owned())])),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(KEY.to_owned(), root.to_owned())])),
        ..ConfigMap::default()
    }
}

#[cfg(test)]
mod tests;
