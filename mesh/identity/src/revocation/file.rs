//! The file the lists come from, looked at again and again: it may come late, be
//! replaced by a link (as Kubernetes does) or be caught half-written.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use tracing::{error, info};

use super::{RevocationLists, Revocations};

/// How often the file is looked at.
const INTERVAL: Duration = Duration::from_secs(2);
/// A ConfigMap holds 1 MiB; a file on a disk may hold more.
const LARGEST_FILE: u64 = 32 << 20;

/// A file of revocation lists. Whatever is wrong with it, the lists read last stay in force.
#[derive(Debug)]
pub struct RevocationFile {
    path: PathBuf,
    /// The state of the file that was read last.
    read: Option<Version>,
    /// What was said of it last: once is enough.
    complaint: String,
}

/// Differs between two contents of the file.
type Version = (u64, u64, u64, i64, i64);

impl RevocationFile {
    /// Of this path; nothing is read yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        RevocationFile { path: path.into(), read: None, complaint: String::new() }
    }

    /// Reads the file if it has changed. One that is not there or cannot be used is
    /// complained of and tried again next time (ID-19).
    pub fn refresh(&mut self, revocations: &Revocations) {
        match self.read_if_changed() {
            Ok(None) => {}
            Ok(Some(lists)) => {
                info!(path = %self.path.display(), lists = lists.len(), "revocation lists read");
                self.complaint.clear();
                revocations.replace(lists);
            }
            Err(complaint) => {
                if complaint != self.complaint {
                    error!(
                        path = %self.path.display(),
                        "cannot read revocation lists: {complaint}; those read before stay in force, \
                         and the file is tried again every {} s", INTERVAL.as_secs()
                    );
                }
                self.complaint = complaint;
            }
        }
    }

    /// Keeps up with the file.
    pub async fn follow(mut self, revocations: Revocations) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            self.refresh(&revocations);
        }
    }

    fn read_if_changed(&mut self) -> Result<Option<RevocationLists>, String> {
        let failed = |error: io::Error| error.to_string();
        let metadata = fs::metadata(&self.path).map_err(failed)?;
        let version =
            (metadata.dev(), metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec());
        if self.read == Some(version) {
            return Ok(None);
        }
        let mut content = Vec::new();
        let mut file = File::open(&self.path).map_err(failed)?.take(LARGEST_FILE + 1);
        file.read_to_end(&mut content).map_err(failed)?;
        if content.len() as u64 > LARGEST_FILE {
            return Err(format!("it is larger than {} MiB", LARGEST_FILE >> 20));
        }
        let lists = RevocationLists::parse(&content).map_err(|error| error.to_string())?;
        // Remembered only now: what could not be used is read again.
        self.read = Some(version);
        Ok(Some(lists))
    }
}
