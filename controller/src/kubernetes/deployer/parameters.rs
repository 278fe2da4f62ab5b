//! What ConfigMaps say is different from the template: for all waypoints of a class, or for those of one Gateway
//! (api.md §4.3).
//!
//! Which ConfigMaps are meant only Gateways know, so of all of them names and versions are watched; those that are
//! meant are read one by one. A cluster's ConfigMaps are large and many, and nearly none of them is meant.

use std::collections::{BTreeMap, BTreeSet};

use controller_translate::Obstacle;
use controller_translate::expand::Waypoint;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::PartialObjectMeta;
use kube::runtime::watcher::Event;
use serde_json::Value;

use super::part::Part;
use super::verdict::Failure;

/// Says for which class a ConfigMap has the defaults.
const CLASS_LABEL: &str = "gateway.istio.io/defaults-for-class";
/// Which key of a ConfigMap is about which object.
const KEYS: [(&str, Part); 5] = [
    ("serviceAccount", Part::ServiceAccount),
    ("deployment", Part::Deployment),
    ("service", Part::Service),
    ("horizontalPodAutoscaler", Part::HorizontalPodAutoscaler),
    ("podDisruptionBudget", Part::PodDisruptionBudget),
];
/// Where a Gateway names its ConfigMap.
const FIELD: &str = "spec.infrastructure.parametersRef";

/// The namespace and the name of a ConfigMap.
pub(super) type MapName = (String, String);

/// A ConfigMap that there is.
#[derive(Clone, Debug, PartialEq)]
struct Found {
    version: String,
    /// The class it has the defaults for.
    class: Option<String>,
}

/// What one ConfigMap said.
struct Overlay {
    /// The version that was there when it was asked for.
    version: String,
    /// By kind: what is different, or what is wrong with it. A failure if it could not be read.
    parts: Result<BTreeMap<Part, Result<Value, String>>, String>,
}

/// Something that a ConfigMap says about a kind of object.
pub(super) struct Saying<'a> {
    pub(super) part: Part,
    /// Which ConfigMap, and under which key.
    pub(super) place: String,
    /// What is different, or what is wrong with it.
    pub(super) patch: Result<&'a Value, &'a str>,
}

/// ConfigMaps that say what is different from the template.
pub(super) struct Parameters {
    system_namespace: String,
    is_complete: bool,
    found: BTreeMap<MapName, Found>,
    /// A list that is being read; it replaces what was found.
    incoming: BTreeMap<MapName, Found>,
    /// Those that somebody means.
    meant: BTreeSet<MapName>,
    read: BTreeMap<MapName, Overlay>,
}

impl Parameters {
    /// None yet; those of classes are in that namespace.
    pub(super) fn new(system_namespace: &str) -> Self {
        Parameters {
            system_namespace: system_namespace.to_owned(),
            is_complete: false,
            found: BTreeMap::new(),
            incoming: BTreeMap::new(),
            meant: BTreeSet::new(),
            read: BTreeMap::new(),
        }
    }

    /// Everything that was there at the start is known.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Takes in what happened; whether it matters.
    pub(super) fn take(&mut self, event: Event<PartialObjectMeta<ConfigMap>>) -> bool {
        match event {
            Event::Init => {
                self.incoming.clear();
                false
            }
            Event::InitApply(map) => {
                self.incoming.insert(name(&map), found(&map));
                false
            }
            Event::InitDone => {
                self.found = std::mem::take(&mut self.incoming);
                self.is_complete = true;
                true
            }
            Event::Apply(map) => {
                let (name, found) = (name(&map), found(&map));
                let matters = self.meant.contains(&name) || self.is_for_class(&name, &found);
                self.found.insert(name, found);
                matters
            }
            Event::Delete(map) => {
                self.found.remove(&name(&map)).is_some() && self.meant.contains(&name(&map))
            }
        }
    }

    /// The ConfigMaps that these waypoints mean and that are to be read, with the version that is known of each.
    pub(super) fn due<'a>(
        &mut self,
        waypoints: impl Iterator<Item = &'a Waypoint>,
    ) -> Vec<(MapName, String)> {
        let of_classes = self.found.iter().filter(|(name, found)| self.is_for_class(name, found));
        self.meant = of_classes.map(|(name, _)| name.clone()).chain(waypoints.filter_map(own)).collect();
        let (meant, found) = (&self.meant, &self.found);
        self.read.retain(|name, _| meant.contains(name) && found.contains_key(name));
        let due = meant.iter().filter_map(|name| {
            let version = &found.get(name)?.version;
            let is_known = self.read.get(name).is_some_and(|it| it.version == *version && it.parts.is_ok());
            (!is_known).then(|| (name.clone(), version.clone()))
        });
        due.collect()
    }

    /// Takes in what was read of one that was due; `None` if it is gone.
    pub(super) fn put(
        &mut self,
        (name, version): (MapName, String),
        read: Result<Option<ConfigMap>, String>,
    ) {
        let parts = match read {
            Ok(Some(map)) => Ok(parts(&map)),
            // The watch will say so too.
            Ok(None) => {
                self.found.remove(&name);
                return;
            }
            Err(error) => Err(error),
        };
        self.read.insert(name, Overlay { version, parts });
    }

    /// What is said about a waypoint, in the order in which it counts; or why the ConfigMap that its Gateway
    /// names is of no use.
    pub(super) fn sayings(&self, waypoint: &Waypoint) -> Result<Vec<Saying<'_>>, Failure> {
        let class = Some(&waypoint.class);
        let of_class = self.found.iter();
        let of_class =
            of_class.filter(|(name, it)| self.is_for_class(name, it) && it.class.as_ref() == class);
        let mut sayings = match of_class.map(|(name, _)| name).next() {
            Some(name) => self.of(name)?,
            None => Vec::new(),
        };
        let Some(reference) = &waypoint.parameters else { return Ok(sayings) };
        let wrong = |text| Err(Failure::Obstacle(Obstacle::Parameters(text)));
        let Some(name) = own(waypoint) else {
            let (kind, group) = (&reference.kind, &reference.group);
            return wrong(format!(
                "{FIELD} names a {kind} of group {group:?}; name a ConfigMap of group \"\""
            ));
        };
        if !self.found.contains_key(&name) {
            let (namespace, name) = name;
            return wrong(format!(
                "{FIELD}: there is no ConfigMap {namespace}/{name}; make it or name another"
            ));
        }
        let own = self.of(&name)?;
        if own.is_empty() {
            let (keys, (namespace, name)) = (KEYS.map(|(key, _)| key).join(", "), name);
            let text =
                format!("{FIELD}: ConfigMap {namespace}/{name} has none of the keys {keys}; write one");
            return wrong(text);
        }
        sayings.extend(own);
        Ok(sayings)
    }

    fn is_for_class(&self, (namespace, _): &MapName, found: &Found) -> bool {
        found.class.is_some() && *namespace == self.system_namespace
    }

    fn of(&self, name: &MapName) -> Result<Vec<Saying<'_>>, Failure> {
        let (namespace, map) = name;
        let unread =
            |error: &str| Failure::Passing(format!("cannot read ConfigMap {namespace}/{map}: {error}"));
        let overlay = self.read.get(name).ok_or_else(|| unread("it has only just come"))?;
        let parts = overlay.parts.as_ref().map_err(|error| unread(error))?;
        let sayings = KEYS.iter().filter_map(|(key, part)| {
            let patch = parts.get(part)?.as_ref().map_err(String::as_str);
            Some(Saying { part: *part, place: format!("ConfigMap {namespace}/{map}, key {key}"), patch })
        });
        Ok(sayings.collect())
    }
}

/// The ConfigMap that a Gateway names.
fn own(waypoint: &Waypoint) -> Option<MapName> {
    let reference = waypoint.parameters.as_ref()?;
    let is_config_map = reference.group.is_empty() && reference.kind == "ConfigMap";
    is_config_map.then(|| (waypoint.gateway.namespace.to_string(), reference.name.clone()))
}

fn name(map: &PartialObjectMeta<ConfigMap>) -> MapName {
    (map.namespace().unwrap_or_default(), map.name_any())
}

fn found(map: &PartialObjectMeta<ConfigMap>) -> Found {
    let version = map.resource_version().unwrap_or_default();
    Found { version, class: map.labels().get(CLASS_LABEL).cloned() }
}

fn parts(map: &ConfigMap) -> BTreeMap<Part, Result<Value, String>> {
    let texts = map.data.iter().flatten();
    let parts = texts.filter_map(|(name, text)| {
        let (_, part) = KEYS.iter().find(|(key, _)| key == name)?;
        Some((*part, read(*part, text)))
    });
    parts.collect()
}

fn read(part: Part, text: &str) -> Result<Value, String> {
    match serde_saphyr::from_str::<Value>(text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(format!("is no object; write fields of a {}", part.kind())),
        Err(error) => Err(format!("is no YAML: {error}")),
    }
}
