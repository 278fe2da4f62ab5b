//! The objects of a mesh, as they lie in its directory of manifests, one a file.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use controller_translate::{Kind, Object};
use serde_json::Value;

use super::data::Data;
use super::mesh::Mesh;
use super::poll::{Change, Polled};

/// The file of an object: `<kind>.<namespace>.<name>.yaml`.
pub(super) fn file_name(kind: &str, namespace: &str, name: &str) -> String {
    format!("{}.{namespace}.{name}.yaml", kind.to_ascii_lowercase())
}

/// Kind (in small letters), namespace and name of the object in a file.
pub(super) fn parse_file_name(file: &str) -> Option<(&str, &str, &str)> {
    let mut parts = file.strip_suffix(".yaml")?.splitn(3, '.');
    Some((parts.next()?, parts.next()?, parts.next()?))
}

/// The objects, kept up to date.
#[derive(Debug)]
pub(super) struct Objects {
    manifests: Polled,
    data_files: Polled,
    objects: BTreeMap<String, Object>,
    data: Data,
}

/// What a look at the files has found.
#[derive(Debug, Default)]
pub(super) struct Refreshed {
    pub(super) is_changed: bool,
    /// Files that cannot be used; what they said before stays.
    pub(super) problems: Vec<String>,
}

impl Objects {
    pub(super) fn new(mesh: &Mesh) -> Self {
        Objects {
            manifests: Polled::new(mesh.manifests(), ".yaml"),
            data_files: Polled::new(mesh.data(), ".yaml"),
            objects: BTreeMap::new(),
            data: Data::default(),
        }
    }

    /// Takes in what has changed.
    pub(super) fn refresh(&mut self) -> Refreshed {
        let mut refreshed = Refreshed::default();
        for change in self.manifests.changes() {
            match change {
                Change::Removed(file) => drop(self.objects.remove(&file)),
                Change::Written(file) => match read_object(&self.manifests.directory().join(&file)) {
                    Ok(object) => drop(self.objects.insert(file, object)),
                    Err(error) => {
                        refreshed.problems.push(format!("{error:#}"));
                        continue;
                    }
                },
            }
            refreshed.is_changed = true;
        }
        if !self.data_files.changes().is_empty() {
            refreshed.is_changed = true;
            refreshed.problems.extend(self.read_data());
        }
        refreshed
    }

    fn read_data(&mut self) -> Vec<String> {
        self.data.clear();
        let mut problems = Vec::new();
        for entry in fs::read_dir(self.data_files.directory()).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            let put = read_value(&path).and_then(|value| self.data.put(&value).map_err(anyhow::Error::msg));
            problems.extend(put.err().map(|error| format!("{}: {error:#}", path.display())));
        }
        problems
    }

    pub(super) fn all(&self) -> Vec<Object> {
        self.objects.values().cloned().collect()
    }

    pub(super) fn data(&self) -> &Data {
        &self.data
    }

    /// The labels of a namespace.
    pub(super) fn namespace_labels(&self, namespace: &str) -> BTreeMap<String, String> {
        let found = self.objects.values().find_map(|object| match object {
            Object::Namespace(it) if it.metadata.name.as_deref() == Some(namespace) => {
                it.metadata.labels.clone()
            }
            _ => None,
        });
        found.unwrap_or_default()
    }
}

/// Reads a file with one document.
pub(super) fn read_value(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    serde_saphyr::from_str(&text).with_context(|| path.display().to_string())
}

fn read_object(path: &Path) -> Result<Object> {
    let value = read_value(path)?;
    let text = |field: &str| value[field].as_str().unwrap_or_default();
    let kind = match Kind::find(text("apiVersion"), text("kind")) {
        Ok(kind) => kind,
        Err(error) => bail!("{}: {error}", path.display()),
    };
    Object::from_value(kind, value).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_say_what_is_inside() {
        let file = file_name("VirtualService", "prod", "reviews.v1");
        assert_eq!(file, "virtualservice.prod.reviews.v1.yaml");
        assert_eq!(parse_file_name(&file), Some(("virtualservice", "prod", "reviews.v1")));
        assert_eq!(parse_file_name(&file_name("Namespace", "", "prod")), Some(("namespace", "", "prod")));
        assert_eq!(parse_file_name("x.yaml"), None);
    }
}
