//! Whether a mesh is up: its supervisor holds a lock, and so does whoever sweeps up after it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::files::{make_directory, shown};
use super::mesh::Mesh;

/// Takes the lock of a mesh, waiting this long for whoever takes the mesh down just now.
pub(super) fn lock(mesh: &Mesh, wait: Duration) -> Result<Option<File>> {
    let path = mesh.lock();
    if let Some(directory) = path.parent() {
        make_directory(directory)?;
    }
    let deadline = Instant::now() + wait;
    loop {
        let file = OpenOptions::new().create(true).append(true).open(&path).with_context(|| shown(&path))?;
        match file.try_lock() {
            // Who held it last may have removed the file; the lock has to be on the one others find.
            Ok(()) if is_current(&file, mesh) => return Ok(Some(file)),
            Ok(()) => continue,
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => return Ok(None),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(20)),
            Err(TryLockError::Error(error)) => return Err(error).with_context(|| shown(&path)),
        }
    }
}

fn is_current(file: &File, mesh: &Mesh) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), fs::metadata(mesh.lock())) {
        (Ok(held), Ok(found)) => identity(held) == identity(found),
        _ => false,
    }
}

/// The supervisor's process, if the mesh is up.
pub(super) fn find_supervisor(mesh: &Mesh) -> Result<Option<i32>> {
    // The lock is not taken by looking: nobody is to find it held in vain.
    if !mesh.lock().exists() || lock_is_free(mesh)? {
        return Ok(None);
    }
    Ok(fs::read_to_string(mesh.pid()).ok().and_then(|text| text.trim().parse().ok()))
}

fn lock_is_free(mesh: &Mesh) -> Result<bool> {
    let file = match File::open(mesh.lock()) {
        Ok(file) => file,
        Err(_) => return Ok(true),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error).context("looking at the mesh's lock"),
    }
}

/// Refuses to go on without a mesh.
pub(super) fn require(mesh: &Mesh) -> Result<i32> {
    match find_supervisor(mesh)? {
        Some(pid) => Ok(pid),
        None => bail!("there is no mesh {mesh}; start one with: adit local up --name {mesh} -f DIRECTORY"),
    }
}
