//! The socket ztunnels connect to.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen as start, socket};
use tokio::net::UnixListener;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::warn;

use super::{Proxies, connection};

/// At most five connections are accepted a second.
const BETWEEN_ACCEPTS: Duration = Duration::from_millis(200);
/// An upgrade needs two.
const MOST_CONNECTIONS: usize = 8;

/// A listening socket.
pub struct Listener {
    listener: UnixListener,
    path: PathBuf,
}

/// Listens at `path` in place of whoever did before; only the owner may connect.
pub fn listen(path: &Path) -> io::Result<Listener> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let open = || {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket: OwnedFd = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
        bind(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        start(&socket, Backlog::new(8)?)?;
        UnixListener::from_std(socket.into())
    };
    open().map(|listener| Listener { listener, path: path.to_owned() }).map_err(named)
}

impl Listener {
    /// Serves every ztunnel that connects, without an end.
    pub async fn serve(self, proxies: Proxies) {
        // Connections end with the server.
        let mut connections = JoinSet::new();
        loop {
            let accepted = self.listener.accept().await;
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok(_) if connections.len() >= MOST_CONNECTIONS => {
                    warn!("{MOST_CONNECTIONS} ztunnels are connected: another is turned away");
                }
                Ok((socket, _)) => drop(connections.spawn(connection::serve(socket, proxies.clone()))),
                Err(error) => warn!("{}: accepting a ztunnel: {error}", self.path.display()),
            }
            sleep(BETWEEN_ACCEPTS).await;
        }
    }
}
