//! What the fuzz targets reach of the server: one stream's interest in one type.

use std::sync::Arc;

use mesh_proto::discovery::DeltaDiscoveryRequest;

use super::interest::{Delta, Interest};
use super::{Entry, Publisher, View};

/// What a stream is sent: entries, and names that are gone.
pub type Sent = (Vec<Arc<Entry>>, Vec<String>);

/// A stream that wants something of one type.
pub struct Stream {
    type_url: String,
    interest: Interest,
}

impl Stream {
    /// Takes the first request.
    pub fn open(publisher: &Publisher, request: &DeltaDiscoveryRequest) -> (Stream, Sent) {
        let current = publisher.subscribe().borrow().snapshot(&request.type_url);
        let (interest, delta) = Interest::open(request, Arc::new(Everything), current);
        (Stream { type_url: request.type_url.clone(), interest }, sent(delta))
    }

    /// Takes a later one, after what has changed meanwhile, as a session does.
    pub fn take(&mut self, publisher: &Publisher, request: &DeltaDiscoveryRequest) -> Sent {
        let (current, changed) = {
            let catalog = publisher.subscribe();
            let catalog = catalog.borrow();
            let changed = catalog.changed_since(&self.type_url, self.interest.revision());
            (catalog.snapshot(&self.type_url), changed)
        };
        let mut delta = self.interest.advance(current, changed);
        self.interest.resubscribe(request, &mut delta);
        sent(delta)
    }
}

/// A publisher with a log this long.
pub fn publisher(log_length: usize) -> Publisher {
    Publisher::with(log_length, false)
}

fn sent(delta: Delta) -> Sent {
    (delta.send, delta.removed)
}

struct Everything;

impl View for Everything {
    fn sees(&self, _: &str, _: &Entry) -> bool {
        true
    }
}
