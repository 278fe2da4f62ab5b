//! What governs the requests to a service, compiled once per change of its configuration.

mod condition;
mod pattern;
mod rule;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use mesh_model::{NamespacedHostname, PortConfig, ServiceConfig};

pub(crate) use condition::{SCHEME, Subject, authority_of};
pub(crate) use pattern::{PathMatched, compile_regex};
pub(crate) use rule::{Action, Backend, Destination, Rule};

/// More services than a waypoint serves; past it, the cache starts anew.
const MOST_CACHED: usize = 10_000;

/// The routes of one service.
#[derive(Debug)]
pub(crate) struct ServiceRoutes {
    ports: BTreeMap<u16, PortRoutes>,
}

/// The routes of one service port.
#[derive(Debug)]
struct PortRoutes {
    rules: Vec<Arc<Rule>>,
    governed: bool,
}

/// What the routes say of a request.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// A rule takes it, for so much of its path.
    Rule(Arc<Rule>, PathMatched),
    /// It goes where it was sent.
    Ungoverned,
    /// There are rules, and it is for none of them.
    NoMatch,
}

impl ServiceRoutes {
    pub(crate) fn compile(config: &ServiceConfig) -> ServiceRoutes {
        let compile = |port: &PortConfig| PortRoutes {
            rules: port.http_rules.iter().map(|rule| Arc::new(Rule::compile(rule, &config.key))).collect(),
            governed: port.governed,
        };
        ServiceRoutes { ports: config.ports.iter().map(|(number, port)| (*number, compile(port))).collect() }
    }

    /// The first rule that matches. Port 0 speaks for ports without an entry of their own.
    pub(crate) fn judge(&self, subject: Subject<'_>) -> Verdict {
        let port = self.ports.get(&subject.service_port).or_else(|| self.ports.get(&0));
        let Some(port) = port else { return Verdict::Ungoverned };
        let first = port.rules.iter().find_map(|rule| Some((rule, rule.matches(subject)?)));
        match first {
            Some((rule, path)) => Verdict::Rule(rule.clone(), path),
            None if port.governed => Verdict::NoMatch,
            None => Verdict::Ungoverned,
        }
    }
}

/// Compiled routes by service. The configuration itself says whether they are still the right ones.
#[derive(Debug, Default)]
pub(crate) struct RouteCache {
    services: Mutex<HashMap<NamespacedHostname, Cached>>,
}

#[derive(Debug)]
struct Cached {
    config: Arc<ServiceConfig>,
    routes: Arc<ServiceRoutes>,
}

impl RouteCache {
    /// The routes of a configuration, compiled now if they are not known yet.
    pub(crate) fn find(&self, config: &Arc<ServiceConfig>) -> Arc<ServiceRoutes> {
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        match services.get(&config.key) {
            Some(cached) if Arc::ptr_eq(&cached.config, config) => cached.routes.clone(),
            _ => {
                if services.len() >= MOST_CACHED {
                    services.clear();
                }
                let routes = Arc::new(ServiceRoutes::compile(config));
                let cached = Cached { config: config.clone(), routes: routes.clone() };
                services.insert(config.key.clone(), cached);
                routes
            }
        }
    }
}

#[cfg(test)]
mod tests;
