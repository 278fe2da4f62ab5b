//! On which terms the endpoints of a service port, or of a subset there, are spoken to:
//! made ready once per change of the service's configuration, found for every request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use mesh_identity::{Origination, Profile};
use mesh_model::{
    HttpLimits, NamespacedHostname, ProxyProtocolVersion, RetryBudget, ServiceConfig, TcpLimits,
    TrafficPolicy, UpstreamVersion,
};
use mesh_net::socket::{Keepalive, SocketOptions};
use mesh_state::{Reader, Snapshot};

use super::limits::{Account, Countable, Counted, Counts, Ledger, Overflow};
use crate::routes::Destination;

/// More services than a waypoint serves; past it, the cache starts anew.
const MOST_CACHED: usize = 10_000;
/// Between two warnings that TLS towards the same backends fails.
const QUIET: Duration = Duration::from_secs(1);

/// The terms of one account.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) tcp: TcpLimits,
    pub(crate) http: HttpLimits,
    pub(crate) version: UpstreamVersion,
    pub(crate) proxy_protocol: Option<ProxyProtocolVersion>,
    pub(crate) tls: Option<Origination>,
    pub(crate) counts: Arc<Counts>,
    retry_budget: Option<RetryBudget>,
    /// What TLS asks for where neither the policy nor a request names a host.
    pub(crate) service: NamespacedHostname,
    warned: Mutex<Option<Instant>>,
}

impl Terms {
    fn compile(policy: &TrafficPolicy, account: Account, ledger: &Ledger, profile: Profile) -> Terms {
        Terms {
            tcp: policy.tcp,
            http: policy.http,
            version: policy.http_version,
            proxy_protocol: policy.proxy_protocol,
            tls: policy.tls.clone().map(|tls| Origination::new(tls, profile)),
            retry_budget: policy.retry_budget,
            service: account.service.clone(),
            counts: ledger.open(account),
            warned: Mutex::default(),
        }
    }

    /// A connection to an endpoint, for as long as it lives.
    pub(crate) fn enter_connection(&self) -> Result<Counted, Overflow> {
        self.counts.enter(Countable::Connections, self.tcp.max_connections)
    }

    /// A request that waits for a connection.
    pub(crate) fn enter_pending(&self) -> Result<Counted, Overflow> {
        self.counts.enter(Countable::PendingRequests, self.http.max_pending_requests)
    }

    /// A request that has a connection, until its response has ended.
    pub(crate) fn enter_request(&self) -> Result<Counted, Overflow> {
        self.counts.enter(Countable::Requests, self.http.max_requests)
    }

    /// One more attempt, from the pause before it until it has brought a response or none. A budget
    /// takes the place of the number.
    pub(crate) fn enter_retry(&self) -> Result<Counted, Overflow> {
        let most = match &self.retry_budget {
            Some(budget) => Some(self.counts.allowed_by(budget)),
            None => self.http.max_retries,
        };
        self.counts.enter(Countable::Retries, most)
    }

    /// How sockets to endpoints are set up.
    pub(crate) fn socket_options(&self) -> SocketOptions {
        let usual = Keepalive::default();
        let asked = self.tcp.keepalive.map(|asked| Keepalive {
            time: asked.time.unwrap_or(usual.time),
            interval: asked.interval.unwrap_or(usual.interval),
            retries: asked.probes.unwrap_or(usual.retries),
        });
        SocketOptions { keepalive: Some(asked.unwrap_or(usual)), ..SocketOptions::plain() }
    }

    /// Whether a failure of TLS is to be told now: many requests fail for the same reason.
    pub(crate) fn may_warn(&self) -> bool {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        let due = warned.is_none_or(|before| before.elapsed() >= QUIET);
        if due {
            *warned = Some(Instant::now());
        }
        due
    }
}

/// Terms by service, port and subset. The configuration itself says whether they are still the right ones.
pub(crate) struct TermsCache {
    ledger: Arc<Ledger>,
    profile: Profile,
    services: Mutex<HashMap<NamespacedHostname, Cached>>,
}

struct Cached {
    config: Arc<ServiceConfig>,
    /// The state of the mesh in which it was right. Weak: it only tells whether a state is this one.
    seen: Weak<Snapshot>,
    /// Few.
    parts: Vec<Part>,
}

/// A port, or a subset there, and its terms; none where no policy speaks of it.
struct Part {
    port: u16,
    subset: Option<Arc<str>>,
    terms: Option<Arc<Terms>>,
}

impl TermsCache {
    pub(crate) fn new(ledger: Arc<Ledger>, profile: Profile) -> TermsCache {
        TermsCache { ledger, profile, services: Mutex::default() }
    }

    /// The terms of a destination; none where no policy speaks of it.
    pub(crate) fn find(&self, reader: &Reader, destination: &Destination) -> Option<Arc<Terms>> {
        let Destination::Service { service, port, subset } = destination else { return None };
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        if services.get(service).is_none_or(|cached| !reader.is_current(&cached.seen)) {
            self.renew(&mut services, &reader.snapshot(), service)?;
        }
        let cached = services.get_mut(service)?;
        let known = cached.parts.iter().find(|part| part.port == *port && part.subset == *subset);
        if let Some(known) = known {
            return known.terms.clone();
        }
        let config = &cached.config;
        let part = subset.as_ref().and_then(|name| config.subsets.iter().find(|part| part.name == *name));
        let terms = config.find_traffic(*port, part).map(|policy| {
            let account = Account { service: service.clone(), port: *port, subset: subset.clone() };
            Arc::new(Terms::compile(policy, account, &self.ledger, self.profile))
        });
        cached.parts.push(Part { port: *port, subset: subset.clone(), terms: terms.clone() });
        terms
    }

    /// Brings up to date what is known of a service; none if nothing is said of it.
    fn renew(
        &self,
        services: &mut HashMap<NamespacedHostname, Cached>,
        snapshot: &Arc<Snapshot>,
        service: &NamespacedHostname,
    ) -> Option<()> {
        let config = snapshot.service_config(service)?;
        let seen = Arc::downgrade(snapshot);
        match services.get_mut(service) {
            Some(cached) if Arc::ptr_eq(&cached.config, &config) => cached.seen = seen,
            _ => {
                if services.len() >= MOST_CACHED && !services.contains_key(service) {
                    services.clear();
                }
                services.insert(service.clone(), Cached { config, seen, parts: Vec::new() });
            }
        }
        Some(())
    }
}
