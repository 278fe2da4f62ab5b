//! Which identities the node's pods have: a certificate is fetched when the first
//! pod of an identity appears and forgotten when the last is gone (ID-04, ID-05).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mesh_identity::Store;
use mesh_model::Identity;

/// Counts the pods of each identity.
#[derive(Clone)]
pub(crate) struct Identities {
    store: Store,
    pods: Arc<Mutex<HashMap<Identity, usize>>>,
}

/// A pod's hold on its identity. Dropping it is the event.
pub(crate) struct Lease {
    identity: Identity,
    identities: Identities,
}

impl Identities {
    pub(crate) fn new(store: Store) -> Self {
        Identities { store, pods: Arc::default() }
    }

    pub(crate) fn lease(&self, identity: Identity) -> Lease {
        let mut pods = self.lock();
        let count = pods.entry(identity.clone()).or_default();
        *count += 1;
        if *count == 1 {
            self.store.warm(&identity);
        }
        drop(pods);
        Lease { identity, identities: self.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Identity, usize>> {
        // Every change under the lock is a single step, so a poisoned map is a whole one.
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// There is a certificate for it right now.
    pub(crate) fn is_certified(&self) -> bool {
        self.identities.store.find(&self.identity).is_some()
    }

    /// Waits for its certificate.
    pub(crate) fn certified(&self) -> impl Future<Output = ()> + Send + 'static {
        let (store, identity) = (self.identities.store.clone(), self.identity.clone());
        async move { store.arrival(&identity).await }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut pods = self.identities.lock();
        let Some(count) = pods.get_mut(&self.identity) else { return };
        *count -= 1;
        if *count == 0 {
            pods.remove(&self.identity);
            self.identities.store.forget(&self.identity);
        }
    }
}
