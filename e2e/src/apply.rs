//! Manifests to the API server, as `kubectl apply --server-side` does it.

use anyhow::{Context, Result};
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{ApiResource, Scope, pinned_kind};
use kube::{Api, Client};

/// The documents of a manifest.
pub(crate) fn documents(yaml: &str) -> Result<Vec<DynamicObject>> {
    let documents = yaml.split("\n---").filter(|it| it.lines().any(|line| line.contains(':')));
    documents
        .map(|it| serde_saphyr::from_str(it).with_context(|| format!("in the manifest:\n{it}")))
        .collect()
}

/// Where an object is, or is to be.
pub(crate) async fn api_of(
    client: &Client,
    namespace: &str,
    object: &DynamicObject,
) -> Result<Api<DynamicObject>> {
    let types = object.types.as_ref().context("a document without apiVersion and kind")?;
    let kind = GroupVersionKind::try_from(types)?;
    let (resource, capabilities): (ApiResource, _) = pinned_kind(client, &kind).await?;
    Ok(match capabilities.scope {
        Scope::Cluster => Api::all_with(client.clone(), &resource),
        Scope::Namespaced => {
            let namespace = object.metadata.namespace.as_deref().unwrap_or(namespace);
            Api::namespaced_with(client.clone(), namespace, &resource)
        }
    })
}

/// Makes, or makes over, every object.
pub(crate) async fn apply(client: &Client, namespace: &str, yaml: &str) -> Result<()> {
    let parameters = PatchParams::apply("adit-e2e").force();
    for object in documents(yaml)? {
        let name = object.metadata.name.clone().context("a document without a name")?;
        let api = api_of(client, namespace, &object).await?;
        api.patch(&name, &parameters, &Patch::Apply(&object))
            .await
            .with_context(|| format!("applying {name}"))?;
    }
    Ok(())
}

/// Deletes every object of a manifest.
pub(crate) async fn delete(client: &Client, namespace: &str, yaml: &str) -> Result<()> {
    for object in documents(yaml)? {
        let name = object.metadata.name.clone().context("a document without a name")?;
        api_of(client, namespace, &object).await?.delete(&name, &DeleteParams::default()).await?;
    }
    Ok(())
}
