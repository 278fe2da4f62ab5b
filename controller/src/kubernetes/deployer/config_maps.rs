//! ConfigMaps of the cluster: all of them watched by name, some of them read.

use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PartialObjectMeta;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch_objects};
use kube::{Api, Client};
use tokio::time::timeout;

use super::parameters::MapName;
use crate::kubernetes::retry::Retry;

/// How many are read at a time.
const AT_ONCE: usize = 8;
/// How long the API server may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Every namespace has these, and they are nobody's parameters.
const EVERYWHERE: &str =
    "metadata.name!=kube-root-ca.crt,metadata.name!=istio-ca-root-cert,metadata.name!=istio-ca-crl";

/// Names, labels and versions.
pub(super) fn watch(
    client: &Client,
) -> BoxStream<'static, watcher::Result<Event<PartialObjectMeta<ConfigMap>>>> {
    let api = Api::<PartialObjectMeta<ConfigMap>>::all(client.clone());
    watch_objects(api, watcher::Config::default().fields(EVERYWHERE)).backoff(Retry::default()).boxed()
}

/// Reads those, each in whatever version it has now; `None` for one that is gone.
pub(super) async fn read(
    client: &Client,
    due: Vec<(MapName, String)>,
) -> Vec<((MapName, String), Result<Option<ConfigMap>, String>)> {
    let reads = due.into_iter().map(|due| async move {
        let (namespace, name) = &due.0;
        let api = Api::<ConfigMap>::namespaced(client.clone(), namespace);
        let read = match timeout(PATIENCE, api.get_opt(name)).await {
            Ok(read) => read.map_err(|error| error.to_string()),
            Err(_) => Err("no answer from the API server".to_owned()),
        };
        (due, read)
    });
    stream::iter(reads).buffer_unordered(AT_ONCE).collect().await
}
