//! How endpoints are chosen, both ways.

use std::sync::Arc;

use mesh_proto::adit::waypoint::v1 as proto;
use proto::consistent_hash::{Algorithm, Key};
use proto::load_balancer::Choice as Wire;

use crate::codec::DecodeError;
use crate::codec::duration::{decode as decode_duration, decode_positive, encode as encode_duration};
use crate::codec::field::{
    at, each, is_token, known, named, optional, or_empty, percent, percent_of, required,
};
use crate::codec::http_match::header_name;
use crate::{
    Choice, ConsistentHash, HashAlgorithm, HashCookie, HashKey, InvalidHashSize, LoadBalancer,
    LocalityPreference, LocalityShares, Warmup,
};

pub(super) fn decode(wire: proto::LoadBalancer) -> Result<LoadBalancer, DecodeError> {
    let choice = match wire.choice {
        None => Choice::default(),
        Some(Wire::Simple(simple)) => match known("simple", simple)? {
            proto::SimpleChoice::LeastRequest => Choice::LeastRequest,
            proto::SimpleChoice::Random => Choice::Random,
            proto::SimpleChoice::RoundRobin => Choice::RoundRobin,
        },
        Some(Wire::ConsistentHash(wire)) => {
            at("consistent_hash", decode_hash(wire)).map(Choice::ConsistentHash)?
        }
    };
    Ok(LoadBalancer {
        choice,
        locality: at("locality", wire.locality.map(decode_locality).transpose())?,
        warmup: at("warmup", wire.warmup.map(decode_warmup).transpose())?,
    })
}

pub(super) fn encode(balancer: &LoadBalancer) -> Option<proto::LoadBalancer> {
    let simple = |choice: proto::SimpleChoice| Wire::Simple(choice.into());
    (*balancer != LoadBalancer::default()).then(|| proto::LoadBalancer {
        choice: Some(match &balancer.choice {
            Choice::LeastRequest => simple(proto::SimpleChoice::LeastRequest),
            Choice::Random => simple(proto::SimpleChoice::Random),
            Choice::RoundRobin => simple(proto::SimpleChoice::RoundRobin),
            Choice::ConsistentHash(hash) => Wire::ConsistentHash(encode_hash(hash)),
        }),
        locality: balancer.locality.as_ref().map(encode_locality),
        warmup: balancer.warmup.map(|warmup| proto::Warmup {
            duration: Some(encode_duration(warmup.duration)),
            minimum_percent: warmup.minimum_percent,
            aggression: warmup.aggression,
        }),
    })
}

fn decode_hash(wire: proto::ConsistentHash) -> Result<ConsistentHash, DecodeError> {
    let size = |field: &str, made: Result<HashAlgorithm, InvalidHashSize>| {
        made.map_err(|error| DecodeError::new(error.to_string()).within(field))
    };
    Ok(ConsistentHash {
        key: match required("key", wire.key)? {
            Key::Header(name) => HashKey::Header(header_name("header", &name)?.into()),
            Key::Cookie(wire) => at("cookie", decode_cookie(wire)).map(HashKey::Cookie)?,
            Key::SourceIp(true) => HashKey::SourceIp,
            Key::SourceIp(false) => {
                return Err(DecodeError::new("false has no meaning").within("source_ip"));
            }
            Key::QueryParameter(name) => HashKey::QueryParameter(named("query_parameter", &name)?),
        },
        algorithm: match wire.algorithm {
            None => HashAlgorithm::default(),
            Some(Algorithm::RingSize(points)) => size("ring_size", HashAlgorithm::ring(points))?,
            Some(Algorithm::MaglevTableSize(places)) => {
                size("maglev_table_size", HashAlgorithm::maglev(places))?
            }
        },
    })
}

fn encode_hash(hash: &ConsistentHash) -> proto::ConsistentHash {
    let key = match &hash.key {
        HashKey::Header(name) => Key::Header(name.to_string()),
        HashKey::Cookie(cookie) => Key::Cookie(encode_cookie(cookie)),
        HashKey::SourceIp => Key::SourceIp(true),
        HashKey::QueryParameter(name) => Key::QueryParameter(name.to_string()),
    };
    let algorithm = match hash.algorithm {
        HashAlgorithm::Ring { minimum_size } => Algorithm::RingSize(minimum_size),
        HashAlgorithm::Maglev { table_size } => Algorithm::MaglevTableSize(table_size),
    };
    proto::ConsistentHash { key: Some(key), algorithm: Some(algorithm) }
}

fn decode_cookie(wire: proto::HashCookie) -> Result<HashCookie, DecodeError> {
    Ok(HashCookie {
        name: token("name", wire.name)?,
        path: at("path", optional(&wire.path).map(attribute_value).transpose())?,
        ttl: at("ttl", wire.ttl.map(decode_duration).transpose())?,
        attributes: each("attributes", wire.attributes, |wire| {
            Ok((token("name", wire.name)?, at("value", attribute_value(wire.value.into()))?))
        })?,
    })
}

fn encode_cookie(cookie: &HashCookie) -> proto::HashCookie {
    let attribute = |(name, value): &(Arc<str>, Arc<str>)| proto::Header {
        name: name.to_string(),
        value: value.to_string(),
    };
    proto::HashCookie {
        name: cookie.name.to_string(),
        path: or_empty(cookie.path.as_ref()),
        ttl: cookie.ttl.map(encode_duration),
        attributes: cookie.attributes.iter().map(attribute).collect(),
    }
}

fn token(field: &str, text: String) -> Result<Arc<str>, DecodeError> {
    match is_token(&text) {
        true => Ok(text.into()),
        false => Err(DecodeError::new(format!("{text:?} is not a token of HTTP")).within(field)),
    }
}

/// What can stand in a cookie's attribute, and is the end of nothing.
fn attribute_value(text: Arc<str>) -> Result<Arc<str>, DecodeError> {
    match text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b';') {
        true => Ok(text),
        false => Err(DecodeError::new(format!("{text:?} cannot be an attribute of a cookie"))),
    }
}

fn decode_locality(wire: proto::LocalityPreference) -> Result<LocalityPreference, DecodeError> {
    Ok(LocalityPreference {
        distribute: each("distribute", wire.distribute, decode_shares)?,
        failover: each("failover", wire.failover, |wire| Ok((wire.from.into(), wire.to.into())))?,
        failover_priority: each("failover_priority", wire.failover_priority, |label| named("", &label))?,
    })
}

fn encode_locality(locality: &LocalityPreference) -> proto::LocalityPreference {
    let shares = |(from, to): &(Arc<str>, LocalityShares)| proto::LocalityShares {
        from: from.to_string(),
        to: to.iter().map(|(place, share)| (place.to_string(), *share)).collect(),
    };
    let failover = |(from, to): &(Arc<str>, Arc<str>)| proto::LocalityFailover {
        from: from.to_string(),
        to: to.to_string(),
    };
    proto::LocalityPreference {
        distribute: locality.distribute.iter().map(shares).collect(),
        failover: locality.failover.iter().map(failover).collect(),
        failover_priority: locality.failover_priority.iter().map(ToString::to_string).collect(),
    }
}

fn decode_shares(wire: proto::LocalityShares) -> Result<(Arc<str>, LocalityShares), DecodeError> {
    let share = |(place, share): (String, u32)| -> Result<(Arc<str>, u32), DecodeError> {
        Ok((place.into(), percent("to", share)?))
    };
    Ok((wire.from.into(), wire.to.into_iter().map(share).collect::<Result<_, _>>()?))
}

fn decode_warmup(wire: proto::Warmup) -> Result<Warmup, DecodeError> {
    if !wire.aggression.is_finite() || wire.aggression < 1.0 {
        let reason = format!("{} is not possible; use 1 or more", wire.aggression);
        return Err(DecodeError::new(reason).within("aggression"));
    }
    Ok(Warmup {
        duration: decode_positive("duration", wire.duration)?,
        minimum_percent: percent_of("minimum_percent", wire.minimum_percent)?,
        aggression: wire.aggression,
    })
}
