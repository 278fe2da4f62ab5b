//! A directory with one record a pod, `<uid>.json`, watched for changes.
//!
//! A file that cannot be read keeps what it said before. Writers rename a whole
//! file into place; names that begin with a dot or do not end in `.json` are theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tokio::sync::watch;
use tracing::warn;

use super::Source;
use crate::changes::Changes;
use crate::pod::{self, PodRecord, Pods};

/// More than Kubernetes allows on any node.
const MOST_PODS: usize = 1024;
/// Labels and annotations together have at most half of this.
const LARGEST_FILE: u64 = 512 * 1024;

/// Records of pods in a directory.
pub struct Directory {
    path: PathBuf,
    files: BTreeMap<String, Known>,
    over_limit: bool,
}

/// What is known of one file.
struct Known {
    version: Version,
    /// What it said when it could last be read.
    good: Option<PodRecord>,
}

/// Tells two contents of one file name apart without reading them.
type Version = (u64, u64, i64, i64);

fn version(metadata: &Metadata) -> Version {
    (metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

impl Directory {
    /// The records in `path`, which is made if there is none.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), files: BTreeMap::new(), over_limit: false }
    }

    /// Looks at the directory again; reads only what has changed.
    fn scan(&mut self) -> io::Result<Pods> {
        let mut seen = BTreeSet::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(uid) = name.strip_suffix(".json").filter(|uid| !uid.starts_with('.')) else { continue };
            // A file that is gone by now is one that is not seen.
            let Ok(metadata) = entry.metadata() else { continue };
            seen.insert(uid.to_owned());
            if self.files.get(uid).is_some_and(|known| known.version == version(&metadata)) {
                continue;
            }
            self.read(uid, &entry.path(), version(&metadata));
        }
        self.files.retain(|uid, _| seen.contains(uid));
        self.report_limit();
        let records = self.files.iter().filter_map(|(uid, known)| Some((uid.clone(), known.good.clone()?)));
        Ok(records.take(MOST_PODS).collect())
    }

    fn read(&mut self, uid: &str, path: &Path, version: Version) {
        let before = self.files.remove(uid).and_then(|known| known.good);
        let good = match read_record(uid, path) {
            Ok(pod) => Some(pod),
            Err(reason) => {
                let kept = if before.is_some() { "what it said before stays" } else { "ignored" };
                warn!("pod record {}: {reason}: {kept}", path.display());
                before
            }
        };
        self.files.insert(uid.to_owned(), Known { version, good });
    }

    fn report_limit(&mut self) {
        let over = self.files.len() > MOST_PODS;
        if over && !self.over_limit {
            warn!(
                "{}: {} pod records, the first {MOST_PODS} are used",
                self.path.display(),
                self.files.len()
            );
        }
        self.over_limit = over;
    }
}

impl Source for Directory {
    async fn run(mut self, pods: watch::Sender<Option<Pods>>) -> Result<()> {
        let place = self.path.display().to_string();
        fs::create_dir_all(&self.path).with_context(|| place.clone())?;
        let changes = Changes::watch(&self.path).with_context(|| format!("watching {place}"))?;
        loop {
            let now = self.scan().with_context(|| place.clone())?;
            pods.send_if_modified(|before| {
                let changed = before.as_ref() != Some(&now);
                *before = Some(now);
                changed
            });
            tokio::select! {
                changed = changes.wait() => changed.with_context(|| format!("watching {place}"))?,
                () = pods.closed() => return Ok(()),
            }
            if !self.path.is_dir() {
                bail!("{place} was removed: the node's pods are unknown now, their capture stays as it is");
            }
        }
    }
}

fn read_record(uid: &str, path: &Path) -> Result<PodRecord, String> {
    let mut json = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST_FILE + 1).read_to_end(&mut json))
        .map_err(|error| error.to_string())?;
    if json.len() as u64 > LARGEST_FILE {
        return Err(format!("larger than {LARGEST_FILE} bytes"));
    }
    let pod = pod::parse(&json)?;
    if pod.uid != uid {
        return Err(format!("describes pod {:?}, expected the name of the file", pod.uid));
    }
    Ok(pod)
}

#[cfg(test)]
mod tests;
