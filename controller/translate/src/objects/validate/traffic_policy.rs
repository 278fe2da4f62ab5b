//! Checks of what a DestinationRule says about traffic.

use super::Checks;
use crate::objects::{
    ClientTlsMode, ClientTlsSettings, ConnectionPoolSettings, ConsistentHash, LoadBalancerSettings,
    OutlierDetection, TrafficPolicy,
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
    if it.warmup.is_some_and(|it| it.duration.is_none()) {
        checks.fail(format!("{path}.warmup.duration"), "is needed");
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
    if it.http_cookie.as_ref().is_some_and(|cookie| cookie.name.is_empty()) {
        checks.fail(format!("{path}.httpCookie.name"), "is needed");
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
}
