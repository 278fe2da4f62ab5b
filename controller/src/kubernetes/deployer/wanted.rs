//! The objects a waypoint is to consist of: generated from the template, then changed as ConfigMaps
//! say, the class's first and the Gateway's own after it (api.md §4.3).

use std::collections::BTreeMap;

use controller_translate::Obstacle;
use controller_translate::expand::{GATEWAY_NAME_LABEL, MANAGED_LABEL, REVISION_ANNOTATION, Waypoint};
use serde_json::{Value, json};

use super::live::hash;
use super::merge::merge;
use super::parameters::{Parameters, Saying};
use super::part::{Key, Part};
use super::verdict::Failure;

/// An object as it should be.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    pub(super) value: Value,
    /// The places in ConfigMaps that have a say in it.
    pub(super) said_by: Vec<String>,
}

/// What a waypoint is to consist of.
pub(super) type Desired = BTreeMap<Key, Wanted>;

/// What that waypoint is to consist of, or what is wrong with its parameters.
pub(super) fn desired(waypoint: &Waypoint, parameters: &Parameters) -> Result<Desired, Failure> {
    let mut desired = generated(waypoint).map_err(Failure::Passing)?;
    for saying in parameters.sayings(waypoint)? {
        let wrong = |error| Failure::Obstacle(Obstacle::Parameters(format!("{} {error}", saying.place)));
        add(&mut desired, waypoint, &saying).map_err(wrong)?;
    }
    Ok(desired)
}

/// The same as long as the same is desired.
pub(super) fn fingerprint(desired: &Desired) -> u64 {
    let texts: Vec<_> = desired.iter().map(|(key, it)| (key.to_string(), it.value.to_string())).collect();
    hash(&texts)
}

/// The names of everything that a waypoint may consist of.
pub(super) fn keys(waypoint: &Waypoint) -> impl Iterator<Item = Key> {
    Part::ALL.into_iter().map(|part| key(waypoint, part))
}

fn key(waypoint: &Waypoint, part: Part) -> Key {
    Key {
        part,
        namespace: waypoint.gateway.namespace.to_string(),
        name: waypoint.generated.deployment.metadata.name.clone().unwrap_or_default(),
    }
}

fn generated(waypoint: &Waypoint) -> Result<Desired, String> {
    let mut desired = Desired::new();
    for object in waypoint.generated.clone().into_objects() {
        let value = serde_json::to_value(&object).map_err(|error| error.to_string())?;
        let part = value["kind"].as_str().and_then(Part::find);
        desired.extend(part.map(|part| (key(waypoint, part), Wanted { value, said_by: Vec::new() })));
    }
    Ok(desired)
}

/// What is only made if somebody says something about it.
fn optional(waypoint: &Waypoint, part: Part) -> Option<Wanted> {
    let deployment = &waypoint.generated.deployment;
    let spec = match part {
        Part::HorizontalPodAutoscaler => json!({ "scaleTargetRef": {
            "apiVersion": Part::Deployment.api_version(),
            "kind": Part::Deployment.kind(),
            "name": deployment.metadata.name,
        } }),
        Part::PodDisruptionBudget => {
            json!({ "selector": deployment.spec.as_ref().map(|spec| &spec.selector) })
        }
        _ => return None,
    };
    let value = json!({
        "apiVersion": part.api_version(),
        "kind": part.kind(),
        "metadata": deployment.metadata,
        "spec": spec,
    });
    Some(Wanted { value, said_by: Vec::new() })
}

fn add(desired: &mut Desired, waypoint: &Waypoint, saying: &Saying<'_>) -> Result<(), String> {
    let patch = saying.patch?;
    let key = key(waypoint, saying.part);
    // An account that the Gateway brings itself is not ours to change.
    let Some(mut wanted) = desired.get(&key).cloned().or_else(|| optional(waypoint, saying.part)) else {
        return Ok(());
    };
    let base = wanted.value.clone();
    merge(&mut wanted.value, patch);
    keep_identity(&mut wanted.value, &base);
    saying.part.check(&wanted.value).map_err(|error| format!("makes no {}: {error}", saying.part.kind()))?;
    wanted.said_by.push(saying.place.clone());
    desired.insert(key, wanted);
    Ok(())
}

/// Whose object it is, and which, is not for parameters to say.
fn keep_identity(merged: &mut Value, base: &Value) {
    for field in ["apiVersion", "kind"] {
        merged[field] = base[field].clone();
    }
    if let Value::Object(fields) = merged {
        fields.remove("status");
    }
    let known = &base["metadata"];
    if !merged["metadata"].is_object() {
        merged["metadata"] = known.clone();
    }
    let metadata = &mut merged["metadata"];
    for field in ["name", "namespace", "ownerReferences"] {
        metadata[field] = known[field].clone();
    }
    let texts =
        [("labels", GATEWAY_NAME_LABEL), ("labels", MANAGED_LABEL.0), ("annotations", REVISION_ANNOTATION)];
    for (map, name) in texts {
        if !metadata[map].is_object() {
            metadata[map] = json!({});
        }
        metadata[map][name] = known[map][name].clone();
    }
}
