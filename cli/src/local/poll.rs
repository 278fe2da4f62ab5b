//! Which files of a directory have changed since the last look.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What tells two versions of a file apart.
type Version = (SystemTime, u64);

/// A directory that is looked at again and again.
#[derive(Debug)]
pub(super) struct Polled {
    directory: PathBuf,
    suffix: &'static str,
    seen: BTreeMap<String, Version>,
}

/// A file that is new, different or gone.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    Written(String),
    Removed(String),
}

impl Polled {
    /// The files whose names end in `suffix` and do not begin with a dot; none has been seen yet.
    pub(super) fn new(directory: PathBuf, suffix: &'static str) -> Self {
        Polled { directory, suffix, seen: BTreeMap::new() }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// What has changed since the last call. A directory that cannot be read counts as unchanged: it may
    /// be on its way from one version to the next.
    pub(super) fn changes(&mut self) -> Vec<Change> {
        let Ok(entries) = fs::read_dir(&self.directory) else { return Vec::new() };
        let mut found = BTreeMap::new();
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') || !name.ends_with(self.suffix) {
                continue;
            }
            // A file that vanishes in between is not there.
            if let Ok(metadata) = fs::metadata(entry.path())
                && let Ok(modified) = metadata.modified()
            {
                found.insert(name, (modified, metadata.len()));
            }
        }
        let written = found.iter().filter(|(name, version)| self.seen.get(*name) != Some(version));
        let removed = self.seen.keys().filter(|name| !found.contains_key(*name));
        let changes = removed
            .map(|name| Change::Removed(name.clone()))
            .chain(written.map(|(name, _)| Change::Written(name.clone())))
            .collect();
        self.seen = found;
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_once() {
        let directory = tempfile::tempdir().unwrap();
        let mut polled = Polled::new(directory.path().to_owned(), ".yaml");
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        write("a.yaml", "1");
        write("b.txt", "1");
        write(".c.yaml", "1");
        assert_eq!(polled.changes(), [Change::Written("a.yaml".into())]);
        assert_eq!(polled.changes(), []);
        write("a.yaml", "12");
        assert_eq!(polled.changes(), [Change::Written("a.yaml".into())]);
        fs::remove_file(directory.path().join("a.yaml")).unwrap();
        assert_eq!(polled.changes(), [Change::Removed("a.yaml".into())]);
    }
}
