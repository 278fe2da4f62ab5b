//! A resource as it is published.

use std::sync::Arc;

use xxhash_rust::xxh64::xxh64;

/// Who is sent an entry; a [`View`](crate::View) understands the tags.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Audience {
    /// Everyone.
    #[default]
    Everyone,
    /// Those with one of these tags.
    Only(Vec<Arc<str>>),
}

impl Audience {
    /// Whether somebody with this tag belongs to it.
    pub fn includes(&self, tag: &str) -> bool {
        match self {
            Audience::Everyone => true,
            Audience::Only(tags) => tags.iter().any(|known| **known == *tag),
        }
    }
}

/// A resource that is served.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Unique within its type.
    pub name: Arc<str>,
    /// Other names it can be subscribed to by.
    pub aliases: Vec<Arc<str>>,
    /// Names whose subscribers are sent this too: the endpoints of a service
    /// belong to the service. Not sent on the wire.
    pub belongs_to: Vec<Arc<str>>,
    /// Changes exactly when `bytes` do.
    pub version: Arc<str>,
    /// The encoded message.
    pub bytes: Vec<u8>,
    /// Who is sent it.
    pub audience: Audience,
}

/// The version of an encoded message: its hash in hexadecimal.
pub fn version_of(bytes: &[u8]) -> String {
    format!("{:016x}", xxh64(bytes, 0))
}

impl Entry {
    /// An entry without aliases, for everyone.
    pub fn new(name: impl Into<Arc<str>>, message: &impl prost::Message) -> Self {
        let bytes = message.encode_to_vec();
        Entry {
            name: name.into(),
            aliases: Vec::new(),
            belongs_to: Vec::new(),
            version: version_of(&bytes).into(),
            bytes,
            audience: Audience::Everyone,
        }
    }

    /// The names other than its own that lead to it.
    pub(super) fn other_names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.aliases.iter().chain(&self.belongs_to)
    }
}
