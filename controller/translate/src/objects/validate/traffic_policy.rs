//! Checks of what a DestinationRule says about traffic.

use mesh_model::HashAlgorithm;

use super::{Checks, is_token};
use crate::objects::{
    ClientTlsMode, ClientTlsSettings, ConnectionPoolSettings, ConsistentHash, HttpCookie,
    LoadBalancerSettings, OutlierDetection, TrafficPolicy, Warmup,
};

pub(super) fn check(policy: &TrafficPolicy, path: &str, checks: &mut Checks) {
    parts(
        (&policy.load_balancer, &policy.connection_pool, &policy.outlier_detection, &policy.tls),
        path,
        checks,
    );
    for (at, it) in policy.port_level_settings.iter().enumerate() {
        let path = format!("{path}.portLevelSettings[{at}]");
        if it.port.is_none() {
            checks.fail(format!("{path}.port"), "is needed");
        }
        parts((&it.load_balancer, &it.connection_pool, &it.outlier_detection, &it.tls), &path, checks);
    }
    if let Some(tunnel) = &policy.tunnel {
        let path = format!("{path}.tunnel");
        if !matches!(tunnel.protocol.as_deref(), None | Some("CONNECT" | "POST")) {
            checks.fail(format!("{path}.protocol"), "is not possible; use CONNECT or POST");
        }
        if tunnel.target_host.is_empty() || tunnel.target_port.is_none() {
            checks.fail(path, "targetHost and targetPort are needed");
        }
    }
    if policy.retry_budget.and_then(|it| it.percent).is_some_and(|it| !(0.0..=100.0).contains(&it)) {
        checks.fail(format!("{path}.retryBudget.percent"), "is not a percentage; use 0 to 100");
    }
}

type Parts<'a> = (
    &'a Option<LoadBalancerSettings>,
    &'a Option<ConnectionPoolSettings>,
    &'a Option<OutlierDetection>,
    &'a Option<ClientTlsSettings>,
);

fn parts((balancer, pool, outliers, tls): Parts<'_>, path: &str, checks: &mut Checks) {
    if let Some(it) = balancer {
        load_balancer(it, &format!("{path}.loadBalancer"), checks);
    }
    if let Some(it) = pool {
        connection_pool(it, &format!("{path}.connectionPool"), checks);
    }
    if let Some(it) = outliers {
        outlier_detection(it, &format!("{path}.outlierDetection"), checks);
    }
    if let Some(it) = tls {
        client_tls(it, &format!("{path}.tls"), checks);
    }
}

fn load_balancer(it: &LoadBalancerSettings, path: &str, checks: &mut Checks) {
    if it.simple.is_some() && it.consistent_hash.is_some() {
        checks.fail(path, "only one of simple and consistentHash is possible");
    }
    if let Some(hash) = &it.consistent_hash {
        consistent_hash(hash, &format!("{path}.consistentHash"), checks);
    }
    if let Some(warmup) = it.warmup {
        self::warmup(warmup, &format!("{path}.warmup"), checks);
    }
    let Some(locality) = &it.locality_lb_setting else { return };
    let path = format!("{path}.localityLbSetting");
    let given = [
        &locality.distribute.is_empty(),
        &locality.failover.is_empty(),
        &locality.failover_priority.is_empty(),
    ];
    if given.iter().filter(|empty| !***empty).count() > 1 {
        checks.fail(&path, "only one of distribute, failover and failoverPriority is possible");
    }
    for (at, one) in locality.distribute.iter().enumerate() {
        let sum: u64 = one.to.values().map(|share| u64::from(*share)).sum();
        if sum != 100 {
            checks.fail(format!("{path}.distribute[{at}].to"), format!("the shares make {sum}, not 100"));
        }
    }
    for at in locality.failover_priority.iter().enumerate().filter(|(_, it)| it.is_empty()).map(|it| it.0) {
        checks.fail(format!("{path}.failoverPriority[{at}]"), "a label is needed");
    }
    for (at, one) in locality.failover.iter().enumerate().filter(|(_, one)| one.from == one.to) {
        checks.fail(format!("{path}.failover[{at}]"), format!("{:?} cannot stand in for itself", one.from));
    }
}

fn consistent_hash(it: &ConsistentHash, path: &str, checks: &mut Checks) {
    let keys = [
        it.http_header_name.is_some(),
        it.http_cookie.is_some(),
        it.use_source_ip.is_some(),
        it.http_query_parameter_name.is_some(),
    ];
    if keys.iter().filter(|given| **given).count() != 1 {
        let reason =
            "exactly one of httpHeaderName, httpCookie, useSourceIp and httpQueryParameterName is needed";
        checks.fail(path, reason);
    }
    if it.ring_hash.is_some() && it.maglev.is_some() {
        checks.fail(path, "only one of ringHash and maglev is possible");
    }
    if let Some(name) = &it.http_header_name {
        checks.header_name(format!("{path}.httpHeaderName"), name);
    }
    if it.http_query_parameter_name.as_deref() == Some("") {
        checks.fail(format!("{path}.httpQueryParameterName"), "is needed");
    }
    if let Some(cookie) = &it.http_cookie {
        http_cookie(cookie, &format!("{path}.httpCookie"), checks);
    }
    // As in Istio, zero is as good as nothing.
    let given = |size: &u64| *size > 0;
    let table = it.maglev.and_then(|it| it.table_size).filter(given).map(HashAlgorithm::maglev);
    let ring = it.ring_hash.and_then(|it| it.minimum_ring_size).or(it.minimum_ring_size).filter(given);
    let sizes = [("maglev.tableSize", table), ("ringHash.minimumRingSize", ring.map(HashAlgorithm::ring))];
    for (field, size) in sizes {
        if let Some(Err(error)) = size {
            checks.fail(format!("{path}.{field}"), error.to_string());
        }
    }
}

fn http_cookie(cookie: &HttpCookie, path: &str, checks: &mut Checks) {
    // A name has to be what the name of a header has to be.
    if !is_token(&cookie.name) {
        checks.fail(format!("{path}.name"), format!("{:?} is not the name of a cookie", cookie.name));
    }
    let attributes = cookie.attributes.iter().enumerate();
    let values = attributes.clone().map(|(at, it)| (format!("attributes[{at}].value"), it.value.as_str()));
    for (field, value) in values.chain(cookie.path.as_deref().map(|it| ("path".to_owned(), it))) {
        if !value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b';') {
            checks.fail(format!("{path}.{field}"), format!("{value:?} cannot be an attribute of a cookie"));
        }
    }
    for (at, attribute) in attributes.filter(|(_, it)| !is_token(&it.name)) {
        let reason = format!("{:?} is not the name of an attribute", attribute.name);
        checks.fail(format!("{path}.attributes[{at}].name"), reason);
    }
}

fn warmup(it: Warmup, path: &str, checks: &mut Checks) {
    if it.duration.is_none() {
        checks.fail(format!("{path}.duration"), "is needed");
    }
    if it.minimum_percent.is_some_and(|it| !(0.0..=100.0).contains(&it)) {
        checks.fail(format!("{path}.minimumPercent"), "is not a percentage; use 0 to 100");
    }
    if it.aggression.is_some_and(|it| !(1.0..=f64::MAX).contains(&it)) {
        checks.fail(format!("{path}.aggression"), "is not possible; use 1 or more");
    }
}

fn connection_pool(it: &ConnectionPoolSettings, path: &str, checks: &mut Checks) {
    let tcp = it.tcp.as_ref();
    let http = it.http.as_ref();
    let counts = [
        ("tcp.maxConnections", tcp.and_then(|it| it.max_connections)),
        ("http.http1MaxPendingRequests", http.and_then(|it| it.http1_max_pending_requests)),
        ("http.http2MaxRequests", http.and_then(|it| it.http2_max_requests)),
        ("http.maxRequestsPerConnection", http.and_then(|it| it.max_requests_per_connection)),
        ("http.maxRetries", http.and_then(|it| it.max_retries)),
        ("http.maxConcurrentStreams", http.and_then(|it| it.max_concurrent_streams)),
    ];
    for (field, count) in counts {
        if count.is_some_and(|count| count < 0) {
            checks.fail(format!("{path}.{field}"), "cannot be negative");
        }
    }
}

fn outlier_detection(it: &OutlierDetection, path: &str, checks: &mut Checks) {
    let shares =
        [("maxEjectionPercent", it.max_ejection_percent), ("minHealthPercent", it.min_health_percent)];
    for (field, share) in shares {
        if share.is_some_and(|share| !(0..=100).contains(&share)) {
            checks.fail(format!("{path}.{field}"), "is not a percentage; use 0 to 100");
        }
    }
    for code in it.outlier_detection_http_error_codes.iter().filter(|code| !(100..600).contains(*code)) {
        let field = format!("{path}.outlierDetectionHttpErrorCodes");
        checks.fail(field, format!("{code} is not a status; use 100 to 599"));
    }
}

fn client_tls(it: &ClientTlsSettings, path: &str, checks: &mut Checks) {
    let has_files = it.client_certificate.is_some() || it.private_key.is_some();
    let lacks_files = it.client_certificate.is_none() || it.private_key.is_none();
    match it.mode {
        ClientTlsMode::Mutual if it.credential_name.is_none() && lacks_files => {
            checks.fail(path, "mode MUTUAL needs clientCertificate and privateKey, or credentialName");
        }
        ClientTlsMode::Mutual if it.credential_name.is_some() && has_files => {
            checks.fail(path, "only one of credentialName and clientCertificate with privateKey is possible");
        }
        ClientTlsMode::IstioMutual if has_files || it.credential_name.is_some() => {
            checks.fail(path, "mode ISTIO_MUTUAL uses the certificate of the mesh; name no other");
        }
        _ => {}
    }
    for at in it.subject_alt_names.iter().enumerate().filter(|(_, it)| it.is_empty()).map(|it| it.0) {
        checks.fail(format!("{path}.subjectAltNames[{at}]"), "a name is needed");
    }
}
