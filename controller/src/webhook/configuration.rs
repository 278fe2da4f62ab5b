//! The ValidatingWebhookConfiguration, kept by the leader: whom the API server asks is trusted by our
//! roots, and objects are only refused for want of an answer once an answer is known to come.
//!
//! It is installed without rules, so that a mesh that does not run yet blocks nobody. The leader writes
//! them, first with `failurePolicy: Ignore`. When a dry run with an object that must be denied has been
//! denied by this webhook, the way through the API server works, and the policy becomes `Fail`. It stays
//! `Fail` when the controller is gone: only objects of the mesh are concerned, and unchecked policies
//! would be the greater harm.
//!
//! The chart names none of the fields that are written here. A field with two writers would make the
//! API server refuse Helm's rollback to a release that was stored before the leader had written.

use std::time::Duration;

use anyhow::{Context, bail};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{RuleWithOperations, ValidatingWebhookConfiguration};
use kube::api::{DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client, Error};
use serde_json::{Value, json};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::ca::CurrentAuthority;

/// Between two looks; edits by others are put right so soon.
const PAUSE: Duration = Duration::from_secs(30);
/// While the way to the webhook is not proven.
const SHORT_PAUSE: Duration = Duration::from_secs(3);
const PROBE: &str = "adit-webhook-probe";
/// An attribute that no release will know.
const PROBE_KEY: &str = "adit.webhook.probe";
const GROUPS: [&str; 5] = [
    "networking.istio.io",
    "security.istio.io",
    "telemetry.istio.io",
    "extensions.istio.io",
    "policy.adit.io",
];

/// Which configuration to keep.
#[derive(Clone, Debug)]
pub struct ConfigurationSettings {
    /// The ValidatingWebhookConfiguration (`VALIDATION_WEBHOOK`).
    pub name: String,
    /// Where the probe is tried: the system namespace.
    pub namespace: String,
}

/// Keeps the configuration while `leader` says so, until it is dropped.
pub async fn keep_configuration(
    client: Client,
    settings: ConfigurationSettings,
    authority: CurrentAuthority,
    mut leader: watch::Receiver<bool>,
) {
    while leader.wait_for(|is_leader| *is_leader).await.is_ok() {
        let deposed = async {
            let _ = leader.wait_for(|is_leader| !*is_leader).await;
        };
        tokio::select! {
            () = lead(&client, &settings, &authority) => {}
            () = deposed => {}
        }
    }
}

async fn lead(client: &Client, settings: &ConfigurationSettings, authority: &CurrentAuthority) {
    let mut changes = authority.changes();
    let mut said = None;
    loop {
        let kept = keep(client, settings, authority.get().root_pem()).await;
        let pause = if kept.is_ok() { PAUSE } else { SHORT_PAUSE };
        let trouble = kept.err().map(|error| format!("{error:#}"));
        if let Some(trouble) = trouble.as_ref().filter(|_| trouble != said) {
            warn!("ValidatingWebhookConfiguration {}: {trouble}", settings.name);
        }
        said = trouble;
        // Not closed as long as `authority` lives.
        let _ = tokio::time::timeout(pause, changes.changed()).await;
    }
}

/// One look; an error where it is not as it should be yet.
async fn keep(client: &Client, settings: &ConfigurationSettings, root: &str) -> anyhow::Result<()> {
    let api = Api::<ValidatingWebhookConfiguration>::all(client.clone());
    let Some(mut found) = api.get_opt(&settings.name).await.context("cannot be read")? else {
        bail!("is not there; objects are not checked before they are stored");
    };
    let has_new_rules = set_rules(&mut found);
    if set_bundle(&mut found, root) | has_new_rules {
        found = replace(&api, settings, &found).await.context("cannot set caBundle and rules")?;
        info!("ValidatingWebhookConfiguration {}: set caBundle and rules", settings.name);
    }
    if !set_to_fail(&mut found.clone()) {
        return Ok(());
    }
    probe(client, &settings.namespace, &found).await?;
    set_to_fail(&mut found);
    replace(&api, settings, &found).await.context("cannot set failurePolicy")?;
    info!("ValidatingWebhookConfiguration {}: the webhook answers; failurePolicy is Fail", settings.name);
    Ok(())
}

async fn replace(
    api: &Api<ValidatingWebhookConfiguration>,
    settings: &ConfigurationSettings,
    configuration: &ValidatingWebhookConfiguration,
) -> kube::Result<ValidatingWebhookConfiguration> {
    api.replace(&settings.name, &PostParams::default(), configuration).await
}

/// Every kind of the mesh, whatever its version. Never pods, Secrets and the like.
fn rules() -> Vec<RuleWithOperations> {
    let texts = |texts: &[&str]| Some(texts.iter().map(|&text| text.to_owned()).collect());
    vec![RuleWithOperations {
        api_groups: texts(&GROUPS),
        api_versions: texts(&["*"]),
        operations: texts(&["CREATE", "UPDATE"]),
        resources: texts(&["*"]),
        scope: Some("*".to_owned()),
    }]
}

/// Whether anything had to be changed. What is asked about anew is not proven to be answered.
fn set_rules(configuration: &mut ValidatingWebhookConfiguration) -> bool {
    let rules = Some(rules());
    let mut changed = false;
    for webhook in configuration.webhooks.iter_mut().flatten() {
        if webhook.rules != rules {
            webhook.rules.clone_from(&rules);
            webhook.failure_policy = Some("Ignore".to_owned());
            changed = true;
        }
    }
    changed
}

/// Whether anything had to be changed.
fn set_bundle(configuration: &mut ValidatingWebhookConfiguration, root: &str) -> bool {
    let bundle = Some(ByteString(root.as_bytes().to_vec()));
    let mut changed = false;
    for webhook in configuration.webhooks.iter_mut().flatten() {
        if webhook.client_config.ca_bundle != bundle {
            webhook.client_config.ca_bundle.clone_from(&bundle);
            changed = true;
        }
    }
    changed
}

/// Whether anything had to be changed.
fn set_to_fail(configuration: &mut ValidatingWebhookConfiguration) -> bool {
    let mut changed = false;
    for webhook in configuration.webhooks.iter_mut().flatten() {
        if webhook.failure_policy.as_deref() == Some("Ignore") {
            webhook.failure_policy = Some("Fail".to_owned());
            changed = true;
        }
    }
    changed
}

/// Has the API server ask the webhook about an object that it must deny; nothing is stored.
async fn probe(
    client: &Client,
    namespace: &str,
    configuration: &ValidatingWebhookConfiguration,
) -> anyhow::Result<()> {
    let kind = GroupVersionKind::gvk("security.istio.io", "v1", "AuthorizationPolicy");
    let resource = ApiResource::from_gvk_with_plural(&kind, "authorizationpolicies");
    let mut object = DynamicObject::new(PROBE, &resource);
    // Of a revision's webhook only objects with its label are the business.
    let selectors = configuration.webhooks.iter().flatten().filter_map(|it| it.object_selector.as_ref());
    object.metadata.labels = selectors.filter_map(|selector| selector.match_labels.clone()).next();
    object.data = json!({ "spec": probe_spec() });
    let api = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &resource);
    let params = PostParams { dry_run: true, ..PostParams::default() };
    match api.create(&params, &object).await {
        Ok(_) => bail!("the webhook is not asked yet; failurePolicy stays Ignore"),
        Err(Error::Api(status)) if is_denial(&status.message, configuration) => Ok(()),
        Err(error) => Err(error).context("the webhook could not be tried; failurePolicy stays Ignore"),
    }
}

fn probe_spec() -> Value {
    json!({ "rules": [{ "when": [{ "key": PROBE_KEY, "values": ["x"] }] }] })
}

/// The API server says which webhook denied, and the webhook which field.
fn is_denial(message: &str, configuration: &ValidatingWebhookConfiguration) -> bool {
    let mut names = configuration.webhooks.iter().flatten().map(|webhook| &webhook.name);
    names.any(|name| message.contains(&format!("admission webhook {name:?} denied")))
        && message.contains(PROBE_KEY)
}

#[cfg(test)]
mod tests;
