//! Network namespaces by descriptor, and running code inside one.
//!
//! A namespace belongs to a thread, so what must happen inside one is a closure
//! without an await: the thread cannot be given away in the middle.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use nix::sched::{CloneFlags, setns};
use nix::sys::stat::fstat;

mod kind {
    nix::ioctl_none_bad!(
        /// The `CLONE_NEW*` flag of the namespace behind a descriptor (linux/nsfs.h: `_IO(0xb7, 0x3)`).
        namespace_type,
        nix::request_code_none!(0xb7, 0x3)
    );
}

thread_local! {
    /// Where [`Namespace::run`] has found or brought this thread: opening it anew costs more than a
    /// connection's other looks at its namespace. Threads of ours go nowhere by other ways.
    static HERE: RefCell<Option<Namespace>> = const { RefCell::new(None) };
}

/// A network namespace, kept alive by an open descriptor.
#[derive(Clone, Debug)]
pub struct Namespace {
    descriptor: Arc<OwnedFd>,
    /// Device and inode; two descriptors of one namespace share them.
    identity: (u64, u64),
}

impl Namespace {
    /// Takes over a descriptor, which must be one of a network namespace.
    pub fn from_fd(descriptor: OwnedFd) -> io::Result<Self> {
        // SAFETY: the request takes no argument and the descriptor is open, being owned.
        let kind = unsafe { kind::namespace_type(descriptor.as_raw_fd()) };
        if kind != Ok(CloneFlags::CLONE_NEWNET.bits()) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "descriptor is not a network namespace: pass one opened from /proc/<pid>/ns/net or /run/netns",
            ));
        }
        let stat = fstat(&descriptor)?;
        Ok(Self { descriptor: Arc::new(descriptor), identity: (stat.st_dev, stat.st_ino) })
    }

    /// Opens a namespace by path, such as `/run/netns/<name>` or `/proc/<pid>/ns/net`.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let file = File::open(path).map_err(named)?;
        Self::from_fd(file.into()).map_err(named)
    }

    /// The namespace the calling thread is in.
    pub fn current() -> io::Result<Self> {
        Self::open("/proc/thread-self/ns/net")
    }

    /// The namespace's inode: what tells two namespaces of one machine apart.
    pub fn inode(&self) -> u64 {
        self.identity.1
    }

    /// Runs `f` with the calling thread inside this namespace and comes back.
    ///
    /// Sockets made by `f` stay in the namespace. The process is aborted if the
    /// thread cannot come back: it would go on working in a foreign network.
    pub fn run<T>(&self, f: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let home = match HERE.with_borrow(Clone::clone) {
            Some(home) => home,
            None => Self::current()?,
        };
        if home == *self {
            return f();
        }
        setns(&self.descriptor, CloneFlags::CLONE_NEWNET)?;
        HERE.set(Some(self.clone()));
        let _way_back = WayBack(home);
        f()
    }
}

impl PartialEq for Namespace {
    fn eq(&self, other: &Self) -> bool {
        self.identity == other.identity
    }
}

impl Eq for Namespace {}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Returns the thread to where it came from, also when the closure panics.
struct WayBack(Namespace);

impl Drop for WayBack {
    fn drop(&mut self) {
        if setns(&self.0, CloneFlags::CLONE_NEWNET).is_err() {
            std::process::abort();
        }
        HERE.set(Some(self.0.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_current_namespace_is_itself_and_running_in_it_needs_no_privilege() {
        let here = Namespace::current().unwrap();
        assert_eq!(here, Namespace::open("/proc/self/ns/net").unwrap());
        assert_ne!(here.inode(), 0);
        assert_eq!(here.run(|| Ok(7)).unwrap(), 7);
    }

    #[test]
    fn cni_20_other_descriptors_are_refused_by_kind() {
        for path in ["/dev/null", "/proc/self/ns/mnt", "/"] {
            let error = Namespace::open(path).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{path}");
            assert!(error.to_string().starts_with(path), "{error}");
        }
        assert_eq!(Namespace::open("/nowhere").unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
