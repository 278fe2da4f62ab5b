//! Being told when something changes in directories.

use std::io;
use std::path::Path;
use std::sync::Arc;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::sync::Notify;

/// What is watched for: files written, moved, made or removed.
const CHANGES: AddWatchFlags = AddWatchFlags::IN_CLOSE_WRITE
    .union(AddWatchFlags::IN_MOVE)
    .union(AddWatchFlags::IN_CREATE)
    .union(AddWatchFlags::IN_DELETE);

/// Directories that are watched, until the process ends.
pub(super) struct Watch {
    inotify: Arc<Inotify>,
    changed: Arc<Notify>,
}

impl Watch {
    /// Watches nothing yet.
    pub(super) fn new() -> io::Result<Self> {
        let inotify = Arc::new(Inotify::init(InitFlags::IN_CLOEXEC)?);
        let changed = Arc::new(Notify::new());
        let (events, tell) = (inotify.clone(), changed.clone());
        // It waits in the kernel most of the time; changes that come together are told as one.
        let listen = move || {
            while events.read_events().is_ok() {
                tell.notify_one();
            }
        };
        std::thread::Builder::new().name("watch".to_owned()).spawn(listen)?;
        Ok(Watch { inotify, changed })
    }

    /// Watches a directory, too.
    pub(super) fn add(&self, directory: &Path) -> io::Result<()> {
        self.inotify.add_watch(directory, CHANGES)?;
        Ok(())
    }

    /// Waits for a change since the last call.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_change_in_any_directory_is_told() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let watch = Watch::new().unwrap();
        watch.add(one.path()).unwrap();
        watch.add(two.path()).unwrap();
        for directory in [&one, &two] {
            std::fs::write(directory.path().join("a"), "x").unwrap();
            tokio::time::timeout(Duration::from_secs(10), watch.changed()).await.unwrap();
        }
        assert!(watch.add(Path::new("/no/such/directory")).is_err());
    }
}
