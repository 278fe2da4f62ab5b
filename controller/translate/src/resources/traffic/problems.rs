//! What waypoints do not do of what a DestinationRule asks for, told in its status.

use super::tls;
use crate::objects::{
    ClientTlsSettings, DestinationRuleSpec, LoadBalancerSettings, OutlierDetection, RetryBudget,
    SimpleLoadBalancer, TrafficPolicy,
};
use crate::resources::Problem;

/// Each with its field.
pub(crate) fn find_problems(spec: &DestinationRuleSpec) -> Vec<Problem> {
    let mut problems = Vec::new();
    if spec.workload_selector.is_some() {
        let message = "is not honoured; the rule holds at every waypoint";
        problems.push(Problem::unsupported("spec.workloadSelector", message));
    }
    let of_rule = spec.traffic_policy.as_ref();
    if let Some(policy) = of_rule {
        of_policy(policy, None, "spec.trafficPolicy", &mut problems);
    }
    for (at, subset) in spec.subsets.iter().enumerate() {
        if let Some(policy) = &subset.traffic_policy {
            of_policy(policy, of_rule, &format!("spec.subsets[{at}].trafficPolicy"), &mut problems);
        }
    }
    problems
}

/// `outer`: what holds where this policy says nothing.
fn of_policy(policy: &TrafficPolicy, outer: Option<&TrafficPolicy>, path: &str, problems: &mut Vec<Problem>) {
    let outliers = policy.outlier_detection.as_ref();
    let inherited = outer.and_then(|outer| outer.outlier_detection.as_ref());
    let ejects = outliers.or(inherited).is_some();
    of_parts((policy.load_balancer.as_ref(), outliers, policy.tls.as_ref()), ejects, path, problems);
    for (at, it) in policy.port_level_settings.iter().enumerate() {
        let path = format!("{path}.portLevelSettings[{at}]");
        let outliers = it.outlier_detection.as_ref();
        let parts = (it.load_balancer.as_ref(), outliers, it.tls.as_ref());
        of_parts(parts, outliers.is_some(), &path, problems);
    }
    if policy.tunnel.is_some() {
        let message = "waypoints open no tunnels through other proxies; connections go without";
        problems.push(Problem::unsupported(format!("{path}.tunnel"), message));
    }
    let has_interval = |it: RetryBudget| it.budget_interval.is_some_and(|it| !it.0.is_zero());
    if policy.retry_budget.is_some_and(has_interval) {
        let message = "has no effect; the budget is a share of the requests that are on their way";
        problems.push(Problem::unsupported(format!("{path}.retryBudget.budgetInterval"), message));
    }
}

type Parts<'a> =
    (Option<&'a LoadBalancerSettings>, Option<&'a OutlierDetection>, Option<&'a ClientTlsSettings>);

fn of_parts((balancer, outliers, tls): Parts<'_>, ejects: bool, path: &str, problems: &mut Vec<Problem>) {
    if let Some(balancer) = balancer {
        of_load_balancer(balancer, ejects, &format!("{path}.loadBalancer"), problems);
    }
    if outliers.is_some_and(|it| it.consecutive_errors.is_some()) {
        let message = "has no effect any more; use consecutiveGatewayErrors or consecutive5xxErrors";
        let field = format!("{path}.outlierDetection.consecutiveErrors");
        problems.push(Problem::unsupported(field, message));
    }
    let Some(tls) = tls else { return };
    if tls::needs_secret(tls) {
        let message = "waypoints are given no Secrets, so connections that need TLS fail; use files in the \
                       waypoint's pod, or a BackendTLSPolicy";
        problems.push(Problem::unsupported(format!("{path}.tls.credentialName"), message));
    }
    if tls.ca_crl.is_some() {
        let message = "is not read; certificates are checked without it";
        problems.push(Problem::unsupported(format!("{path}.tls.caCrl"), message));
    }
}

fn of_load_balancer(balancer: &LoadBalancerSettings, ejects: bool, path: &str, problems: &mut Vec<Problem>) {
    if balancer.simple == Some(SimpleLoadBalancer::Passthrough) {
        let message = "PASSTHROUGH is not possible at waypoints; endpoints are chosen by LEAST_REQUEST";
        problems.push(Problem::unsupported(format!("{path}.simple"), message));
    }
    if balancer.zone_aware_lb_setting.is_some() {
        let message = "has no effect in an ambient mesh; use localityLbSetting";
        problems.push(Problem::unsupported(format!("{path}.zoneAwareLbSetting"), message));
    }
    let locality = balancer.locality_lb_setting.as_ref().filter(|it| it.enabled != Some(false));
    let fails_over = locality.is_some_and(|it| !it.failover.is_empty() || !it.failover_priority.is_empty());
    if fails_over && !ejects {
        let message = "has no effect without outlierDetection, which finds the endpoints that fail";
        problems.push(Problem::unsupported(format!("{path}.localityLbSetting"), message));
    }
    let is_random = balancer.simple == Some(SimpleLoadBalancer::Random);
    let warms_up = balancer.warmup.is_some() || balancer.warmup_duration_secs.is_some();
    if warms_up && (is_random || balancer.consistent_hash.is_some()) {
        let message = "has no effect but with ROUND_ROBIN and LEAST_REQUEST";
        problems.push(Problem::unsupported(format!("{path}.warmup"), message));
    }
}
