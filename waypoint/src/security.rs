//! What may be asked of a service, and through this waypoint: made ready once per change, found for every tunnel.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use mesh_authz::{Connection, asks_for_sni};
use mesh_model::{NamespacedHostname, RequestPolicy, Security, WaypointConfig};
use mesh_state::Snapshot;

use crate::consent::Authorizer;
use crate::hedging::Hedging;
use crate::rate_limits::{Counters, Limit, compile_all};
use crate::reporting::Reporting;
use crate::routes::ServiceRoutes;
use crate::tokens::TokenCheck;
use crate::tunnel::Tunnel;

/// More services than a waypoint serves; past it, what was found is found anew.
const MOST_CACHED: usize = 10_000;

/// Policies and token rules with one target.
#[derive(Debug)]
pub(crate) struct Guard {
    policies: Vec<RequestPolicy>,
    tokens: Vec<TokenCheck>,
    asks_for_sni: bool,
}

impl Guard {
    pub(crate) fn compile(security: &Security) -> Guard {
        Guard {
            policies: security.policies.clone(),
            tokens: security.token_rules.iter().map(TokenCheck::compile).collect(),
            asks_for_sni: asks_for_sni(&security.policies),
        }
    }
}

/// What guards the whole waypoint, who can be asked, and what is told.
#[derive(Debug)]
struct WaypointGuard {
    guard: Guard,
    authorizers: HashMap<Arc<str>, Authorizer>,
    reporting: Reporting,
    forward_client_identity: bool,
    limits: Vec<Limit>,
}

impl WaypointGuard {
    fn compile(config: &WaypointConfig, counters: &Counters) -> WaypointGuard {
        let services = config.authorization_services.iter();
        WaypointGuard {
            guard: Guard::compile(&config.security),
            authorizers: services.map(|it| (it.provider.clone(), Authorizer::new(it))).collect(),
            reporting: Reporting::compile(&config.telemetry),
            forward_client_identity: config.forward_client_identity,
            limits: compile_all(&config.rate_limits, counters),
        }
    }
}

/// What guards the waypoint and its services, as one worker has found it last.
pub(crate) struct GuardCache {
    /// The guard of the whole waypoint. The configuration itself says whether it is still the right one.
    waypoint: Mutex<Option<(Arc<WaypointConfig>, Arc<WaypointGuard>)>>,
    found: Mutex<Found>,
    counters: Arc<Counters>,
}

/// Guards, and the state of the mesh in which they were right. Weak: it only tells whether a state is this one.
type Seen = (Weak<Snapshot>, Arc<Guards>);

#[derive(Default)]
struct Found {
    of_services: HashMap<NamespacedHostname, Seen>,
    /// The same for all that are addressed by themselves.
    of_workloads: Option<Seen>,
}

impl Found {
    fn keep(&mut self, service: Option<&NamespacedHostname>, seen: Seen) {
        let Some(key) = service else {
            self.of_workloads = Some(seen);
            return;
        };
        if self.of_services.len() >= MOST_CACHED {
            self.of_services.clear();
        }
        self.of_services.insert(key.clone(), seen);
    }
}

impl GuardCache {
    pub(crate) fn new(counters: Arc<Counters>) -> GuardCache {
        GuardCache { waypoint: Mutex::default(), found: Mutex::default(), counters }
    }

    fn find(&self, config: &Arc<WaypointConfig>) -> Arc<WaypointGuard> {
        let mut cached = self.waypoint.lock().unwrap_or_else(PoisonError::into_inner);
        match &*cached {
            Some((known, guard)) if Arc::ptr_eq(known, config) => guard.clone(),
            _ => {
                let guard = Arc::new(WaypointGuard::compile(config, &self.counters));
                *cached = Some((config.clone(), guard.clone()));
                guard
            }
        }
    }
}

/// Everything that guards what comes through a tunnel.
pub(crate) struct Guards {
    waypoint: Arc<WaypointGuard>,
    service: Option<Arc<ServiceRoutes>>,
}

impl Guards {
    /// Those of a tunnel now; none while the controller has not told what holds for this waypoint. What nobody has
    /// judged must not pass.
    pub(crate) fn find(tunnel: &Tunnel) -> Option<Arc<Guards>> {
        let (reader, cache) = (&tunnel.worker.reader, &tunnel.worker.guards);
        let service = tunnel.plan.service().map(|service| &service.key);
        let mut known = cache.found.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match service {
            Some(key) => known.of_services.get(key),
            None => known.of_workloads.as_ref(),
        };
        if let Some((seen, guards)) = found
            && reader.is_current(seen)
        {
            return Some(guards.clone());
        }
        let snapshot = reader.snapshot();
        let guards = Arc::new(Guards::find_in(&snapshot, tunnel)?);
        known.keep(service, (Arc::downgrade(&snapshot), guards.clone()));
        Some(guards)
    }

    fn find_in(snapshot: &Snapshot, tunnel: &Tunnel) -> Option<Guards> {
        let worker = &tunnel.worker;
        let config = snapshot.waypoint_config(&worker.me.gateway)?;
        let service = tunnel.plan.service().and_then(|service| snapshot.service_config(&service.key));
        Some(Guards {
            waypoint: worker.guards.find(&config),
            service: service.map(|config| worker.routes.find(&config)),
        })
    }

    /// Where the requests of the tunnel's service go, as of the same moment; none if it has no configuration.
    pub(crate) fn routes(&self) -> Option<&ServiceRoutes> {
        self.service.as_deref()
    }

    /// Whether requests to a port of the tunnel's service may come as gRPC-web.
    pub(crate) fn speaks_grpc_web(&self, service_port: u16) -> bool {
        self.routes().is_some_and(|routes| routes.grpc_web_ports.contains(&service_port))
    }

    /// Whether requests that a rule takes may be sent twice, and when.
    pub(crate) fn find_hedging(&self, rule: &str) -> Option<&Hedging> {
        self.service.as_deref()?.hedges.find(rule)
    }

    /// What is told of requests, as of the same moment.
    pub(crate) fn reporting(&self) -> &Reporting {
        let of_service = self.service.as_deref().and_then(|routes| routes.reporting.as_ref());
        of_service.unwrap_or(&self.waypoint.reporting)
    }

    /// Whether backends are told who the client is.
    pub(crate) fn forward_client_identity(&self) -> bool {
        self.waypoint.forward_client_identity
    }

    /// How many requests may pass: through the waypoint, and to the service.
    pub(crate) fn limits(&self) -> impl Iterator<Item = &Limit> {
        self.waypoint.limits.iter().chain(self.service.iter().flat_map(|routes| &routes.limits))
    }

    fn all(&self) -> impl Iterator<Item = &Guard> + Clone {
        [Some(&self.waypoint.guard), self.service.as_deref().map(|routes| &routes.guard)]
            .into_iter()
            .flatten()
    }

    pub(crate) fn policies(&self) -> impl Iterator<Item = &RequestPolicy> + Clone {
        self.all().flat_map(|guard| &guard.policies)
    }

    /// Whom a policy means by the name of a provider.
    pub(crate) fn find_authorizer(&self, provider: &str) -> Option<&Authorizer> {
        self.waypoint.authorizers.get(provider)
    }

    pub(crate) fn tokens(&self) -> impl Iterator<Item = &TokenCheck> + Clone {
        self.all().flat_map(|guard| &guard.tokens)
    }

    /// Whether a policy looks at the name a client asks for by TLS.
    pub(crate) fn ask_for_sni(&self) -> bool {
        self.all().any(|guard| guard.asks_for_sni)
    }
}

/// A tunnel as policies see it. At a waypoint the destination is what the client addressed.
pub(crate) fn connection_of(tunnel: &Tunnel) -> Connection<'_> {
    let mut destination = tunnel.target;
    destination.set_ip(destination.ip().to_canonical());
    Connection {
        source: tunnel.downstream.ip().to_canonical(),
        source_identity: Some(&tunnel.identity),
        destination,
    }
}
