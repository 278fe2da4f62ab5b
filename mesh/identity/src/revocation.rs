//! Certificates that were taken back (ID-14…20): the lists a proxy goes by, and the
//! check of one connection's peer, which goes on for as long as the connection lives.

mod file;
mod lists;
mod path;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use mesh_model::Identity;
use rustls::RootCertStore;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::sync::watch;
use webpki::KeyUsage;

pub use file::RevocationFile;
pub use lists::{InvalidList, RevocationLists};
use path::Path;

use crate::tls::{PeerError, identity_of};

/// The lists in force; clones share them.
#[derive(Clone, Debug)]
pub struct Revocations {
    lists: watch::Sender<Arc<RevocationLists>>,
}

impl Default for Revocations {
    fn default() -> Self {
        Self::new()
    }
}

impl Revocations {
    /// No list: nothing is revoked.
    pub fn new() -> Self {
        Revocations { lists: watch::Sender::default() }
    }

    /// Other lists from now on, for open connections too.
    pub fn replace(&self, lists: RevocationLists) {
        self.lists.send_replace(Arc::new(lists));
    }

    /// The check of one connection, to be made before its handshake: no list that
    /// comes in between is missed (ID-18).
    pub fn check(&self) -> PeerCheck {
        PeerCheck { inner: Arc::new(Inner { lists: self.lists.subscribe(), seen: OnceLock::new() }) }
    }
}

/// The check of one connection's peer. Clones are the same check.
#[derive(Clone, Debug)]
pub struct PeerCheck {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    lists: watch::Receiver<Arc<RevocationLists>>,
    /// What the handshake showed.
    seen: OnceLock<Seen>,
}

/// Whom a handshake showed.
#[derive(Debug)]
enum Seen {
    /// The peer, and the certificates that vouch for it.
    Peer(Identity, Path),
    /// What vouches for the peer could not be followed; it is believed all the same (ID-20).
    Untracked,
}

/// What a check needs of a handshake.
pub(crate) struct Presented<'a> {
    pub(crate) end_entity: &'a CertificateDer<'a>,
    pub(crate) intermediates: &'a [CertificateDer<'a>],
    pub(crate) trusted: &'a RootCertStore,
    pub(crate) algorithms: WebPkiSupportedAlgorithms,
    pub(crate) now: UnixTime,
    pub(crate) usage: KeyUsage,
}

impl PeerCheck {
    /// Refuses a peer of which a certificate on the way to the root is revoked. For
    /// a chain that was verified already: this asks about revocation alone.
    pub(crate) fn judge(&self, presented: &Presented<'_>) -> Result<(), PeerError> {
        let identity = identity_of(presented.end_entity)?;
        let lists = Arc::clone(&self.inner.lists.borrow());
        let seen = match path::find(presented, &lists) {
            Ok(path) => Seen::Peer(identity, path),
            Err(path::NoPath::Revoked(serial)) => {
                return Err(PeerError::Revoked { found: identity, serial });
            }
            Err(path::NoPath::Untracked(reason)) => {
                tracing::warn!(%identity, %reason, "revocation lists do not reach this peer");
                Seen::Untracked
            }
        };
        // A handshake verifies once; were it to do so again, the first answer would stand.
        let _ = self.inner.seen.set(seen);
        Ok(())
    }

    /// Whether the peer was believed although lists cannot be held against it.
    pub fn is_untracked(&self) -> bool {
        matches!(self.inner.seen.get(), Some(Seen::Untracked))
    }

    /// Waits until a list comes that revokes the peer. Says nothing of a peer that
    /// has shown nothing yet: its handshake goes by the lists of its moment.
    pub fn revoked(&self) -> impl Future<Output = PeerError> + Send + 'static {
        let check = self.clone();
        // The clone has seen what `check` has: nothing, since before the handshake.
        let mut lists = self.inner.lists.clone();
        async move {
            loop {
                if lists.changed().await.is_err() {
                    // There will be no other list.
                    return std::future::pending().await;
                }
                let current = Arc::clone(&lists.borrow_and_update());
                if let Some(Seen::Peer(found, path)) = check.inner.seen.get()
                    && let Some(serial) = current.find_revoked(path)
                {
                    return PeerError::Revoked { found: found.clone(), serial };
                }
            }
        }
    }
}
