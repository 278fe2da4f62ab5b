//! Limits of how many requests may pass, both ways.

use std::time::Duration;

use mesh_proto::adit::waypoint::v1 as proto;
use proto::RequestProperty as Property;
use proto::rate_limit::Counted as WireCounted;
use proto::rate_limit_key::Source;

use super::DecodeError;
use super::duration::{decode_positive, encode as encode_duration};
use super::field::{at, each, known, named, port, required};
use super::http_match::{self, header_name};
use crate::{
    Counted, GlobalLimit, KeySource, LocalLimit, NamespacedHostname, RateLimit, RateLimitKey, RateQuota,
    RateUnit,
};

/// No limit is given for longer: a day, and what makes a year of it.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

pub(super) fn decode(wire: proto::LimitedRequests) -> Result<RateLimit, DecodeError> {
    let limit = required("limit", wire.limit)?;
    let what = each("keys", limit.keys, decode_key);
    let counted = required("counted", limit.counted).and_then(|counted| match counted {
        WireCounted::Local(local) => at("local", decode_local(local)).map(Counted::Local),
        WireCounted::Global(global) => at("global", decode_global(global)).map(Counted::Global),
    });
    Ok(RateLimit {
        name: at("limit", named("name", &limit.name))?,
        target: limit.target.into(),
        ports: each("ports", wire.ports, |number| port("", number))?,
        rules: each("rules", wire.rules, |rule| Ok(rule.into()))?,
        matches: each("matches", wire.matches, http_match::decode)?,
        keys: at("limit", what)?,
        status: at("limit", error_status(limit.status))?,
        shadow: limit.shadow,
        counted: at("limit", counted)?,
    })
}

pub(super) fn encode(limit: &RateLimit) -> proto::LimitedRequests {
    let wire = proto::RateLimit {
        name: limit.name.to_string(),
        target: limit.target.to_string(),
        keys: limit.keys.iter().map(encode_key).collect(),
        status: limit.status.into(),
        shadow: limit.shadow,
        counted: Some(match &limit.counted {
            Counted::Local(local) => WireCounted::Local(encode_local(*local)),
            Counted::Global(global) => WireCounted::Global(encode_global(global)),
        }),
    };
    proto::LimitedRequests {
        limit: Some(wire),
        ports: limit.ports.iter().map(|port| u32::from(*port)).collect(),
        rules: limit.rules.iter().map(ToString::to_string).collect(),
        matches: limit.matches.iter().map(http_match::encode).collect(),
    }
}

fn error_status(status: u32) -> Result<u16, DecodeError> {
    let known = u16::try_from(status).ok().filter(|status| (400..600).contains(status));
    known.ok_or_else(|| DecodeError::new(format!("{status} is not the status of an error")).within("status"))
}

fn decode_key(wire: proto::RateLimitKey) -> Result<RateLimitKey, DecodeError> {
    let source = match required("source", wire.source)? {
        Source::Fixed(text) => KeySource::Fixed(named("fixed", &text)?),
        Source::Header(name) => KeySource::Header(header_name("header", &name)?.into()),
        Source::Property(number) => match known("property", number)? {
            Property::SourceIdentity => KeySource::Identity,
            Property::SourceNamespaceName => KeySource::Namespace,
            Property::SourceAccount => KeySource::ServiceAccount,
            Property::SourceAddress => KeySource::Address,
            Property::RequestedPath => KeySource::Path,
            Property::RequestedMethod => KeySource::Method,
            Property::RequestedHost => KeySource::Host,
            Property::RouteName => KeySource::Route,
        },
    };
    Ok(RateLimitKey { name: named("name", &wire.name)?, source })
}

fn encode_key(key: &RateLimitKey) -> proto::RateLimitKey {
    let property = |property: Property| Source::Property(property.into());
    let source = match &key.source {
        KeySource::Fixed(text) => Source::Fixed(text.to_string()),
        KeySource::Header(name) => Source::Header(name.to_string()),
        KeySource::Identity => property(Property::SourceIdentity),
        KeySource::Namespace => property(Property::SourceNamespaceName),
        KeySource::ServiceAccount => property(Property::SourceAccount),
        KeySource::Address => property(Property::SourceAddress),
        KeySource::Path => property(Property::RequestedPath),
        KeySource::Method => property(Property::RequestedMethod),
        KeySource::Host => property(Property::RequestedHost),
        KeySource::Route => property(Property::RouteName),
    };
    proto::RateLimitKey { name: key.name.to_string(), source: Some(source) }
}

fn decode_local(wire: proto::LocalLimit) -> Result<LocalLimit, DecodeError> {
    let per = decode_positive("per", wire.per)?;
    if per > LONGEST {
        return Err(DecodeError::new("is longer than a year").within("per"));
    }
    Ok(LocalLimit {
        requests: positive("requests", wire.requests)?,
        per,
        burst: positive("burst", wire.burst)?,
    })
}

fn encode_local(local: LocalLimit) -> proto::LocalLimit {
    let per = Some(encode_duration(local.per));
    proto::LocalLimit { requests: local.requests, per, burst: local.burst }
}

fn decode_global(wire: proto::GlobalLimit) -> Result<GlobalLimit, DecodeError> {
    let reason = |error| DecodeError::new(format!("{error}")).within("service");
    let service = match wire.service.as_str() {
        "" => None,
        text => {
            let service: NamespacedHostname = text.parse().map_err(reason)?;
            Some((service, port("port", wire.port)?))
        }
    };
    Ok(GlobalLimit {
        service,
        timeout: decode_positive("timeout", wire.timeout)?,
        fail_closed: wire.fail_closed,
        domain: named("domain", &wire.domain)?,
        quota: at("quota", wire.quota.map(decode_quota).transpose())?,
    })
}

fn encode_global(global: &GlobalLimit) -> proto::GlobalLimit {
    let (service, port) = match &global.service {
        Some((service, port)) => (service.to_string(), (*port).into()),
        None => (String::new(), 0),
    };
    proto::GlobalLimit {
        service,
        port,
        timeout: Some(encode_duration(global.timeout)),
        fail_closed: global.fail_closed,
        domain: global.domain.to_string(),
        quota: global.quota.map(|quota| proto::RateQuota {
            requests: quota.requests,
            unit: match quota.unit {
                RateUnit::Second => proto::RateUnit::Second,
                RateUnit::Minute => proto::RateUnit::Minute,
                RateUnit::Hour => proto::RateUnit::Hour,
                RateUnit::Day => proto::RateUnit::Day,
            }
            .into(),
        }),
    }
}

fn decode_quota(wire: proto::RateQuota) -> Result<RateQuota, DecodeError> {
    let unit = match known("unit", wire.unit)? {
        proto::RateUnit::Second => RateUnit::Second,
        proto::RateUnit::Minute => RateUnit::Minute,
        proto::RateUnit::Hour => RateUnit::Hour,
        proto::RateUnit::Day => RateUnit::Day,
    };
    Ok(RateQuota { requests: wire.requests, unit })
}

fn positive(field: &str, number: u32) -> Result<u32, DecodeError> {
    match number {
        0 => Err(DecodeError::new("has to be more than nothing").within(field)),
        number => Ok(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local() -> proto::LimitedRequests {
        let per = Some(prost_types::Duration { seconds: 1, nanos: 0 });
        let limit = proto::RateLimit {
            name: "shop/p/l".into(),
            status: 429,
            counted: Some(WireCounted::Local(proto::LocalLimit { requests: 1, per, burst: 1 })),
            ..proto::RateLimit::default()
        };
        proto::LimitedRequests { limit: Some(limit), ..proto::LimitedRequests::default() }
    }

    /// What is broken in a good limit, and what is said about it.
    fn rejected(broken: impl Fn(&mut proto::RateLimit)) -> String {
        let mut wire = local();
        broken(wire.limit.as_mut().unwrap());
        decode(wire).unwrap_err().to_string()
    }

    #[test]
    fn sec_09_a_limit_that_cannot_mean_what_it_says_is_rejected_in_words() {
        assert!(decode(local()).is_ok());
        assert_eq!(rejected(|it| it.status = 200), "limit.status: 200 is not the status of an error");
        assert_eq!(rejected(|it| it.counted = None), "limit.counted: missing");
        assert_eq!(rejected(|it| it.name.clear()), "limit.name: empty");
        let never = proto::LocalLimit { requests: 0, burst: 1, ..encode_local(second()) };
        assert_eq!(
            rejected(|it| it.counted = Some(WireCounted::Local(never))),
            "limit.local.requests: has to be more than nothing"
        );
        let timeless = proto::GlobalLimit { domain: "d".into(), ..proto::GlobalLimit::default() };
        assert_eq!(
            rejected(|it| it.counted = Some(WireCounted::Global(timeless.clone()))),
            "limit.global.timeout: missing"
        );
        let key = proto::RateLimitKey { name: "k".into(), source: Some(Source::Property(99)) };
        assert_eq!(
            rejected(|it| it.keys = vec![key.clone()]),
            "limit.keys[0].property: 99 is not a value of this enum"
        );
    }

    fn second() -> LocalLimit {
        LocalLimit { requests: 1, per: Duration::from_secs(1), burst: 1 }
    }
}
