//! What connections must have in common to take each other's requests.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use mesh_model::{Http2Keepalive, Identity, TcpKeepalive, UpstreamTls};

use super::Version;
use crate::upstream::limits::Counts;
use crate::upstream::{Client, Hop, Terms};

/// A connection that nobody used for so long is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Requests at the same time on one HTTP/2 connection.
const MOST_STREAMS: u32 = 100;

/// What connections must have in common: where they lead, and everything of the service's policy that
/// shapes them, so that a change of it opens new ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// Of all that follows, made once: a key is looked up more often than it is made.
    digest: u64,
    address: SocketAddr,
    hbone: bool,
    accepted: Vec<Identity>,
    version: Version,
    pub(super) bounds: Bounds,
    pub(super) account: Option<Account>,
    tls: Option<Secured>,
    keepalive: Option<TcpKeepalive>,
    /// Whom the connection is for, where the endpoint is told.
    client: Option<(Client, mesh_model::ProxyProtocolVersion)>,
}

/// What one connection may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Bounds {
    /// Unused for so long, it is closed.
    pub(super) idle: Duration,
    /// From its beginning; after that it takes no request any more.
    pub(super) lifetime: Option<Duration>,
    pub(super) most_requests: Option<u32>,
    /// At the same time.
    pub(super) most_streams: u32,
    pub(super) http2_keepalive: Option<Http2Keepalive>,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            idle: IDLE_TIMEOUT,
            lifetime: None,
            most_requests: None,
            most_streams: MOST_STREAMS,
            http2_keepalive: None,
        }
    }
}

impl Bounds {
    fn of(terms: &Terms) -> Bounds {
        let usual = Bounds::default();
        Bounds {
            idle: terms.http.idle_timeout.unwrap_or(usual.idle),
            lifetime: terms.tcp.max_connection_duration,
            most_requests: terms.http.max_requests_per_connection,
            most_streams: terms.http.max_concurrent_streams.unwrap_or(usual.most_streams).max(1),
            http2_keepalive: terms.http.http2_keepalive,
        }
    }
}

/// Where connections are counted. The same counts are the same account.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) counts: Arc<Counts>,
    pub(super) max_connections: Option<u32>,
}

impl PartialEq for Account {
    fn eq(&self, other: &Account) -> bool {
        Arc::ptr_eq(&self.counts, &other.counts) && self.max_connections == other.max_connections
    }
}

impl Eq for Account {}

impl Hash for Account {
    fn hash<H: Hasher>(&self, state: &mut H) {
        ptr::hash(Arc::as_ptr(&self.counts), state);
        self.max_connections.hash(state);
    }
}

/// How TLS is spoken, and whom it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Secured {
    policy: UpstreamTls,
    name: Box<str>,
}

impl Hash for Secured {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Certificates are long, and seldom what makes the difference.
        self.name.hash(state);
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

impl Key {
    pub(super) fn of(hop: &Hop<'_>, version: Version) -> Key {
        let terms = hop.terms.map(|terms| &**terms);
        let tls = terms.and_then(|terms| {
            let tls = terms.tls.as_ref()?;
            Some(Secured { policy: tls.policy().clone(), name: tls.server_name(hop.host(terms)).into() })
        });
        let mut key = Key {
            digest: 0,
            address: hop.endpoint.address,
            hbone: hop.is_tunnelled(),
            accepted: hop.endpoint.accepted.clone(),
            version,
            bounds: terms.map(Bounds::of).unwrap_or_default(),
            account: terms.map(|terms| Account {
                counts: terms.counts.clone(),
                max_connections: terms.tcp.max_connections,
            }),
            tls,
            keepalive: terms.and_then(|terms| terms.tcp.keepalive),
            client: terms.and_then(|terms| Some((hop.client, terms.proxy_protocol?))),
        };
        key.digest = key.digest();
        key
    }

    fn digest(&self) -> u64 {
        let Key { digest: _, address, hbone, accepted, version, bounds, account, tls, keepalive, client } =
            self;
        let mut hasher = DefaultHasher::new();
        (address, hbone, accepted, version, bounds, account, tls, keepalive, client).hash(&mut hasher);
        hasher.finish()
    }

    /// Whether a request may have to wait for another one's connection.
    pub(super) fn is_bounded(&self) -> bool {
        self.account.as_ref().is_some_and(|account| account.max_connections.is_some())
    }
}
