//! Compiled routes, once for all workers: those of a service from its first request on, and those of a changed
//! configuration before any request sees it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use mesh_model::{NamespacedHostname, ServiceConfig};
use mesh_state::{Snapshot, Writer};

use super::ServiceRoutes;
use crate::rate_limits::Counters;
use crate::upstream::Ledger;

/// More services than a waypoint serves; past it, the cache starts anew.
const MOST_CACHED: usize = 10_000;

/// Compiled routes by service. The configuration itself says whether they are still the right ones.
pub(crate) struct RouteCache {
    services: Mutex<HashMap<NamespacedHostname, Cached>>,
    counters: Arc<Counters>,
    ledger: Arc<Ledger>,
}

#[derive(Debug)]
struct Cached {
    config: Arc<ServiceConfig>,
    /// Filled without the lock, so that only those wait for it who need it.
    routes: Arc<OnceLock<Arc<ServiceRoutes>>>,
}

impl RouteCache {
    fn new(counters: Arc<Counters>, ledger: Arc<Ledger>) -> RouteCache {
        RouteCache { services: Mutex::default(), counters, ledger }
    }

    /// One that is up to date with each change before the first request that meets it.
    pub(crate) fn following(
        writer: &Writer,
        counters: Arc<Counters>,
        ledger: Arc<Ledger>,
    ) -> Arc<RouteCache> {
        let cache = Arc::new(RouteCache::new(counters, ledger));
        let made_ready = cache.clone();
        writer.make_ready(move |snapshot| made_ready.renew(snapshot));
        cache
    }

    /// The routes of a configuration, compiled now if they are not known yet.
    pub(crate) fn find(&self, config: &Arc<ServiceConfig>) -> Arc<ServiceRoutes> {
        let routes = self.place(config);
        routes
            .get_or_init(|| Arc::new(ServiceRoutes::with_limits(config, &self.counters, &self.ledger)))
            .clone()
    }

    /// Compiles what has changed of the services that have had requests, and forgets those that are gone. The others
    /// are compiled when somebody asks for them.
    fn renew(&self, snapshot: &Snapshot) {
        let known: Vec<Arc<ServiceConfig>> = {
            let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
            services.retain(|service, _| snapshot.service_config(service).is_some());
            services.values().map(|cached| cached.config.clone()).collect()
        };
        for old in known {
            if let Some(config) =
                snapshot.service_config(&old.key).filter(|config| !Arc::ptr_eq(config, &old))
            {
                self.find(&config);
            }
        }
    }

    /// Where the routes of a configuration are, or will be.
    fn place(&self, config: &Arc<ServiceConfig>) -> Arc<OnceLock<Arc<ServiceRoutes>>> {
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        match services.get(&config.key) {
            Some(cached) if Arc::ptr_eq(&cached.config, config) => cached.routes.clone(),
            _ => {
                if services.len() >= MOST_CACHED {
                    services.clear();
                }
                let cached = Cached { config: config.clone(), routes: Arc::default() };
                let routes = cached.routes.clone();
                services.insert(config.key.clone(), cached);
                routes
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Barrier;
    use std::thread;

    use http::Request;
    use mesh_telemetry::{OverflowMetrics, RateLimitMetrics, Registry};

    use super::*;
    use crate::routes::{Subject, Verdict};
    use crate::tests::samples::{config, rule};

    fn counters() -> Arc<Counters> {
        Arc::new(Counters::new(RateLimitMetrics::new(&Registry::new("waypoint", "test"))))
    }

    fn ledger() -> Arc<Ledger> {
        Arc::new(Ledger::new(OverflowMetrics::new(&Registry::new("waypoint", "test"))))
    }

    fn with_rule(service: &str, name: &str) -> ServiceConfig {
        config(service, vec![rule(name, Vec::new())])
    }

    fn taking(routes: &ServiceRoutes) -> String {
        let (head, ()) = Request::get("/").body(()).unwrap().into_parts();
        let subject = Subject { head: &head, source_namespace: None, service_port: 80, token: None };
        match routes.judge(subject) {
            Verdict::Rule(rule, _) => rule.name.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn routes_are_compiled_once_per_change() {
        let cache = RouteCache::new(counters(), ledger());
        let first = Arc::new(with_rule("web", "a"));
        let compiled = cache.find(&first);
        assert!(Arc::ptr_eq(&compiled, &cache.find(&first)));
        let recompiled = cache.find(&Arc::new(with_rule("web", "b")));
        assert!(!Arc::ptr_eq(&compiled, &recompiled));
        assert_eq!(taking(&recompiled), "b");
    }

    #[test]
    fn workers_that_ask_at_once_get_the_same_routes() {
        let (cache, config, barrier) =
            (RouteCache::new(counters(), ledger()), Arc::new(with_rule("web", "a")), Barrier::new(4));
        let found: HashSet<_> = thread::scope(|scope| {
            let ask = || {
                barrier.wait();
                Arc::as_ptr(&cache.find(&config)).addr()
            };
            let asking: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            asking.into_iter().map(|it| it.join().unwrap()).collect()
        });
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn changed_routes_are_ready_before_a_request_can_see_them() {
        let (writer, reader) = mesh_state::new();
        let cache = RouteCache::following(&writer, counters(), ledger());
        writer.change(|edit| {
            edit.insert_service_config(with_rule("used", "a"));
            edit.insert_service_config(with_rule("unused", "a"));
            edit.insert_service_config(with_rule("gone", "a"));
        });
        let of = |service: &str| reader.snapshot().service_config(&config(service, Vec::new()).key).unwrap();
        cache.find(&of("used"));
        cache.find(&of("gone"));
        writer.change(|edit| {
            edit.insert_service_config(with_rule("used", "b"));
            edit.insert_service_config(with_rule("unused", "b"));
            edit.remove_service_config(&of("gone").key);
        });
        let services = cache.services.lock().unwrap();
        assert_eq!(services.len(), 1, "neither what is gone nor what nobody has asked for");
        let cached = &services[&of("used").key];
        assert!(Arc::ptr_eq(&cached.config, &of("used")));
        assert_eq!(taking(cached.routes.get().expect("compiled by now")), "b");
    }
}
