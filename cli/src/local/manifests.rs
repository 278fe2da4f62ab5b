//! Files of manifests, as the user has them: read, checked, and split into one object each.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use controller::directory::{self, MAX_FILE, Severity};
use controller_translate::{Kind, Settings};
use serde_json::Value;

use super::data::Data;
use super::files;
use super::mesh::Mesh;
use super::objects::file_name;

/// Most files taken from one directory.
const MAX_FILES: usize = 10_000;

/// One object, ready to be written where the mesh reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    /// For a person: `Service prod/reviews`.
    pub(super) name: String,
    pub(super) text: String,
    /// Of the environment's concern, not of the controller's.
    pub(super) is_data: bool,
}

/// The objects of a file, by the name of the file each will have.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) objects: BTreeMap<String, Written>,
    /// What makes the file unusable; then there are no objects.
    pub(super) errors: Vec<String>,
    /// What the user should know besides.
    pub(super) notices: Vec<String>,
}

/// Reads a file. Objects that name no namespace are put into `namespace`.
pub(super) fn load(path: &Path, namespace: &str) -> Loaded {
    match read(path) {
        Ok(text) => parse(path, &text, namespace),
        Err(error) => Loaded { errors: vec![format!("{error:#}")], ..Loaded::default() },
    }
}

/// `-` is the standard input.
fn read(path: &Path) -> Result<String> {
    let mut text = String::new();
    let mut source: Box<dyn Read> = match path.to_str() {
        Some("-") => Box::new(std::io::stdin()),
        _ => Box::new(File::open(path).with_context(|| files::shown(path))?),
    };
    source.by_ref().take(MAX_FILE + 1).read_to_string(&mut text).with_context(|| files::shown(path))?;
    if text.len() as u64 > MAX_FILE {
        bail!("{}: larger than {} MiB; split it", path.display(), MAX_FILE >> 20);
    }
    Ok(text)
}

fn parse(path: &Path, text: &str, namespace: &str) -> Loaded {
    let manifest = directory::read(&Arc::new(path.to_owned()), text);
    let mut loaded = Loaded::default();
    for problem in &manifest.problems {
        let is_kept_here = problem.message.starts_with("Secret (v1)");
        match problem.severity {
            Severity::Broken | Severity::Skipped => loaded.errors.push(problem.to_string()),
            Severity::Notice if is_kept_here => {}
            Severity::Notice => loaded.notices.push(problem.to_string()),
        }
    }
    for found in &manifest.objects {
        let (key, mut value) = (&found.key, found.value.clone());
        let mut home = key.namespace.to_string();
        if key.kind.is_namespaced() {
            home = in_namespace(&mut value, namespace);
        }
        if key.kind == Kind::ConfigMap && !is_of_mesh(&home, &key.name) {
            continue;
        }
        let file = file_name(key.kind.as_str(), &home, &key.name);
        let name = if home.is_empty() {
            format!("{} {}", key.kind, key.name)
        } else {
            format!("{} {home}/{}", key.kind, key.name)
        };
        loaded.put(&format!("{}:{}", path.display(), found.line), file, name, &value, false);
    }
    // What can be read as objects can be read as values.
    if loaded.errors.is_empty() {
        loaded.put_data(path, text, namespace);
    }
    if !loaded.errors.is_empty() {
        loaded.objects.clear();
    }
    loaded
}

/// Whether a ConfigMap says what holds for the whole mesh, and so is the controller's concern.
fn is_of_mesh(namespace: &str, name: &str) -> bool {
    let mesh = Settings::default();
    namespace == &*mesh.root_namespace && name == mesh.mesh_config_map()
}

/// As much as fits in the largest file: whoever reads one has looked at its size.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_documents: 1 << 20,
            max_events: 1 << 22,
            max_nodes: 1 << 21,
        },
    }
}

/// Sets the namespace where there is none; says which it is.
fn in_namespace(value: &mut Value, namespace: &str) -> String {
    let own = &mut value["metadata"]["namespace"];
    match own.as_str() {
        Some(own) if !own.is_empty() => own.to_owned(),
        _ => {
            *own = namespace.into();
            namespace.to_owned()
        }
    }
}

impl Loaded {
    /// The ConfigMaps and Secrets of a text.
    fn put_data(&mut self, path: &Path, text: &str, namespace: &str) {
        let documents = match serde_saphyr::from_multiple_with_options::<Value>(text, options()) {
            Ok(documents) => documents,
            Err(error) => return self.errors.push(format!("{}: {error}", path.display())),
        };
        let of_lists = |document: Value| match document["items"].as_array() {
            Some(items) if document["kind"] == "List" => items.clone(),
            _ => vec![document],
        };
        for mut document in documents.into_iter().flat_map(of_lists) {
            let field = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
            let kind = field("kind");
            if !Data::keeps(&field("apiVersion"), &kind) {
                continue;
            }
            let home = in_namespace(&mut document, namespace);
            let name = document["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            if kind == "ConfigMap" && is_of_mesh(&home, &name) {
                continue;
            }
            if let Err(reason) = Data::default().put(&document) {
                self.errors.push(format!("{}: {kind} {home}/{name}: {reason}", path.display()));
                continue;
            }
            let file = file_name(&kind, &home, &name);
            let place = path.display().to_string();
            self.put(&place, file, format!("{kind} {home}/{name}"), &document, true);
        }
    }

    fn put(&mut self, place: &str, file: String, name: String, value: &Value, is_data: bool) {
        // Names become names of files: nothing else may be in them.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
        if !file.chars().all(is_plain) || file.len() > 255 {
            return self.errors.push(format!("{place}: {name}: a name has letters, digits, - and . only"));
        }
        let text = match serde_saphyr::to_string(value) {
            Ok(text) => text,
            Err(error) => return self.errors.push(format!("{place}: {name}: {error}")),
        };
        if self.objects.contains_key(&file) {
            return self
                .errors
                .push(format!("{place}: {name} is in this file twice; remove one or rename it"));
        }
        self.objects.insert(file, Written { name, text, is_data });
    }
}

impl Written {
    /// The directory of the mesh it belongs in.
    pub(super) fn directory(&self, mesh: &Mesh) -> PathBuf {
        if self.is_data { mesh.data() } else { mesh.manifests() }
    }
}

/// The files of manifests that a path stands for: itself, or what is in it.
pub(super) fn files_of(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path).with_context(|| files::shown(path))? {
        let file = entry.with_context(|| files::shown(path))?.path();
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let is_manifest = [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end));
        if is_manifest && !name.starts_with('.') && file.is_file() {
            found.push(file);
        }
        if found.len() > MAX_FILES {
            bail!("{} has more than {MAX_FILES} files", path.display());
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests;
