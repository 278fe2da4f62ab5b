//! Fields that need not be sent again: the static table (RFC 7541 Appendix A) and
//! what a peer wants remembered (§2.3.2), within a size it cannot exceed.

use std::collections::VecDeque;

/// Each entry costs this much more than its strings (RFC 7541 §4.1).
const OVERHEAD: usize = 32;

/// Numbered from 1.
pub(super) const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

pub(super) fn find_static(index: usize) -> Option<(&'static [u8], &'static [u8])> {
    let (name, value) = STATIC.get(index.checked_sub(1)?)?;
    Some((name.as_bytes(), value.as_bytes()))
}

type Entry = (Box<[u8]>, Box<[u8]>);

/// The newest entry comes first.
#[derive(Debug)]
pub(super) struct Table {
    entries: VecDeque<Entry>,
    size: usize,
    limit: usize,
}

impl Table {
    pub(super) fn new(limit: usize) -> Self {
        Table { entries: VecDeque::new(), size: 0, limit }
    }

    pub(super) fn limit(&mut self, limit: usize) {
        self.limit = limit;
        self.evict(limit);
    }

    /// The numbers go on where the static table ends.
    pub(super) fn find(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let (name, value) = self.entries.get(index.checked_sub(STATIC.len() + 1)?)?;
        Some((name, value))
    }

    /// One that is larger than the table empties it (RFC 7541 §4.4).
    pub(super) fn insert(&mut self, entry: Entry) {
        let size = cost(&entry);
        self.evict(self.limit.saturating_sub(size));
        if size <= self.limit {
            self.size += size;
            self.entries.push_front(entry);
        }
    }

    fn evict(&mut self, down_to: usize) {
        while self.size > down_to
            && let Some(oldest) = self.entries.pop_back()
        {
            self.size -= cost(&oldest);
        }
    }
}

fn cost((name, value): &Entry) -> usize {
    name.len() + value.len() + OVERHEAD
}
