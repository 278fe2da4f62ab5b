//! What is the same for every waypoint of an installation, as a person writes it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, LocalObjectReference, ResourceRequirements, Toleration, TopologySpreadConstraint,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// What is the same for every waypoint of an installation.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct WaypointTemplate {
    /// The image to run.
    pub image: String,
    /// When it is fetched.
    pub image_pull_policy: Option<String>,
    /// What it may be fetched with: names, or objects with a name.
    #[serde(deserialize_with = "secrets")]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// Its arguments.
    pub args: Vec<String>,
    /// Environment variables beside those that say who the pod is.
    pub env: BTreeMap<String, String>,
    /// What the container asks for and may use.
    #[serde(deserialize_with = "resources")]
    pub resources: ResourceRequirements,
    /// Which nodes and which neighbours the pods like.
    pub affinity: Affinity,
    /// Labels a node must have.
    pub node_selector: BTreeMap<String, String>,
    /// Taints that are borne.
    pub tolerations: Vec<Toleration>,
    /// How the pods are spread.
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
    /// How long a pod may take to end, in seconds.
    pub termination_grace_period_seconds: Option<u32>,
}

impl Default for WaypointTemplate {
    fn default() -> Self {
        WaypointTemplate {
            image: "adit".to_owned(),
            image_pull_policy: None,
            image_pull_secrets: Vec::new(),
            args: vec!["waypoint".to_owned()],
            env: BTreeMap::new(),
            resources: ResourceRequirements {
                requests: Some(quantities("100m", "128Mi")),
                limits: Some(quantities("2", "1Gi")),
                ..ResourceRequirements::default()
            },
            affinity: Affinity::default(),
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            topology_spread_constraints: Vec::new(),
            termination_grace_period_seconds: None,
        }
    }
}

fn quantities(cpu: &str, memory: &str) -> BTreeMap<String, Quantity> {
    [("cpu", cpu), ("memory", memory)].map(|(name, it)| (name.to_owned(), Quantity(it.to_owned()))).into()
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Secret {
    Name(String),
    Reference(LocalObjectReference),
}

fn secrets<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<LocalObjectReference>, D::Error> {
    let secrets = Vec::<Secret>::deserialize(deserializer)?;
    let references = secrets.into_iter().map(|secret| match secret {
        Secret::Name(name) => LocalObjectReference { name },
        Secret::Reference(reference) => reference,
    });
    Ok(references.collect())
}

/// `cpu: 2` is as good as `cpu: "2"`.
fn resources<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ResourceRequirements, D::Error> {
    let mut resources = Value::deserialize(deserializer)?;
    for list in ["requests", "limits"] {
        let quantities = resources.get_mut(list).and_then(Value::as_object_mut);
        for quantity in quantities.into_iter().flat_map(|it| it.values_mut()) {
            if quantity.is_number() {
                *quantity = quantity.to_string().into();
            }
        }
    }
    ResourceRequirements::deserialize(resources).map_err(D::Error::custom)
}
