//! The backends of a rule, and what their references lead to.

use gateway_api::experimental::httproutes::{
    HttpRouteRules, HttpRouteRulesBackendRefs, HttpRouteRulesBackendRefsFilters, HttpRouteRulesFilters,
    HttpRouteRulesFiltersRequestMirrorBackendRef, HttpRouteRulesFiltersType as FilterType,
};
use mesh_model::{Backend, BackendTarget};

use super::filters::Filters;
use crate::cluster::{Cluster, Name};
use crate::objects::{Kind, ObjectKey};
use crate::resources::problem::{Problem, Reason};

const ISTIO: &str = "networking.istio.io";

/// A reference to a backend, wherever it stands.
pub(in crate::resources) struct Reference<'a> {
    group: Option<&'a str>,
    kind: Option<&'a str>,
    namespace: Option<&'a str>,
    name: &'a str,
    port: Option<i32>,
}

impl<'a> From<&'a HttpRouteRulesBackendRefs> for Reference<'a> {
    fn from(it: &'a HttpRouteRulesBackendRefs) -> Self {
        Reference {
            group: it.group.as_deref(),
            kind: it.kind.as_deref(),
            namespace: it.namespace.as_deref(),
            name: &it.name,
            port: it.port,
        }
    }
}

impl<'a> From<&'a HttpRouteRulesFiltersRequestMirrorBackendRef> for Reference<'a> {
    fn from(it: &'a HttpRouteRulesFiltersRequestMirrorBackendRef) -> Self {
        Reference {
            group: it.group.as_deref(),
            kind: it.kind.as_deref(),
            namespace: it.namespace.as_deref(),
            name: &it.name,
            port: it.port,
        }
    }
}

/// Every reference of a rule.
pub(super) fn references(rule: &HttpRouteRules) -> impl Iterator<Item = Reference<'_>> {
    let backends = rule.backend_refs.iter().flatten();
    let filters = rule.filters.iter().flatten();
    let mirrors = filters.filter_map(|it| it.request_mirror.as_ref());
    backends.map(Reference::from).chain(mirrors.map(|it| Reference::from(&it.backend_ref)))
}

impl<'a> Reference<'a> {
    fn kind(&self) -> (&'a str, &'a str) {
        (self.group.unwrap_or_default(), self.kind.unwrap_or("Service"))
    }

    /// The Service or ServiceEntry it names, if it names one.
    pub(super) fn object(&self, namespace: &str) -> Option<ObjectKey> {
        let kind = match self.kind() {
            ("" | "core", "Service") => Kind::Service,
            (ISTIO, "ServiceEntry") => Kind::ServiceEntry,
            _ => return None,
        };
        Some(ObjectKey::new(kind, self.namespace.unwrap_or(namespace), self.name))
    }

    /// The host it names, if it names no object but a host.
    pub(super) fn hostname(&self) -> Option<&'a str> {
        (self.kind() == (ISTIO, "Hostname")).then_some(self.name)
    }

    /// What it leads to. References into other namespaces need no grant inside the mesh (api.md §4.5).
    pub(in crate::resources) fn resolve(
        &self,
        cluster: &Cluster,
        namespace: &str,
    ) -> Result<BackendTarget, (Reason, String)> {
        let not_found = |message| Err((Reason::BackendNotFound, message));
        let service = if let Some(hostname) = self.hostname() {
            match cluster.resolve_hostname(namespace, hostname) {
                Some(service) => service,
                None => return not_found(format!("there is no service for host {hostname:?}")),
            }
        } else if let Some(key) = self.object(namespace) {
            let object = cluster.find_service_object(&key);
            // The hosts of a ServiceEntry have the same endpoints and ports; the first stands for all.
            let first = object.and_then(|object| cluster.services_of(object).into_iter().next());
            match first.and_then(|key| cluster.find_service(&key)) {
                Some(service) => service,
                None if object.is_some() => {
                    return not_found(format!("no host of {key} has effect; see its status"));
                }
                None => return not_found(format!("there is no {key}")),
            }
        } else {
            let (group, kind) = self.kind();
            let message = format!(
                "{kind} of group {group:?} cannot be a backend; use a Service, ServiceEntry or Hostname"
            );
            return Err((Reason::InvalidKind, message));
        };
        let object = service.object.key();
        let Some(port) = self.port else {
            return not_found(format!("a port of {object} has to be given"));
        };
        match service.object.ports().iter().find(|it| i32::from(it.number) == port) {
            Some(port) => {
                Ok(BackendTarget::Service { service: service.key, port: port.number, subset: None })
            }
            None => not_found(format!("{object} has no TCP port {port}")),
        }
    }
}

/// The backends of a rule. What cannot be used answers its share of requests with 500; a rule
/// without any backend answers all of them so (GW-40).
pub(super) fn all(
    cluster: &Cluster,
    route: &Name,
    rule: &HttpRouteRules,
    path: &str,
    problems: &mut Vec<Problem>,
) -> Vec<Backend> {
    let written = rule.backend_refs.as_deref().unwrap_or_default().iter().enumerate();
    let backends = written.map(|(at, reference)| {
        one(cluster, &route.namespace, reference, &format!("{path}.backendRefs[{at}]"), problems)
    });
    backends.collect()
}

fn one(
    cluster: &Cluster,
    namespace: &str,
    written: &HttpRouteRulesBackendRefs,
    path: &str,
    problems: &mut Vec<Problem>,
) -> Backend {
    let listed: Vec<_> = written.filters.iter().flatten().filter_map(as_rule_filter).collect();
    let (changes, others): (Vec<_>, Vec<_>) = listed.into_iter().partition(changes_headers);
    let mut filters = Filters::translate(cluster, namespace, &changes, path, problems);
    for filter in &others {
        let message =
            format!("{:?} is not possible for a single backend; its requests get status 500", filter.r#type);
        problems.push(Problem::new(format!("{path}.filters"), Reason::InvalidFilter, message));
        filters.unusable = true;
    }
    let target = match Reference::from(written).resolve(cluster, namespace) {
        Ok(target) if !filters.unusable => target,
        Ok(_) => BackendTarget::Invalid { status: 500 },
        Err((reason, message)) => {
            let message = format!("{message}; its requests get status 500");
            problems.push(Problem::new(path, reason, message));
            BackendTarget::Invalid { status: 500 }
        }
    };
    Backend {
        target,
        weight: written.weight.map_or(1, |weight| u32::try_from(weight).unwrap_or(0)),
        request_headers: filters.request_headers,
        response_headers: filters.response_headers,
    }
}

fn changes_headers(filter: &HttpRouteRulesFilters) -> bool {
    matches!(filter.r#type, FilterType::RequestHeaderModifier | FilterType::ResponseHeaderModifier)
}

/// The bindings have the same type twice, once for filters of a rule and once for filters of a backend.
fn as_rule_filter(filter: &HttpRouteRulesBackendRefsFilters) -> Option<HttpRouteRulesFilters> {
    serde_json::from_value(serde_json::to_value(filter).ok()?).ok()
}
