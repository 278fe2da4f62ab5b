//! Hearing that something in a directory has changed, by inotify.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Something changed in a directory.
pub(crate) struct Changes(AsyncFd<Watch>);

/// An [`Inotify`] as tokio wants it.
struct Watch(Inotify);

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Changes {
    /// Watches the names in `directory` and what is behind them.
    pub(crate) fn watch(directory: &Path) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let events = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF;
        inotify.add_watch(directory, events)?;
        // SAFETY: the inotify descriptor is open, is the same at every call, and closes with its owner.
        let watch = unsafe { AsyncFd::register_with_interest(Watch(inotify), Interest::READABLE) };
        Ok(Self(watch.map_err(|refused| refused.into_parts().1)?))
    }

    /// Waits for a change, and takes all that happened until now as one.
    pub(crate) async fn wait(&self) -> io::Result<()> {
        loop {
            let mut ready = self.0.readable().await?;
            let mut changed = false;
            loop {
                match self.0.get_ref().0.read_events() {
                    Ok(_) => changed = true,
                    Err(Errno::EAGAIN) => break,
                    Err(error) => return Err(error.into()),
                }
            }
            ready.clear_ready();
            if changed {
                return Ok(());
            }
        }
    }
}
