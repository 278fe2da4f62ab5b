//! How endpoints are chosen.

use std::sync::Arc;
use std::time::Duration;

use mesh_model::{
    Choice, ConsistentHash, HashAlgorithm, HashCookie, HashKey, LoadBalancer, LocalityPreference, Warmup,
};

use crate::objects::{self, LoadBalancerSettings, LocalityLoadBalancing, SimpleLoadBalancer};

/// The size of a table of which none is given.
const TABLE_SIZE: u64 = 65_537;

/// `ejects`: endpoints that fail are left out, so that there is something to fail over from.
pub(super) fn translate(written: &LoadBalancerSettings, ejects: bool) -> LoadBalancer {
    let choice = choice(written);
    let warms_up = matches!(choice, Choice::LeastRequest | Choice::RoundRobin);
    LoadBalancer {
        choice,
        locality: locality(written.locality_lb_setting.as_ref(), ejects),
        warmup: warmup(written).filter(|_| warms_up),
    }
}

fn choice(written: &LoadBalancerSettings) -> Choice {
    if let Some(hash) = &written.consistent_hash {
        // Without anything that requests have in common there is nothing to hash.
        return key(hash).map_or(Choice::Random, |key| {
            Choice::ConsistentHash(ConsistentHash { key, algorithm: algorithm(hash) })
        });
    }
    match written.simple.unwrap_or_default() {
        SimpleLoadBalancer::Random => Choice::Random,
        SimpleLoadBalancer::RoundRobin => Choice::RoundRobin,
        SimpleLoadBalancer::Unspecified
        | SimpleLoadBalancer::LeastConn
        | SimpleLoadBalancer::LeastRequest
        | SimpleLoadBalancer::Passthrough => Choice::LeastRequest,
    }
}

fn key(written: &objects::ConsistentHash) -> Option<HashKey> {
    if let Some(name) = &written.http_header_name {
        return Some(HashKey::Header(name.to_ascii_lowercase().into()));
    }
    if let Some(cookie) = &written.http_cookie {
        let attribute = |it: &objects::CookieAttribute| (it.name.as_str().into(), it.value.as_str().into());
        return Some(HashKey::Cookie(HashCookie {
            name: cookie.name.as_str().into(),
            path: cookie.path.as_deref().filter(|path| !path.is_empty()).map(Arc::from),
            ttl: cookie.ttl.map(|ttl| ttl.0),
            attributes: cookie.attributes.iter().map(attribute).collect(),
        }));
    }
    if let Some(name) = &written.http_query_parameter_name {
        return Some(HashKey::QueryParameter(name.as_str().into()));
    }
    (written.use_source_ip == Some(true)).then_some(HashKey::SourceIp)
}

/// Sizes that cannot be have been refused before; the usual ones take their place.
fn algorithm(written: &objects::ConsistentHash) -> HashAlgorithm {
    if let Some(maglev) = written.maglev {
        let size = maglev.table_size.unwrap_or(TABLE_SIZE);
        return HashAlgorithm::maglev(size).unwrap_or(HashAlgorithm::Maglev { table_size: TABLE_SIZE });
    }
    let ring = written.ring_hash.unwrap_or_default();
    let size = ring.minimum_ring_size.or(written.minimum_ring_size);
    size.and_then(|size| HashAlgorithm::ring(size).ok()).unwrap_or_default()
}

/// Shares hold by themselves. Taking over from places nearby is the rule, but needs to know which endpoints fail.
fn locality(written: Option<&LocalityLoadBalancing>, ejects: bool) -> Option<LocalityPreference> {
    let unwritten = LocalityLoadBalancing::default();
    let written = written.unwrap_or(&unwritten);
    if written.enabled == Some(false) || (written.distribute.is_empty() && !ejects) {
        return None;
    }
    let text = |text: &String| Arc::from(text.as_str());
    let distribute = written.distribute.iter().map(|it| {
        let to = it.to.iter().map(|(place, share)| (text(place), *share));
        (text(&it.from), to.collect())
    });
    Some(LocalityPreference {
        distribute: distribute.collect(),
        failover: written.failover.iter().map(|it| (text(&it.from), text(&it.to))).collect(),
        failover_priority: written.failover_priority.iter().map(text).collect(),
    })
}

fn warmup(written: &LoadBalancerSettings) -> Option<Warmup> {
    let settings = written.warmup.unwrap_or_default();
    let duration = settings.duration.or(written.warmup_duration_secs)?.0;
    (duration > Duration::ZERO).then(|| Warmup {
        duration,
        minimum_percent: settings.minimum_percent.unwrap_or(10.0),
        aggression: settings.aggression.unwrap_or(1.0),
    })
}
