//! The authority in use. It can be exchanged while the controller serves: whoever signs asks for it
//! every time, and whoever depends on it hears of the change.

use std::sync::Arc;

use mesh_identity::authority::Authority;
use tokio::sync::watch;

/// The authority that signs now; clones share it.
#[derive(Clone)]
pub struct CurrentAuthority(Arc<watch::Sender<Arc<Authority>>>);

impl CurrentAuthority {
    /// Begins with this one.
    pub fn new(authority: Authority) -> Self {
        CurrentAuthority(Arc::new(watch::Sender::new(Arc::new(authority))))
    }

    /// The one that signs now.
    pub fn get(&self) -> Arc<Authority> {
        self.0.borrow().clone()
    }

    /// Signs with this one from now on.
    pub fn replace(&self, authority: Authority) {
        self.0.send_replace(Arc::new(authority));
    }

    /// Tells of every exchange; never closed while `self` lives.
    pub fn changes(&self) -> watch::Receiver<Arc<Authority>> {
        self.0.subscribe()
    }
}
