//! Statuses as files: `<kind>/<namespace>.<name>.yaml`, written when they change.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use controller_translate::{ObjectKey, Status};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::warn;

use super::{Changes, StatusWriter};
use crate::files::write_atomically;

/// A directory of statuses.
pub struct StatusDirectory {
    root: PathBuf,
    /// The status in each file.
    written: BTreeMap<PathBuf, Value>,
    is_first: bool,
}

impl StatusDirectory {
    /// The statuses in that directory, which is made if it is not there.
    pub fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        let mut written = BTreeMap::new();
        for kind in fs::read_dir(root)? {
            let kind = kind?.path();
            if !kind.is_dir() {
                continue;
            }
            for file in fs::read_dir(kind)? {
                let path = file?.path();
                if path.extension().is_some_and(|extension| extension == "yaml") {
                    // Unreadable: it will be written anew or removed.
                    let text = fs::read_to_string(&path).unwrap_or_default();
                    let document = serde_saphyr::from_str::<Value>(&text).unwrap_or_default();
                    written.insert(path, document.get("status").cloned().unwrap_or_default());
                }
            }
        }
        Ok(StatusDirectory { root: root.to_owned(), written, is_first: true })
    }

    fn plan(&mut self, changes: Changes) -> Vec<(PathBuf, Option<(ObjectKey, Value)>)> {
        let now = OffsetDateTime::now_utc().replace_nanosecond(0).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let now = now.format(&Rfc3339).unwrap_or_default();
        let mut stale: BTreeMap<PathBuf, Value> = match std::mem::take(&mut self.is_first) {
            true => self.written.clone(),
            false => BTreeMap::new(),
        };
        let mut plan = Vec::new();
        for (key, status) in changes {
            let Some(path) = file_of(&self.root, &key) else { continue };
            let before = self.written.get(&path);
            match status.map(|status: Status| status.stamp(before, &now)) {
                Some(status) => {
                    stale.remove(&path);
                    if before != Some(&status) {
                        self.written.insert(path.clone(), status.clone());
                        plan.push((path, Some((key, status))));
                    }
                }
                None if before.is_some() => {
                    stale.insert(path, Value::Null);
                }
                None => {}
            }
        }
        for path in stale.into_keys() {
            self.written.remove(&path);
            plan.push((path, None));
        }
        plan
    }
}

impl StatusWriter for StatusDirectory {
    async fn write(&mut self, changes: Changes) {
        let plan = self.plan(changes);
        let failed = tokio::task::spawn_blocking(move || carry_out(plan)).await.unwrap_or_default();
        for path in failed {
            // Written again with the next change.
            self.written.remove(&path);
        }
    }
}

/// Writes and removes; what could not be.
fn carry_out(plan: Vec<(PathBuf, Option<(ObjectKey, Value)>)>) -> Vec<PathBuf> {
    let mut failed = Vec::new();
    for (path, content) in plan {
        let result = match &content {
            Some((key, status)) => write(&path, key, status),
            None => fs::remove_file(&path),
        };
        if let Err(error) = result {
            warn!("cannot write the status {}: {error}", path.display());
            failed.push(path);
        }
    }
    failed
}

/// `None` for names that Kubernetes does not allow, which could lead anywhere.
fn file_of(root: &Path, key: &ObjectKey) -> Option<PathBuf> {
    let is_plain = |text: &str| {
        text.len() <= 253 && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'))
    };
    if key.name.is_empty() || !is_plain(&key.name) || !is_plain(&key.namespace) {
        return None;
    }
    let file = match &*key.namespace {
        "" => format!("{}.yaml", key.name),
        namespace => format!("{namespace}.{}.yaml", key.name),
    };
    Some(root.join(key.kind.as_str().to_lowercase()).join(file))
}

fn write(path: &Path, key: &ObjectKey, status: &Value) -> io::Result<()> {
    let mut metadata = json!({ "name": &*key.name });
    if !key.namespace.is_empty() {
        metadata["namespace"] = (&*key.namespace).into();
    }
    let document = json!({
        "apiVersion": key.kind.api_version(), "kind": key.kind.as_str(), "metadata": metadata, "status": status
    });
    let text = serde_saphyr::to_string(&document).map_err(io::Error::other)?;
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    write_atomically(path, text.as_bytes(), 0o644)
}

#[cfg(test)]
mod tests;
