//! The files given to `up`, followed: what the user edits there takes effect. Of an object, only what
//! changes in these files is carried over, so what `apply` and `delete` did meanwhile stays otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::console::Console;
use super::files;
use super::manifests::{self, Loaded, Written};
use super::mesh::Mesh;

/// A file that is broken is given so long to be written to its end.
const SETTLING: Duration = Duration::from_millis(100);

/// What tells two versions of a file apart.
type Version = (SystemTime, u64);

/// Files and directories of manifests.
#[derive(Debug, Default)]
pub(super) struct Followed {
    paths: Vec<PathBuf>,
    namespace: String,
    files: BTreeMap<PathBuf, Source>,
}

#[derive(Debug)]
struct Source {
    version: Version,
    /// What it said when it could last be used.
    objects: BTreeMap<String, Written>,
}

impl Followed {
    pub(super) fn new(paths: Vec<PathBuf>, namespace: String) -> Self {
        Followed { paths, namespace, files: BTreeMap::new() }
    }

    /// The directories in which changes have to be looked for.
    pub(super) fn directories(&self) -> impl Iterator<Item = PathBuf> {
        self.paths.iter().map(|path| match path.parent() {
            _ if path.is_dir() => path.clone(),
            None => PathBuf::from("."),
            Some(parent) if parent == Path::new("") => PathBuf::from("."),
            Some(parent) => parent.to_owned(),
        })
    }

    /// Reads what has changed since the last call and carries it over.
    pub(super) fn look(&mut self, mesh: &Mesh, console: &Console) {
        let mut seen = BTreeSet::new();
        for path in self.paths.clone() {
            // A directory that cannot be read is on its way from one version to the next.
            let Ok(found) = manifests::files_of(&path) else { continue };
            for file in found {
                let Some(version) = version(&file) else { continue };
                seen.insert(file.clone());
                if self.files.get(&file).is_some_and(|source| source.version == version) {
                    continue;
                }
                let loaded = manifests::load(&file, &self.namespace);
                if !loaded.errors.is_empty() && is_fresh(version, SystemTime::now()) {
                    continue;
                }
                self.take(mesh, console, file, version, loaded);
            }
        }
        let gone: Vec<_> = self.files.keys().filter(|file| !seen.contains(*file)).cloned().collect();
        for file in gone {
            if let Some(source) = self.files.remove(&file) {
                self.remove(mesh, console, source.objects);
            }
        }
    }

    fn take(&mut self, mesh: &Mesh, console: &Console, file: PathBuf, version: Version, loaded: Loaded) {
        for notice in &loaded.notices {
            console.step(format_args!("{notice}"));
        }
        let before = self.files.remove(&file).map(|source| source.objects).unwrap_or_default();
        if !loaded.errors.is_empty() {
            for error in &loaded.errors {
                console.problem(format_args!("{error}"));
            }
            if !before.is_empty() {
                console.problem(format_args!("{}: what it said before stays", file.display()));
            }
            self.files.insert(file, Source { version, objects: before });
            return;
        }
        let mut objects = loaded.objects;
        objects.retain(|name, object| match self.other_source(name) {
            Some(other) => {
                console.problem(format_args!(
                    "{}: {} is in {} too, which counts",
                    file.display(),
                    object.name,
                    other.display()
                ));
                false
            }
            None => true,
        });
        for (name, object) in &objects {
            if before.get(name) != Some(object) {
                report(console, files::write_atomically(&object.directory(mesh).join(name), &object.text));
            }
        }
        let gone = before.into_iter().filter(|(name, _)| !objects.contains_key(name)).collect();
        self.remove(mesh, console, gone);
        self.files.insert(file, Source { version, objects });
    }

    fn other_source(&self, name: &str) -> Option<&Path> {
        let mut sources = self.files.iter();
        sources.find(|(_, source)| source.objects.contains_key(name)).map(|(path, _)| path.as_path())
    }

    fn remove(&self, mesh: &Mesh, console: &Console, objects: BTreeMap<String, Written>) {
        for (name, object) in objects {
            if self.other_source(&name).is_none() {
                report(console, files::remove(&object.directory(mesh).join(name)));
            }
        }
    }
}

/// It may be half written.
fn is_fresh((modified, _): Version, now: SystemTime) -> bool {
    now.duration_since(modified).is_ok_and(|age| age < SETTLING)
}

fn version(file: &Path) -> Option<Version> {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn report(console: &Console, result: anyhow::Result<()>) {
    if let Err(error) = result {
        console.problem(format_args!("{error:#}"));
    }
}

#[cfg(test)]
mod tests;
