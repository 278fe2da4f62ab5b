//! `adit uninstall`: what `adit install` has brought, and what the mesh has made of it.

use anyhow::Result;
use clap::Args;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client};

use super::helm::Helm;
use super::{BASE, MESH, NAMESPACE, runtime};

/// Every CRD of ours has it; Istio's have not.
const OURS: &str = "adit.io/crd=true";

#[derive(Args, Debug)]
pub(crate) struct Uninstall {
    /// Where the mesh's own pods run
    #[arg(short, long, default_value = NAMESPACE)]
    namespace: String,
    /// Delete the CRDs of the Istio kinds too, and with them every object of these kinds
    #[arg(long)]
    purge: bool,
}

/// Takes the mesh out of the cluster. A release that is not there is none to remove.
pub(crate) fn run(arguments: &Uninstall) -> Result<()> {
    for release in [MESH, BASE] {
        Helm::new("uninstall", &arguments.namespace).args(["--wait", "--ignore-not-found", release]).run()?;
    }
    if arguments.purge {
        runtime()?.block_on(purge())?;
    }
    Ok(())
}

async fn purge() -> Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(Client::try_default().await?);
    for crd in api.list(&ListParams::default().labels(OURS)).await? {
        let name = crd.metadata.name.unwrap_or_default();
        api.delete(&name, &DeleteParams::default()).await?;
        println!("customresourcedefinition \"{name}\" deleted");
    }
    Ok(())
}
