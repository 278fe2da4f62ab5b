//! Questions the mesh does not answer: from the cache, or together with whoever asks the same
//! just now, or from another server.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use hickory_proto::op::Message;
use tokio::time::Instant;

use super::cache::{Cache, Key};
use super::message::encode;
use super::upstream::{AskError, Upstream};

type Outcome = Result<Arc<[u8]>, Arc<AskError>>;
type Asking = BoxFuture<'static, Outcome>;

/// Asks for one pod. What one pod is told is kept from all others: they may not reach the same
/// servers, and a pod that may forge packets in its own network deceives but itself.
pub(crate) struct Forwarder {
    upstream: Upstream,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    cache: Cache,
    under_way: HashMap<Key, WeakShared<Asking>>,
}

impl Forwarder {
    pub(crate) fn new(upstream: Upstream) -> Arc<Self> {
        Arc::new(Forwarder { upstream, state: Mutex::default() })
    }

    /// Who is asked, and from where.
    pub(super) fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// The reply if it is known already. Its id is not the client's.
    pub(super) fn find(&self, query: &Message) -> Option<Vec<u8>> {
        let key = key_of(query);
        let kept = self.lock().cache.find(&key, Instant::now())?;
        Some(encode(&kept))
    }

    /// The reply to a query, whose id does not matter.
    pub(super) async fn ask(self: &Arc<Self>, query: Message) -> Result<Vec<u8>, Arc<AskError>> {
        if let Some(known) = self.find(&query) {
            return Ok(known);
        }
        Ok(self.join(query).await?.to_vec())
    }

    /// The one conversation about this query. Whoever is in it drives it; when all have left, it ends.
    fn join(self: &Arc<Self>, query: Message) -> Shared<Asking> {
        let key = key_of(&query);
        let mut state = self.lock();
        if let Some(asking) = state.under_way.get(&key).and_then(WeakShared::upgrade) {
            return asking;
        }
        let (this, own) = (Arc::clone(self), Arc::clone(&key));
        let asking = async move {
            let outcome = this.upstream.ask(&query).await;
            let mut state = this.lock();
            state.under_way.remove(&own);
            if let Ok(bytes) = &outcome {
                state.cache.keep(own, bytes, Instant::now());
            }
            outcome.map(Arc::from).map_err(Arc::new)
        };
        let asking = asking.boxed().shared();
        // Those that everybody has left do not take themselves out.
        state.under_way.retain(|_, asking| asking.upgrade().is_some());
        if let Some(weak) = asking.downgrade() {
            state.under_way.insert(key, weak);
        }
        asking
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is whole before anything can fail.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything but the id.
fn key_of(query: &Message) -> Key {
    encode(query).get(2..).unwrap_or_default().into()
}

#[cfg(test)]
mod tests;
