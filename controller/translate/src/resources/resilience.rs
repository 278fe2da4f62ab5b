//! ResiliencePolicies: how the endpoints of a service are asked how they are, and which requests to it may be sent
//! twice. Of several policies for one target the oldest decides; a rule's goes before its route's, and a route's before
//! the service's.

mod convert;

use mesh_model::{HealthCheck, HedgedRequests, PortConfig, SmallMap};

use super::rate_limit::{LimitTarget, place, target as any_target};
use crate::cluster::{Cluster, Kept, Name, ServiceObject};
use crate::objects::{Kind, ObjectKey, RateLimitTarget, ResiliencePolicySpec, ResilienceTarget};

pub(crate) use convert::{convert_check, convert_hedging};

type Policy<'a> = (&'a Name, &'a Kept<ResiliencePolicySpec>);

/// What a policy says about one service.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Resilience {
    pub(super) health_check: Option<HealthCheck>,
    pub(super) hedging: Vec<HedgedRequests>,
}

/// The Service, ServiceEntry or route that a policy's reference names, whether it exists or not; or why it can name
/// nothing.
pub(crate) fn target(
    cluster: &Cluster,
    policy: &Name,
    reference: &ResilienceTarget,
) -> Result<ObjectKey, String> {
    let ResilienceTarget { group, kind, name, section_name } = reference.clone();
    let asked = RateLimitTarget { group, kind, name, section_name };
    let unusable = || {
        let (group, kind) = (&reference.group, &reference.kind);
        Err(format!(
            "{kind} of group {group:?} cannot be targeted; use a Service, a ServiceEntry, an HTTPRoute or a \
             VirtualService"
        ))
    };
    match any_target(cluster, policy, &asked) {
        Ok(LimitTarget::Object(_)) if reference.section_name.is_some() => {
            Err(format!("a {} is taken as a whole; leave sectionName out", reference.kind))
        }
        Ok(LimitTarget::Route(key)) if key.kind == Kind::GrpcRoute => {
            Err("calls of gRPC are never sent twice: nothing tells which of them only read; use an HTTPRoute"
                .to_owned())
        }
        Ok(LimitTarget::Object(key) | LimitTarget::Route(key)) => Ok(key),
        Ok(LimitTarget::Gateway(_) | LimitTarget::Class(_)) | Err(_) => unusable(),
    }
}

/// The policy that decides about a target: the oldest of those that name it.
pub(crate) fn deciding<'a>(
    cluster: &'a Cluster,
    key: &ObjectKey,
    section: Option<&str>,
) -> Option<Policy<'a>> {
    let names = |(at, object): &Policy<'a>| {
        let mut targets = object.spec.target_refs.iter();
        targets.any(|it| it.section_name.as_deref() == section && target(cluster, at, it).as_ref() == Ok(key))
    };
    let policies = cluster.resilience_policies.in_namespace(&key.namespace).filter(names);
    policies.min_by_key(|(at, object)| (object.facts.created, *at))
}

/// What holds for an object that stands for services, one of which has this host name, and whose ports have these
/// rules.
pub(super) fn of_object(
    cluster: &Cluster,
    object: ServiceObject<'_>,
    hostname: &str,
    ports: &SmallMap<u16, PortConfig>,
) -> Resilience {
    if cluster.resilience_policies.is_empty() {
        return Resilience::default();
    }
    let whole = deciding(cluster, &object.key(), None).map(|(_, policy)| &policy.spec);
    let health_check = whole.and_then(|spec| {
        let check = spec.health_check.as_ref()?;
        convert_check(check, hostname, object.ports().iter().map(|port| port.number)).ok()
    });
    let mut hedging = of_rules(cluster, ports);
    let of_whole = whole.and_then(|spec| convert_hedging(spec.hedging.as_ref()?).ok());
    hedging.extend(of_whole.map(|hedging| HedgedRequests { rules: Vec::new(), hedging }));
    Resilience { health_check, hedging }
}

/// What policies say about rules of routes, those for single rules first.
fn of_rules(cluster: &Cluster, ports: &SmallMap<u16, PortConfig>) -> Vec<HedgedRequests> {
    let mut rules: Vec<_> = ports.values().flat_map(|port| &port.http_rules).map(|rule| &rule.name).collect();
    rules.sort_unstable();
    rules.dedup();
    let (mut of_sections, mut of_routes) = (Vec::new(), Vec::new());
    for (at, policy) in cluster.resilience_policies.iter() {
        let Some(Ok(hedging)) = policy.spec.hedging.as_ref().map(convert_hedging) else { continue };
        for reference in &policy.spec.target_refs {
            let section = reference.section_name.as_deref();
            let Ok(key) = target(cluster, at, reference) else { continue };
            let decides = || deciding(cluster, &key, section).is_some_and(|(decider, _)| decider == at);
            if !matches!(key.kind, Kind::HttpRoute | Kind::VirtualService) || !decides() {
                continue;
            }
            // What a rule is called begins with what its route is called.
            let (exact, prefix) = (place(&key, section), format!("{}/", place(&key, None)));
            let is_its = |name: &str| match section {
                Some(_) => name == exact,
                None => name.starts_with(&prefix),
            };
            let its: Vec<_> = rules.iter().filter(|name| is_its(name)).map(|name| (*name).clone()).collect();
            if !its.is_empty() {
                let found = if section.is_some() { &mut of_sections } else { &mut of_routes };
                found.push(HedgedRequests { rules: its, hedging });
            }
        }
    }
    of_sections.append(&mut of_routes);
    of_sections
}
