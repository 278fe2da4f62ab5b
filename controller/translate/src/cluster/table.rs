//! Objects of one kind by namespace and name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::objects::{Custom, Kind, ObjectKey};

/// The name of an object whose kind is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name in there.
    pub name: Arc<str>,
}

impl Name {
    /// A name from its parts.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Name { namespace: namespace.into(), name: name.into() }
    }

    /// The same with the kind.
    pub(crate) fn key(&self, kind: Kind) -> ObjectKey {
        ObjectKey::new(kind, self.namespace.clone(), self.name.clone())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Objects of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Table<T>(BTreeMap<Name, T>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table(BTreeMap::new())
    }
}

impl<T: PartialEq> Table<T> {
    /// Returns whether anything changed.
    pub(crate) fn put(&mut self, name: Name, value: T) -> bool {
        put(&mut self.0, name, value)
    }
}

/// Returns whether anything changed.
pub(crate) fn put<K: Ord, T: PartialEq>(map: &mut BTreeMap<K, T>, name: K, value: T) -> bool {
    if map.get(&name) == Some(&value) {
        return false;
    }
    map.insert(name, value);
    true
}

impl<T> Table<T> {
    /// Returns whether it was there.
    pub(crate) fn remove(&mut self, name: &Name) -> bool {
        self.0.remove(name).is_some()
    }

    pub(crate) fn get(&self, name: &Name) -> Option<&T> {
        self.0.get(name)
    }

    /// With the name as it is kept, which lives as long.
    pub(crate) fn get_entry(&self, name: &Name) -> Option<(&Name, &T)> {
        self.0.get_key_value(name)
    }

    pub(crate) fn get_mut(&mut self, name: &Name) -> Option<&mut T> {
        self.0.get_mut(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Name, &T)> {
        self.0.iter()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those of one namespace.
    pub(crate) fn in_namespace<'a>(
        &'a self,
        namespace: &str,
    ) -> impl Iterator<Item = (&'a Name, &'a T)> + use<'a, T> {
        let first = Name::new(namespace, "");
        let namespace = first.namespace.clone();
        self.0.range(first..).take_while(move |(name, _)| name.namespace == namespace)
    }
}

/// What is kept of every object's metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    /// Seconds since 1970; objects without (in files) count as older than all others.
    pub(crate) created: Option<i64>,
    pub(crate) generation: Option<i64>,
}

impl Facts {
    pub(crate) fn new(metadata: &ObjectMeta) -> Self {
        Facts {
            labels: metadata.labels.clone().unwrap_or_default(),
            annotations: metadata.annotations.clone().unwrap_or_default(),
            created: metadata.creation_timestamp.as_ref().map(|time| time.0.as_second()),
            generation: metadata.generation,
        }
    }

    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }

    pub(crate) fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.get(name).map(String::as_str)
    }
}

/// An object of which the whole spec is used.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kept<S> {
    pub(crate) facts: Facts,
    pub(crate) spec: S,
}

impl<S> Kept<S> {
    pub(crate) fn of(object: Custom<S>) -> Self {
        Kept::new(&object.metadata, object.spec)
    }

    pub(crate) fn new(metadata: &ObjectMeta, spec: S) -> Self {
        let mut facts = Facts::new(metadata);
        // kubectl's copy of the object; keeping it would double the picture.
        facts.annotations.retain(|name, _| !name.starts_with("kubectl.kubernetes.io/"));
        Kept { facts, spec }
    }
}
