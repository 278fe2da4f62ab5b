//! What a ResiliencePolicy says, as waypoints need it. Objects that nobody has checked come here too.

use std::sync::Arc;
use std::time::Duration;

use mesh_model::{HealthCheck, Hedging, HttpProbe, Probe, RetryBudget, StatusRange};

use crate::objects::{CheckMethod, HttpCheck, PolicyHealthCheck, PolicyHedging};

const INTERVAL: Duration = Duration::from_secs(10);
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_secs(1);
const HEALTHY_THRESHOLD: u32 = 1;
const UNHEALTHY_THRESHOLD: u32 = 3;
const PANIC_PERCENT: u32 = 50;
const GOOD: StatusRange = StatusRange { first: 200, last: 299 };
const MAX_REQUESTS: u32 = 2;
const BUDGET_PERCENT: u32 = 10;
/// So many second requests are always allowed, else services with few requests had none.
const BUDGET_MIN_CONCURRENCY: u32 = 3;

/// How the endpoints of a service with these ports are asked; or why they cannot be.
pub(crate) fn convert_check(
    check: &PolicyHealthCheck,
    hostname: &str,
    mut ports: impl Iterator<Item = u16>,
) -> Result<HealthCheck, String> {
    let interval = check.interval.map_or(INTERVAL, |it| it.0);
    let timeout = check.timeout.map_or(TIMEOUT, |it| it.0);
    let healthy_threshold = check.healthy_threshold.unwrap_or(HEALTHY_THRESHOLD);
    let unhealthy_threshold = check.unhealthy_threshold.unwrap_or(UNHEALTHY_THRESHOLD);
    if interval < SHORTEST_INTERVAL || timeout.is_zero() || healthy_threshold == 0 || unhealthy_threshold == 0
    {
        return Err("interval, timeout and thresholds have to be more than nothing".to_owned());
    }
    let port = match check.port {
        Some(port) => ports.find(|it| *it == port).ok_or_else(|| format!("there is no port {port}"))?,
        None => ports.next().ok_or_else(|| "there is no TCP port to ask at".to_owned())?,
    };
    let host: Arc<str> = hostname.into();
    let probe = match (&check.http, &check.tcp, &check.grpc) {
        (Some(http), None, None) => Probe::Http(convert_http(http, host)?),
        (None, Some(_), None) => Probe::Tcp,
        (None, None, Some(grpc)) => {
            Probe::Grpc { service: grpc.service.as_deref().unwrap_or_default().into(), host }
        }
        _ => return Err("exactly one of http, tcp and grpc is needed".to_owned()),
    };
    Ok(HealthCheck {
        interval,
        timeout,
        healthy_threshold,
        unhealthy_threshold,
        panic_percent: check.panic_threshold.map_or(PANIC_PERCENT, |it| it.0),
        port,
        probe,
    })
}

fn convert_http(http: &HttpCheck, host: Arc<str>) -> Result<HttpProbe, String> {
    let range = |range: &crate::objects::StatusRange| StatusRange { first: range.start, last: range.end };
    let mut expected: Vec<_> = http.expected_statuses.iter().map(range).collect();
    if expected.iter().any(|it| it.first < 100 || it.last > 599 || it.first > it.last) {
        return Err("expectedStatuses have to be statuses, 100 to 599".to_owned());
    }
    if expected.is_empty() {
        expected.push(GOOD);
    }
    if !http.path.starts_with('/') {
        return Err("http.path has to begin with /".to_owned());
    }
    let method = match http.method.unwrap_or_default() {
        CheckMethod::Get => "GET",
        CheckMethod::Head => "HEAD",
        CheckMethod::Options => "OPTIONS",
    };
    let host = http.host.as_deref().filter(|host| !host.is_empty()).map_or(host, Arc::from);
    Ok(HttpProbe { path: http.path.as_str().into(), host, method: method.into(), expected })
}

/// When requests are sent twice; or why they cannot be.
pub(crate) fn convert_hedging(hedging: &PolicyHedging) -> Result<Hedging, String> {
    let max_requests = hedging.max_requests.unwrap_or(MAX_REQUESTS);
    if hedging.delay.0.is_zero() || !(2..=5).contains(&max_requests) {
        return Err("delay has to be more than nothing, and maxRequests 2 to 5".to_owned());
    }
    let percent = hedging.budget.map_or(BUDGET_PERCENT, |it| it.0).into();
    let budget = RetryBudget { percent, min_concurrency: BUDGET_MIN_CONCURRENCY };
    Ok(Hedging { delay: hedging.delay.0, max_requests, budget })
}
