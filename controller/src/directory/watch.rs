//! Waits for something to happen in directories. Only a hint: what happened is
//! found by looking, so nothing is lost where the kernel has no more watches.

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tracing::warn;

/// How often to look where the kernel does not tell.
const BLIND: Duration = Duration::from_millis(100);
/// How often to look in any case: file systems of the network tell nothing.
const ANYWAY: Duration = Duration::from_secs(2);

/// Watches directories.
pub(super) struct Watch {
    inotify: Option<Inotify>,
}

impl Watch {
    pub(super) fn new() -> Self {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK);
        if let Err(error) = &inotify {
            warn!("cannot watch directories ({error}); looking every {BLIND:?} instead");
        }
        Watch { inotify: inotify.ok() }
    }

    /// Watches these from now on; one that is watched already may be named again.
    pub(super) fn add<'a>(&mut self, directories: impl IntoIterator<Item = &'a PathBuf>) {
        // A file is complete when whoever wrote it closes it or moves it here.
        let flags = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        for directory in directories {
            let Some(inotify) = &self.inotify else { return };
            match inotify.add_watch(directory, flags) {
                // Gone since it was listed: the next look will see that.
                Ok(_) | Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES) => {}
                Err(error) => {
                    warn!("cannot watch {} ({error}); looking every {BLIND:?} instead", directory.display());
                    self.inotify = None;
                }
            }
        }
    }

    /// Waits until something may have happened, or `at_most`.
    pub(super) fn wait(&self, at_most: Option<Duration>) {
        let usual = if self.inotify.is_some() { ANYWAY } else { BLIND };
        let timeout = at_most.unwrap_or(usual).min(usual);
        let Some(inotify) = &self.inotify else { return std::thread::sleep(timeout) };
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::ZERO);
        let mut descriptors = [PollFd::new(inotify.as_fd(), PollFlags::POLLIN)];
        // Interrupted or failed: looking once too often does no harm.
        let _ = poll(&mut descriptors, timeout);
        while inotify.read_events().is_ok_and(|events| !events.is_empty()) {}
    }
}
