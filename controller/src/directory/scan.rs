//! Walks directories of manifests and tells which files have to be read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::manifest::MAX_FILE;

/// Directories inside directories are followed so far.
const MAX_DEPTH: usize = 8;
/// More files are not looked at.
const MAX_FILES: usize = 20_000;
/// A file changed so recently may still be being written.
pub(super) const SETTLE: Duration = Duration::from_millis(20);
/// The same for an empty one: whoever writes in place empties it first.
const SETTLE_EMPTY: Duration = Duration::from_secs(1);

/// What tells one state of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: (i64, i64),
    changed: (i64, i64),
    size: u64,
    inode: u64,
    device: u64,
}

impl Stamp {
    fn new(metadata: &Metadata) -> Self {
        Stamp {
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            size: metadata.size(),
            inode: metadata.ino(),
            device: metadata.dev(),
        }
    }

    #[cfg(test)]
    pub(super) fn for_test(inode: u64) -> Self {
        Stamp { modified: (0, 0), changed: (0, 0), size: 0, inode, device: 0 }
    }
}

/// What is in a directory.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Files of manifests by path.
    pub(super) files: BTreeMap<PathBuf, Stamp>,
    /// Directories, itself included.
    pub(super) directories: Vec<PathBuf>,
    /// Files that may still be being written; not in `files`.
    pub(super) unsettled: BTreeSet<PathBuf>,
}

/// Lists the `.yaml`, `.yml` and `.json` files in and below a directory. Names
/// that begin with a dot are left out, links to directories not followed.
pub(super) fn list(root: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    let mut waiting = vec![(root.to_path_buf(), 0)];
    while let Some((directory, depth)) = waiting.pop() {
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            // Gone since its parent was read.
            Err(error) if depth > 0 && error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(named(&directory, &error)),
        };
        for entry in entries {
            let entry = entry.map_err(|error| named(&directory, &error))?;
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if depth < MAX_DEPTH {
                    waiting.push((path, depth + 1));
                }
            } else if is_manifest(&path) {
                listing.add(path)?;
            }
        }
        listing.directories.push(directory);
    }
    Ok(listing)
}

impl Listing {
    fn add(&mut self, path: PathBuf) -> io::Result<()> {
        if self.files.len() >= MAX_FILES {
            return Err(io::Error::other(format!("more than {MAX_FILES} files")));
        }
        // A link counts as what it leads to; what is gone again is not there.
        let Ok(metadata) = fs::metadata(&path) else { return Ok(()) };
        if !metadata.is_file() {
            return Ok(());
        }
        let age = metadata.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        let settle = if metadata.len() == 0 { SETTLE_EMPTY } else { SETTLE };
        if age.is_some_and(|age| age < settle) {
            self.unsettled.insert(path);
        } else {
            self.files.insert(path, Stamp::new(&metadata));
        }
        Ok(())
    }
}

fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("yaml" | "yml" | "json"))
}

/// The text of a file.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        let message = format!("larger than {} MiB, which no file of manifests is; split it", MAX_FILE >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|&&byte| byte == b'\n');
        let message = format!("not UTF-8 in line {}", line.count() + 1);
        io::Error::new(io::ErrorKind::InvalidData, message)
    })
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
