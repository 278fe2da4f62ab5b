//! What has to hold of a cluster before the mesh comes in.

use anyhow::{Context, Result, bail};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client};

/// The oldest minor version of Kubernetes 1 that the charts take.
const OLDEST_MINOR: u32 = 29;
const GATEWAY_CRD: &str = "gateways.gateway.networking.k8s.io";

/// Fails where the mesh could not work; what is only missing, or strange, comes back in words.
pub(super) async fn check(namespace: &str) -> Result<Vec<String>> {
    let client = Client::try_default().await.context("cannot reach a cluster; is KUBECONFIG set?")?;
    let version = client.apiserver_version().await.context("the cluster does not answer")?;
    if !is_supported(&version.major, &version.minor) {
        bail!("Kubernetes {}.{} is too old; 1.{OLDEST_MINOR} is needed", version.major, version.minor);
    }
    let mut warnings = Vec::new();
    let istiod = Api::<Deployment>::namespaced(client.clone(), namespace).get_opt("istiod").await?;
    if istiod.is_some() {
        bail!("{namespace} holds Istio's control plane already; remove it, or choose another --namespace");
    }
    let crds: Api<CustomResourceDefinition> = Api::all(client);
    match crds.get_opt(GATEWAY_CRD).await? {
        None => warnings.push(
            "the kinds of the Gateway API are not installed: L4 works, waypoints and routes do not, \
             until they are"
                .to_owned(),
        ),
        Some(crd) if !crd.spec.versions.iter().any(|version| version.name == "v1" && version.served) => {
            warnings.push(format!("{GATEWAY_CRD} is not served as v1; waypoints need that version"));
        }
        Some(_) => {}
    }
    Ok(warnings)
}

/// Some providers write `29+`.
fn is_supported(major: &str, minor: &str) -> bool {
    let minor: String = minor.chars().take_while(char::is_ascii_digit).collect();
    let minor = minor.parse::<u32>().unwrap_or(0);
    match major.parse::<u32>() {
        Ok(1) => minor >= OLDEST_MINOR,
        Ok(major) => major > 1,
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_supported;

    #[test]
    fn versions_are_numbers_not_texts() {
        for (major, minor, expected) in
            [("1", "29", true), ("1", "34+", true), ("1", "9", false), ("2", "0", true), ("", "", false)]
        {
            assert_eq!(is_supported(major, minor), expected, "{major}.{minor}");
        }
    }
}
