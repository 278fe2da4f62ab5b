//! RateLimitPolicies: the limits that hold for a service, for its routes, and for everything that goes through a
//! waypoint. All of them hold; none takes the place of another.

mod convert;
mod targets;

use mesh_model::{PortConfig, RateLimit, SmallMap};

use crate::cluster::{Cluster, Kept, Name, ServiceObject};
use crate::objects::RateLimitPolicySpec;

pub(super) use convert::place;
pub(crate) use convert::{Conversion, convert, counting_hosts};
pub(crate) use targets::{LimitTarget, target};

/// What holds for an object that stands for services, whose ports have these rules.
pub(super) fn of_object(
    cluster: &Cluster,
    object: ServiceObject<'_>,
    ports: &SmallMap<u16, PortConfig>,
) -> Vec<RateLimit> {
    let key = object.key();
    let mut rules: Vec<_> = ports.values().flat_map(|port| &port.http_rules).map(|rule| &rule.name).collect();
    rules.sort_unstable();
    rules.dedup();
    let mut limits = Vec::new();
    for (at, policy) in cluster.rate_limit_policies.iter() {
        for reference in &policy.spec.target_refs {
            let section = reference.section_name.as_deref();
            match target(cluster, at, reference) {
                Ok(LimitTarget::Object(named)) if named == key => {
                    let mut numbers = Vec::new();
                    if let Some(section) = section {
                        let named = |name: &Option<_>| name.as_deref() == Some(section);
                        let Some(port) = object.ports().iter().find(|port| named(&port.name)) else {
                            continue;
                        };
                        numbers.push(port.number);
                    }
                    let place = convert::place(&named, section);
                    let with_ports = |limit| RateLimit { ports: numbers.clone(), ..limit };
                    limits.extend(usable(cluster, at, policy, &place).map(with_ports));
                }
                Ok(LimitTarget::Route(route)) => {
                    let place = convert::place(&route, section);
                    // What a rule is called begins with what its route is called.
                    let (exact, prefix) = (place.clone(), format!("{place}/"));
                    let is_its = |name: &str| match section {
                        Some(_) => name == exact,
                        None => name.starts_with(&prefix),
                    };
                    let its: Vec<_> =
                        rules.iter().filter(|name| is_its(name)).map(|name| (*name).clone()).collect();
                    if !its.is_empty() {
                        let with_rules = |limit| RateLimit { rules: its.clone(), ..limit };
                        limits.extend(usable(cluster, at, policy, &place).map(with_rules));
                    }
                }
                _ => {}
            }
        }
    }
    limits
}

/// What holds for everything that goes through a waypoint of a class.
pub(super) fn of_waypoint(cluster: &Cluster, gateway: &Name, class: &str) -> Vec<RateLimit> {
    let mut limits = Vec::new();
    for (at, policy) in cluster.rate_limit_policies.iter() {
        for reference in policy.spec.target_refs.iter().filter(|it| it.section_name.is_none()) {
            let place = match target(cluster, at, reference) {
                Ok(LimitTarget::Gateway(named)) if named == *gateway => format!("Gateway/{gateway}"),
                Ok(LimitTarget::Class(named)) if named == class => format!("GatewayClass/{named}"),
                _ => continue,
            };
            limits.extend(usable(cluster, at, policy, &place));
        }
    }
    limits
}

fn usable<'a>(
    cluster: &'a Cluster,
    at: &'a Name,
    policy: &'a Kept<RateLimitPolicySpec>,
    place: &'a str,
) -> impl Iterator<Item = RateLimit> + 'a {
    convert(cluster, at, &policy.spec, place).limits.into_iter()
}
