//! One policy's limits as waypoints need them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use mesh_model::{
    Counted, GlobalLimit, HttpMatch, KeySource, LocalLimit, NamedMatch, NamespacedHostname, RateLimit,
    RateLimitKey, RateQuota, RateUnit, ValueMatch,
};

use crate::cluster::{Cluster, Name};
use crate::objects::{
    GlobalCount, HeaderMatch, HeaderMatchType, KeyProperty, LimitKey, ObjectKey, PathMatchType, PolicyLimit,
    RateLimitPolicySpec, RequestMatch,
};
use crate::resources::provider_service::{self, provider_host};
use crate::resources::{Problem, Reason, find_pattern_error};

/// Where nobody says how long a service may take: requests wait for it.
const TIMEOUT: Duration = Duration::from_millis(50);
const TOO_MANY_REQUESTS: u16 = 429;
const DOMAIN: &str = "adit";
/// What Envoy calls what is always the same.
const GENERIC: &str = "generic_key";

/// What becomes of a policy.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Conversion {
    pub(crate) limits: Vec<RateLimit>,
    pub(crate) problems: Vec<Problem>,
}

/// `Kind/namespace/name`, and `/section` if one is named.
pub(in crate::resources) fn place(key: &ObjectKey, section: Option<&str>) -> String {
    let section = section.map(|section| format!("/{section}")).unwrap_or_default();
    format!("{}/{}/{}{section}", key.kind, key.namespace, key.name)
}

/// The limits of a policy at one of its targets. One that cannot be used is left out.
pub(crate) fn convert(
    cluster: &Cluster,
    policy: &Name,
    spec: &RateLimitPolicySpec,
    place: &str,
) -> Conversion {
    let mut conversion = Conversion::default();
    for (at, limit) in spec.limits.iter().enumerate() {
        let path = format!("spec.limits[{at}]");
        match convert_limit(cluster, policy, limit, &path, &mut conversion.problems) {
            Ok(limit) => conversion.limits.push(RateLimit { target: place.into(), ..limit }),
            Err(message) => {
                let message = format!("{message}; the limit is left out");
                conversion.problems.push(Problem::unsupported(path, message));
            }
        }
    }
    conversion
}

fn convert_limit(
    cluster: &Cluster,
    policy: &Name,
    limit: &PolicyLimit,
    path: &str,
    problems: &mut Vec<Problem>,
) -> Result<RateLimit, String> {
    let name: Arc<str> = format!("{policy}/{}", limit.name).into();
    let rate = limit.requests.zip(limit.per).map(|(requests, per)| (requests, per.0));
    if rate.is_some_and(|(requests, per)| requests == 0 || per.is_zero()) || limit.burst == Some(0) {
        return Err("requests, per and burst have to be more than nothing".to_owned());
    }
    let mut keys = limit.keys.iter().map(convert_key).collect::<Result<Vec<_>, _>>()?;
    let counted = match (&limit.global, rate) {
        (Some(global), rate) => {
            let quota = rate.map(convert_quota).transpose()?;
            if quota.is_some() {
                // So that limits with the same keys are told apart.
                let source = KeySource::Fixed(name.clone());
                keys.insert(0, RateLimitKey { name: GENERIC.into(), source });
            }
            if keys.is_empty() {
                return Err("the service has to be told by what it finds its limit".to_owned());
            }
            let path = format!("{path}.global");
            Counted::Global(convert_global(cluster, policy, global, quota, &path, problems))
        }
        (None, Some((requests, per))) => {
            let burst = limit.burst.unwrap_or(requests);
            Counted::Local(LocalLimit { requests, per, burst })
        }
        (None, None) => return Err("requests and per are needed".to_owned()),
    };
    let status = limit.status.filter(|status| (400..600).contains(status)).unwrap_or(TOO_MANY_REQUESTS);
    Ok(RateLimit {
        name,
        target: "".into(),
        ports: Vec::new(),
        rules: Vec::new(),
        matches: limit.when.iter().map(convert_match).collect::<Result<_, _>>()?,
        keys,
        status,
        shadow: limit.shadow,
        counted,
    })
}

fn convert_quota((requests, per): (u32, Duration)) -> Result<RateQuota, String> {
    let unit = RateUnit::of(per).ok_or_else(|| "with global, per is one of 1s, 1m, 1h and 24h".to_owned())?;
    Ok(RateQuota { requests, unit })
}

fn convert_key(key: &LimitKey) -> Result<RateLimitKey, String> {
    let (name, source) = match (&key.from, &key.header, &key.value) {
        (Some(property), None, None) => {
            let (name, source) = convert_property(*property);
            (name.to_owned(), source)
        }
        (None, Some(header), None) => {
            let header = header.to_ascii_lowercase();
            (header.clone(), KeySource::Header(header.into()))
        }
        (None, None, Some(value)) => (GENERIC.to_owned(), KeySource::Fixed(value.as_str().into())),
        _ => return Err("a key has exactly one of from, header and value".to_owned()),
    };
    let name = key.name.as_deref().filter(|name| !name.is_empty()).unwrap_or(&name);
    Ok(RateLimitKey { name: name.into(), source })
}

/// With what Envoy calls it, where it has a name for it.
fn convert_property(property: KeyProperty) -> (&'static str, KeySource) {
    match property {
        KeyProperty::Identity => ("source_principal", KeySource::Identity),
        KeyProperty::ServiceAccount => ("source_service_account", KeySource::ServiceAccount),
        KeyProperty::Namespace => ("source_namespace", KeySource::Namespace),
        KeyProperty::Address => ("remote_address", KeySource::Address),
        KeyProperty::Path => ("path", KeySource::Path),
        KeyProperty::Method => ("method", KeySource::Method),
        KeyProperty::Host => ("host", KeySource::Host),
        KeyProperty::Route => ("route", KeySource::Route),
    }
}

fn convert_match(wanted: &RequestMatch) -> Result<HttpMatch, String> {
    let regex = |pattern: &str| match find_pattern_error(pattern) {
        Some(error) => Err(error),
        None => Ok(ValueMatch::Regex(pattern.into())),
    };
    let path = wanted.path.as_ref().map(|path| match path.how {
        PathMatchType::Exact => Ok(ValueMatch::Exact(path.value.as_str().into())),
        PathMatchType::PathPrefix => Ok(ValueMatch::PathPrefix(path.value.as_str().into())),
        PathMatchType::RegularExpression => regex(&path.value),
    });
    let header = |header: &HeaderMatch| {
        let value = match header.how {
            HeaderMatchType::Exact => Ok(ValueMatch::Exact(header.value.as_str().into())),
            HeaderMatchType::RegularExpression => regex(&header.value),
        };
        Ok::<_, String>(NamedMatch { name: header.name.to_ascii_lowercase().into(), value: value? })
    };
    Ok(HttpMatch {
        path: path.transpose()?,
        method: wanted.method.as_deref().map(|method| ValueMatch::Exact(method.into())),
        headers: wanted.headers.iter().map(header).collect::<Result<_, _>>()?,
        ..HttpMatch::default()
    })
}

/// Whoever does not exist cannot be asked, and then the limit does as it says for that case.
fn convert_global(
    cluster: &Cluster,
    policy: &Name,
    global: &GlobalCount,
    quota: Option<RateQuota>,
    path: &str,
    problems: &mut Vec<Problem>,
) -> GlobalLimit {
    let service = find_service(cluster, policy, global).map_err(|message| {
        let then = if global.failure_mode_deny { "is refused" } else { "passes" };
        let message = format!("{message}; what the limit is about {then} uncounted");
        problems.push(Problem::new(path, Reason::BackendNotFound, message));
    });
    GlobalLimit {
        service: service.ok(),
        timeout: global.timeout.map(|it| it.0).filter(|it| !it.is_zero()).unwrap_or(TIMEOUT),
        fail_closed: global.failure_mode_deny,
        domain: global.domain.as_deref().filter(|domain| !domain.is_empty()).unwrap_or(DOMAIN).into(),
        quota,
    }
}

fn find_service(
    cluster: &Cluster,
    policy: &Name,
    global: &GlobalCount,
) -> Result<(NamespacedHostname, u16), String> {
    if let Some(named) = &global.service {
        let name = Name::new(policy.namespace.clone(), named.name.as_str());
        let key = NamespacedHostname::new(name.namespace.clone(), cluster.hostname(&name));
        let found = cluster.find_service(&key).ok_or_else(|| format!("there is no Service {name}"))?;
        return match found.object.has_port(named.port) {
            true => Ok((found.key, named.port)),
            false => Err(format!("Service {name} has no port {}", named.port)),
        };
    }
    let name = global.provider.as_deref().unwrap_or_default();
    let provider =
        cluster.mesh.find_provider(name).ok_or_else(|| provider_service::unknown(cluster, name))?;
    let limiter = provider.envoy_rate_limit_grpc.as_ref().ok_or_else(|| {
        format!("extension provider {name:?} counts nothing; use one with envoyRateLimitGrpc")
    })?;
    provider_service::find(cluster, name, &limiter.service, limiter.port)
}

/// The host names of those who count for a policy, whether they exist or not.
pub(crate) fn counting_hosts(
    cluster: &Cluster,
    policy: &Name,
    spec: &RateLimitPolicySpec,
) -> BTreeSet<Arc<str>> {
    let globals = spec.limits.iter().filter_map(|limit| limit.global.as_ref());
    let host = |global: &GlobalCount| match &global.service {
        Some(named) => Some(cluster.hostname(&Name::new(policy.namespace.clone(), named.name.as_str()))),
        None => {
            let provider = cluster.mesh.find_provider(global.provider.as_deref()?)?;
            let limiter = provider.envoy_rate_limit_grpc.as_ref()?;
            Some(provider_host(cluster, &limiter.service).1)
        }
    };
    globals.filter_map(host).collect()
}
