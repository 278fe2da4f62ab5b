//! Keys made once for an endpoint and its terms, and found again for the requests that follow.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use mesh_state::Endpoint;

use super::Version;
use super::key::Key;
use crate::upstream::{Hop, Terms};

/// More endpoints than one worker speaks to; past it, the keys are made anew.
const MOST: usize = 10_000;

/// The keys of one worker, by where their endpoints are in memory, and whether they are spoken to in the open.
#[derive(Default)]
pub(super) struct Keys(Mutex<HashMap<(usize, bool), Made>>);

struct Made {
    /// Held, so that its address is nobody else's.
    endpoint: Arc<Endpoint>,
    terms: Option<Arc<Terms>>,
    http1: Option<Arc<Key>>,
    http2: Option<Arc<Key>>,
}

impl Keys {
    /// The key of a hop.
    pub(super) fn find(&self, hop: &Hop<'_>, version: Version) -> Arc<Key> {
        let make = || Arc::new(Key::of(hop, version));
        // What depends on the request as well is not worth keeping, nor what was made for this request alone.
        let depends = hop.terms.is_some_and(|terms| terms.tls.is_some() || terms.proxy_protocol.is_some());
        if depends || Arc::strong_count(hop.endpoint) == 1 {
            return make();
        }
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if made.len() >= MOST {
            made.clear();
        }
        let known =
            made.entry((Arc::as_ptr(hop.endpoint) as usize, hop.open)).or_insert_with(|| Made::of(hop));
        if known.terms.as_ref().map(Arc::as_ptr) != hop.terms.map(Arc::as_ptr) {
            *known = Made::of(hop);
        }
        let place = match version {
            Version::Http1 => &mut known.http1,
            Version::Http2 => &mut known.http2,
        };
        place.get_or_insert_with(make).clone()
    }

    /// Lets go of endpoints that nobody else knows any more.
    pub(super) fn sweep(&self) {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|_, made| Arc::strong_count(&made.endpoint) > 1);
    }
}

impl Made {
    fn of(hop: &Hop<'_>) -> Made {
        Made { endpoint: hop.endpoint.clone(), terms: hop.terms.cloned(), http1: None, http2: None }
    }
}
