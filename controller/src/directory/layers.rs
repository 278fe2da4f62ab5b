//! All files together: which object each name stands for and what changed.
//! Manifests say what is wanted; facts of the running mesh (addresses, status)
//! lie in a layer of their own over them. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use controller_translate::ObjectKey;
use serde_json::Value;

use super::manifest::{Found, Manifest, parse};
use super::problem::{Problem, Severity};
use super::scan::Stamp;
use crate::source::Event;

/// Where a file belongs. Among files that say the same name the first counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileKey {
    pub(super) layer: Layer,
    /// Which of the layer's directories.
    pub(super) directory: usize,
    pub(super) path: Arc<PathBuf>,
}

/// What files are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Layer {
    Manifests,
    Runtime,
}

/// The files and what was made of them.
#[derive(Debug, Default)]
pub(super) struct Layers {
    files: BTreeMap<FileKey, Content>,
    /// What readers have been told, by the sources it came from.
    told: BTreeMap<ObjectKey, Claim>,
    has_changed: bool,
}

#[derive(Debug)]
struct Content {
    stamp: Stamp,
    objects: Vec<Arc<Found>>,
    problems: Vec<Problem>,
    /// It was whole once; what it said then outlives a broken edit.
    was_good: bool,
}

/// The sources of one object.
#[derive(Clone, Debug)]
struct Claim {
    base: Arc<Found>,
    over: Option<Arc<Found>>,
}

impl PartialEq for Claim {
    fn eq(&self, other: &Self) -> bool {
        let over = match (&self.over, &other.over) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other) || one.value == other.value,
            (None, None) => true,
            _ => false,
        };
        over && (Arc::ptr_eq(&self.base, &other.base) || self.base.value == other.base.value)
    }
}

impl Layers {
    /// Whether a file in this state has been taken in.
    pub(super) fn knows(&self, file: &FileKey, stamp: &Stamp) -> bool {
        self.files.get(file).is_some_and(|content| content.stamp == *stamp)
    }

    /// Takes in a file that is new or changed.
    pub(super) fn put(&mut self, file: FileKey, stamp: Stamp, manifest: Manifest) {
        self.has_changed = true;
        let is_good = !manifest.is_broken();
        let Manifest { objects, problems } = manifest;
        match self.files.get_mut(&file) {
            Some(content) if content.was_good && !is_good => {
                content.stamp = stamp;
                content.problems = problems;
            }
            _ => {
                self.files.insert(file, Content { stamp, objects, problems, was_good: is_good });
            }
        }
    }

    /// Forgets the files of a directory that are not in it (any more).
    pub(super) fn retain(&mut self, layer: Layer, directory: usize, is_there: impl Fn(&Path) -> bool) {
        let count = self.files.len();
        self.files.retain(|file, _| {
            file.layer != layer || file.directory != directory || is_there(file.path.as_path())
        });
        self.has_changed |= self.files.len() != count;
    }

    /// Whether files have come, gone or changed since [`Self::settle`].
    pub(super) fn has_changed(&self) -> bool {
        self.has_changed
    }

    /// What changed since the last call, and everything that is wrong now.
    pub(super) fn settle(&mut self) -> (Vec<Event>, BTreeSet<Problem>) {
        self.has_changed = false;
        let mut problems: BTreeSet<Problem> =
            self.files.values().flat_map(|content| content.problems.iter().cloned()).collect();
        let mut claims = self.claims(Layer::Manifests, &mut problems);
        for (key, over) in self.claims(Layer::Runtime, &mut problems) {
            match claims.get_mut(&key) {
                Some(claim) => claim.over = Some(over.base),
                None => {
                    claims.insert(key, over);
                }
            }
        }
        let mut events = Vec::new();
        let gone = self.told.keys().filter(|key| !claims.contains_key(*key));
        events.extend(gone.map(|key| Event::Deleted(key.clone())));
        for (key, claim) in &claims {
            let told = self.told.get(key);
            if told == Some(claim) {
                continue;
            }
            match claim.object() {
                Ok(object) => events.push(Event::Applied(Box::new(object))),
                Err(problem) => {
                    problems.insert(problem);
                }
            }
        }
        self.told = claims;
        (events, problems)
    }

    /// Who says what in a layer; the first file wins.
    fn claims(&self, layer: Layer, problems: &mut BTreeSet<Problem>) -> BTreeMap<ObjectKey, Claim> {
        let mut claims: BTreeMap<ObjectKey, Claim> = BTreeMap::new();
        let files = self.files.iter().filter(|(file, _)| file.layer == layer);
        for found in files.flat_map(|(_, content)| &content.objects) {
            let Some(first) = claims.get(&found.key) else {
                claims.insert(found.key.clone(), Claim { base: found.clone(), over: None });
                continue;
            };
            let (key, first) = (&found.key, &first.base);
            let place = format!("{}:{}", first.file.display(), first.line);
            problems.insert(Problem {
                severity: Severity::Skipped,
                file: found.file.clone(),
                line: Some(found.line),
                field: "metadata.name".into(),
                message: format!("{key} is in {place} too, which counts; remove one or rename it"),
            });
        }
        claims
    }
}

impl Claim {
    fn object(&self) -> Result<controller_translate::Object, Problem> {
        let mut value = self.base.value.clone();
        if let Some(over) = &self.over {
            merge(&mut value, &over.value);
        }
        parse(self.base.key.kind, &value).map_err(|(field, message)| {
            let culprit = self.over.as_ref().unwrap_or(&self.base);
            let (file, line) = (culprit.file.clone(), Some(culprit.line));
            Problem { severity: Severity::Skipped, file, line, field, message }
        })
    }
}

/// Lays one value over another: objects are merged, everything else replaced.
fn merge(value: &mut Value, over: &Value) {
    match (value, over) {
        (Value::Object(fields), Value::Object(over)) => {
            for (name, over) in over {
                merge(fields.entry(name).or_insert(Value::Null), over);
            }
        }
        (value, over) => *value = over.clone(),
    }
}

#[cfg(test)]
mod tests;
