//! The mesh's configuration with something added, for as long as a test needs it.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::{SYSTEM, Scene};

const MAP: &str = "istio";
/// Whoever takes longer is ended, so that what was there before comes back all the same.
const LONGEST: Duration = Duration::from_secs(120);

/// There is one configuration for all tests, and each has to find it as it was.
static TURN: Mutex<()> = Mutex::const_new(());

impl Scene {
    /// Plays with these fields of the mesh's configuration, and puts back the others' text to the letter: another one
    /// would be somebody else's, and stand in the way of the next upgrade by Helm.
    pub async fn with_mesh_config<T>(
        &self,
        fields: Value,
        play: impl AsyncFnOnce() -> Result<T>,
    ) -> Result<T> {
        let _turn = TURN.lock().await;
        let maps: Api<ConfigMap> = Api::namespaced(self.cluster.client(), SYSTEM);
        let data = maps.get(MAP).await?.data.context("the mesh's configuration has no data")?;
        let before = data.get("mesh").context("the mesh's configuration has no key mesh")?;
        // What is JSON is YAML.
        let mut mesh: Value = serde_saphyr::from_str(before)?;
        for (name, value) in fields.as_object().context("the fields are no object")? {
            mesh[name] = value.clone();
        }
        set(&maps, &mesh.to_string()).await?;
        let outcome = timeout(LONGEST, play()).await;
        set(&maps, before).await?;
        match outcome {
            Ok(outcome) => outcome,
            Err(_) => bail!("it took more than {LONGEST:?} with {fields}"),
        }
    }
}

async fn set(maps: &Api<ConfigMap>, text: &str) -> Result<()> {
    let patch = Patch::Merge(json!({ "data": { "mesh": text } }));
    maps.patch(MAP, &PatchParams::default(), &patch).await?;
    Ok(())
}
