//! Files that others read while they change.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, Result};

/// Writes a file so that a reader sees the old content or the new, never a part.
pub(super) fn write_atomically(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    let name = path.file_name().context("a file has a name")?.to_string_lossy();
    // Readers of these directories pass over names that begin with a dot.
    let temporary = path.with_file_name(format!(".{name}.new"));
    fs::write(&temporary, content).and_then(|()| fs::rename(&temporary, path)).with_context(|| shown(path))
}

/// Writes a file only if that changes it; a watcher then has nothing to do.
pub(super) fn write_if_changed(path: &Path, content: &str) -> Result<bool> {
    if fs::read(path).is_ok_and(|old| old == content.as_bytes()) {
        return Ok(false);
    }
    write_atomically(path, content).map(|()| true)
}

/// Removes a file that may be gone already.
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).with_context(|| shown(path)),
        _ => Ok(()),
    }
}

/// Makes a directory and those above it.
pub(super) fn make_directory(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| shown(path))
}

/// The path, as context for an error about it.
pub(super) fn shown(path: &Path) -> String {
    path.display().to_string()
}
