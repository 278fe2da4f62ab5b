//! Resources as a controller sends them, alone, in responses, and beside requests they judge.

use mesh_proto::adit::waypoint::v1 as routes;
use mesh_proto::discovery::{DeltaDiscoveryResponse, Resource};
use mesh_proto::istio::security as policies;
use mesh_proto::istio::workload as wire;
use mesh_proto::type_urls;
use prost::Message;
use prost_types::{Any, Duration};

use crate::Seed;

pub(crate) fn seeds() -> Vec<Seed> {
    let (workload, service) = (workload("a//Pod/prod/web", 2), service());
    let (policy, config) = (policy().encode_to_vec(), service_config().encode_to_vec());
    let request = b"GET /old/x?version=2 HTTP/1.1\nhost: reviews.prod\nx-user: me\n";
    let length = (config.len() as u16).to_be_bytes();
    let routed = [&length[..], &config, request].concat();
    let waypoint = waypoint_config();
    let length = (waypoint.len() as u16).to_be_bytes();
    let judged = [&length[..], &waypoint, request].concat();
    vec![
        ("xds_address", "workload", workload.encode_to_vec()),
        ("xds_address", "service", service.encode_to_vec()),
        ("xds_authorization", "policy", policy.clone()),
        ("xds_service_config", "config", config.clone()),
        ("routes", "redirected", routed),
        ("xds_waypoint_config", "judged", judged),
        ("xds_stream", "grown", stream(&workload, &service, policy, config)),
    ]
}

fn stream(workload: &wire::Address, service: &wire::Address, policy: Vec<u8>, config: Vec<u8>) -> Vec<u8> {
    let name = "prod/reviews.prod.svc.cluster.local";
    let other = self::workload("a//Pod/prod/other", 3);
    [
        response(type_urls::ADDRESS, &[("a//Pod/prod/web", workload.encode_to_vec())], &[]),
        response(
            type_urls::ADDRESS,
            &[(name, service.encode_to_vec()), ("a//Pod/prod/other", other.encode_to_vec())],
            &[],
        ),
        response(type_urls::AUTHORIZATION, &[("prod/p", policy)], &[]),
        response(type_urls::SERVICE_CONFIG, &[(name, config)], &[]),
        response(type_urls::ADDRESS, &[], &["a//Pod/prod/other"]),
    ]
    .concat()
}

fn response(type_url: &str, resources: &[(&str, Vec<u8>)], removed: &[&str]) -> Vec<u8> {
    let resource = |(name, value): &(&str, Vec<u8>)| Resource {
        name: (*name).to_owned(),
        resource: Some(Any { type_url: type_url.to_owned(), value: value.clone() }),
        ..Resource::default()
    };
    DeltaDiscoveryResponse {
        type_url: type_url.to_owned(),
        resources: resources.iter().map(resource).collect(),
        removed_resources: removed.iter().map(|name| (*name).to_owned()).collect(),
        ..DeltaDiscoveryResponse::default()
    }
    .encode_length_delimited_to_vec()
}

fn workload(uid: &str, last: u8) -> wire::Address {
    let port = wire::Port { service_port: 80, target_port: 8080, app_protocol: 0 };
    let name = "prod/reviews.prod.svc.cluster.local".to_owned();
    let workload = wire::Workload {
        uid: uid.to_owned(),
        name: "web".to_owned(),
        namespace: "prod".to_owned(),
        addresses: vec![vec![10, 0, 0, last]],
        tunnel_protocol: wire::TunnelProtocol::Hbone.into(),
        service_account: "web".to_owned(),
        waypoint: Some(gateway()),
        services: [(name, wire::PortList { ports: vec![port] })].into(),
        authorization_policies: vec!["prod/p".to_owned()],
        locality: Some(wire::Locality {
            region: "r".to_owned(),
            zone: "z".to_owned(),
            subzone: String::new(),
        }),
        capacity: Some(2),
        ..wire::Workload::default()
    };
    wire::Address { r#type: Some(wire::address::Type::Workload(workload)) }
}

fn service() -> wire::Address {
    let address = |last: u8, length| wire::NetworkAddress {
        network: String::new(),
        address: vec![10, 1, 0, last],
        length,
    };
    let service = wire::Service {
        name: "reviews".to_owned(),
        namespace: "prod".to_owned(),
        hostname: "reviews.prod.svc.cluster.local".to_owned(),
        addresses: vec![address(1, None), address(0, Some(24))],
        ports: vec![wire::Port { service_port: 80, target_port: 0, app_protocol: 2 }],
        subject_alt_names: vec!["spiffe://td/ns/prod/sa/reviews".to_owned()],
        load_balancing: Some(wire::LoadBalancing {
            routing_preference: vec![6, 1],
            mode: 2,
            health_policy: 1,
        }),
        weighted_waypoints: vec![wire::WeightedWaypoint { destination: Some(gateway()), weight: 7 }],
        ..wire::Service::default()
    };
    wire::Address { r#type: Some(wire::address::Type::Service(service)) }
}

fn gateway() -> wire::GatewayAddress {
    let address = wire::NetworkAddress { network: String::new(), address: vec![10, 0, 0, 3], length: None };
    wire::GatewayAddress {
        destination: Some(wire::gateway_address::Destination::Address(address)),
        hbone_mtls_port: 15008,
    }
}

fn policy() -> policies::Authorization {
    use policies::string_match::MatchType;
    let text = |match_type| policies::StringMatch { match_type: Some(match_type) };
    let account =
        policies::ServiceAccountMatch { namespace: "prod".to_owned(), service_account: "web".to_owned() };
    let matched = policies::Match {
        namespaces: vec![text(MatchType::Exact("prod".to_owned())), text(MatchType::Presence(()))],
        not_principals: vec![text(MatchType::Suffix("/sa/db".to_owned()))],
        source_ips: vec![policies::Address { address: vec![10, 0, 0, 0], length: 8 }],
        destination_ports: vec![80, 8080],
        service_accounts: vec![account],
        ..policies::Match::default()
    };
    let rules = policies::Rules { matches: vec![matched] };
    policies::Authorization {
        name: "p".to_owned(),
        namespace: "prod".to_owned(),
        scope: policies::Scope::WorkloadSelector.into(),
        groups: vec![policies::Group { rules: vec![rules] }],
        ..policies::Authorization::default()
    }
}

fn service_config() -> routes::ServiceConfig {
    let rules = vec![redirect(), forward()];
    let labels = [("version".to_owned(), "v1".to_owned())].into();
    routes::ServiceConfig {
        namespace: "prod".to_owned(),
        hostname: "reviews.prod.svc.cluster.local".to_owned(),
        ports: vec![routes::PortConfig {
            port: 80,
            http_rules: rules,
            governed: true,
            stream_rules: Vec::new(),
        }],
        subsets: vec![routes::Subset { name: "v1".to_owned(), labels, traffic: Vec::new() }],
        security: Some(security()),
        traffic: Vec::new(),
        telemetry: Some(telemetry()),
        rate_limits: vec![local_limit(), global_limit()],
        race_connections: true,
        grpc_web_ports: vec![8080],
        health_check: Some(health_check()),
        hedging: vec![hedged_requests()],
    }
}

fn waypoint_config() -> Vec<u8> {
    let (namespace, gateway) = ("prod".to_owned(), "way".to_owned());
    let authorization_services = vec![authorization_service()];
    let security = Some(security());
    let telemetry = Some(telemetry());
    let rate_limits = vec![local_limit()];
    let forward_client_identity = true;
    routes::WaypointConfig {
        namespace,
        gateway,
        security,
        authorization_services,
        telemetry,
        rate_limits,
        forward_client_identity,
    }
    .encode_to_vec()
}

fn health_check() -> routes::HealthCheck {
    let http = routes::HttpProbe {
        path: "/healthz".to_owned(),
        host: "reviews.prod.svc.cluster.local".to_owned(),
        method: "GET".to_owned(),
        expected: vec![routes::StatusRange { start: 200, end: 299 }],
    };
    routes::HealthCheck {
        interval: Some(Duration { seconds: 10, nanos: 0 }),
        timeout: Some(Duration { seconds: 1, nanos: 0 }),
        healthy_threshold: 1,
        unhealthy_threshold: 3,
        panic_percent: 50,
        port: 80,
        probe: Some(routes::health_check::Probe::Http(http)),
    }
}

fn hedged_requests() -> routes::HedgedRequests {
    let hedging = routes::Hedging {
        delay: Some(Duration { seconds: 0, nanos: 50_000_000 }),
        max_requests: 2,
        budget_percent: 10,
        budget_min_concurrency: 3,
    };
    routes::HedgedRequests { rules: vec!["HTTPRoute/prod/reviews/0".to_owned()], hedging: Some(hedging) }
}

fn local_limit() -> routes::LimitedRequests {
    let per = Some(Duration { seconds: 1, nanos: 0 });
    let limit = routes::LocalLimit { requests: 10, per, burst: 20 };
    limited(routes::rate_limit::Counted::Local(limit))
}

fn global_limit() -> routes::LimitedRequests {
    let limit = routes::GlobalLimit {
        service: "prod/counter.prod.svc.cluster.local".to_owned(),
        port: 8081,
        timeout: Some(Duration { seconds: 0, nanos: 50_000_000 }),
        fail_closed: true,
        domain: "prod".to_owned(),
        quota: Some(routes::RateQuota { requests: 5, unit: 1 }),
    };
    limited(routes::rate_limit::Counted::Global(limit))
}

fn limited(counted: routes::rate_limit::Counted) -> routes::LimitedRequests {
    use routes::rate_limit_key::Source;
    let key = |source| routes::RateLimitKey { name: "key".to_owned(), source: Some(source) };
    let keys = vec![key(Source::Header("x-user".to_owned())), key(Source::Property(2))];
    let limit = routes::RateLimit {
        name: "prod/calm/each".to_owned(),
        target: "Service/prod/reviews".to_owned(),
        keys,
        status: 429,
        shadow: false,
        counted: Some(counted),
    };
    let rules = vec!["HTTPRoute/prod/reviews/0".to_owned()];
    routes::LimitedRequests { limit: Some(limit), ports: vec![80], rules, matches: Vec::new() }
}

fn telemetry() -> routes::Telemetry {
    use routes::label_change::Change;
    let collector = routes::TraceCollector {
        service: "prod/otel.prod.svc.cluster.local".to_owned(),
        port: 4318,
        protocol: Some(routes::trace_collector::Protocol::OtlpHttp(routes::OtlpHttp {
            path: "/v1/traces".to_owned(),
        })),
        ..routes::TraceCollector::default()
    };
    let header = routes::NamedSource { name: "x-user".to_owned(), default_value: "nobody".to_owned() };
    let tag =
        routes::SpanTag { name: "user".to_owned(), value: Some(routes::span_tag::Value::Header(header)) };
    let tracing = routes::Tracing {
        collector: Some(collector),
        sampled_per_million: 10_000,
        tags: vec![tag],
        ..routes::Tracing::default()
    };
    let errors = routes::CodeTest { comparison: routes::Comparison::AtLeast.into(), code: 400 };
    let change = |label: &str, change| routes::LabelChange { label: label.to_owned(), change: Some(change) };
    let labels = vec![
        change("source_principal", Change::Removed(true)),
        change("host", Change::Attribute(routes::LabelSource::Host.into())),
    ];
    routes::Telemetry {
        tracing: Some(tracing),
        access_log: Some(routes::AccessLog {
            any_of: vec![routes::CodeTests { all_of: vec![errors] }],
            ..routes::AccessLog::default()
        }),
        metrics: vec![routes::MetricSettings { labels, ..routes::MetricSettings::default() }],
    }
}

fn authorization_service() -> routes::AuthorizationService {
    use routes::authorization_service::Protocol;
    use routes::pattern::Pattern as Form;
    let header = |form| routes::Pattern { pattern: Some(form) };
    let check = routes::HttpCheck {
        path_prefix: "/check".to_owned(),
        request_headers: vec![header(Form::Prefix("x-".to_owned()))],
        upstream_headers: vec![header(Form::Exact("x-user".to_owned()))],
        ..routes::HttpCheck::default()
    };
    routes::AuthorizationService {
        provider: "opa".to_owned(),
        service: "prod/opa.prod.svc.cluster.local".to_owned(),
        port: 8000,
        body: Some(routes::CheckedBody { max_bytes: 1024, ..routes::CheckedBody::default() }),
        protocol: Some(Protocol::Http(check)),
        ..routes::AuthorizationService::default()
    }
}

fn security() -> routes::Security {
    use routes::pattern::Pattern as Form;
    let is = |attribute: routes::Attribute, form| routes::PolicyCondition {
        attribute: attribute.into(),
        any_of: vec![routes::Pattern { pattern: Some(form) }],
        ..routes::PolicyCondition::default()
    };
    let header = routes::PolicyCondition {
        name: "x-user".to_owned(),
        ..is(routes::Attribute::RequestHeader, Form::Presence(true))
    };
    let path = is(routes::Attribute::RequestPath, Form::Template("/old/{*}".to_owned()));
    let wanted = routes::PolicyMatch { conditions: vec![path, header] };
    let clause = routes::PolicyClause { alternatives: vec![wanted] };
    let policy = routes::RequestPolicy {
        namespace: "prod".to_owned(),
        name: "p".to_owned(),
        action: routes::PolicyAction::Deny.into(),
        rules: vec![routes::PolicyRule { clauses: vec![clause] }],
        ..routes::RequestPolicy::default()
    };
    let tokens = routes::TokenRule {
        issuer: "i".to_owned(),
        from_headers: vec![routes::TokenHeader { name: "x-user".to_owned(), prefix: "Token ".to_owned() }],
        claim_headers: vec![routes::ClaimHeader { header: "x-sub".to_owned(), claim: "sub".to_owned() }],
        ..routes::TokenRule::default()
    };
    routes::Security { policies: vec![policy], token_rules: vec![tokens] }
}

fn redirect() -> routes::HttpRule {
    use routes::path_change::Change;
    use routes::string_match::MatchType;
    let text = |match_type| Some(routes::StringMatch { match_type: Some(match_type) });
    let named = |name: &str, value| routes::NamedMatch { name: name.to_owned(), value };
    let matched = routes::HttpMatch {
        path: text(MatchType::PathPrefix("/old".to_owned())),
        ignore_path_case: true,
        headers: vec![named("x-user", text(MatchType::Regex("m.*".to_owned())))],
        query_params: vec![named("version", text(MatchType::Exact("2".to_owned())))],
        ..routes::HttpMatch::default()
    };
    let redirect = routes::Redirect {
        status: 302,
        path: Some(routes::PathChange { change: Some(Change::Prefix("/new".to_owned())) }),
        ..routes::Redirect::default()
    };
    routes::HttpRule {
        name: "moved".to_owned(),
        matches: vec![matched],
        action: Some(routes::http_rule::Action::Redirect(redirect)),
        ..routes::HttpRule::default()
    }
}

fn forward() -> routes::HttpRule {
    use routes::abort::Error;
    let session = routes::SessionPersistence {
        name: "sid".to_owned(),
        idle_timeout: Some(Duration { seconds: 60, nanos: 0 }),
        ..Default::default()
    };
    let seconds = |seconds| Some(Duration { seconds, nanos: 5 });
    let backend = routes::Backend {
        service: "prod/reviews.prod.svc.cluster.local".to_owned(),
        port: 80,
        subset: "v1".to_owned(),
        weight: 3,
        ..routes::Backend::default()
    };
    let regex = routes::RegexRewrite { pattern: "/a(.*)".to_owned(), substitution: r"/b\1".to_owned() };
    let change = routes::path_change::Change::Regex(regex);
    let header = routes::Header { name: "x-a".to_owned(), value: "1".to_owned() };
    let cors = routes::Cors {
        origins: vec![routes::StringMatch {
            match_type: Some(routes::string_match::MatchType::Exact("https://example.com".to_owned())),
        }],
        methods: vec!["GET".to_owned()],
        max_age: seconds(60),
        ..routes::Cors::default()
    };
    routes::HttpRule {
        name: "rest".to_owned(),
        session: Some(session),
        cors: Some(cors),
        request_headers: Some(routes::HeaderChange { set: vec![header], ..Default::default() }),
        rewrite: Some(routes::Rewrite {
            authority: "other".to_owned(),
            path: Some(routes::PathChange { change: Some(change) }),
        }),
        request_timeout: seconds(10),
        retry: Some(routes::Retry {
            attempts: 2,
            codes: vec![503],
            conditions: vec!["connect-failure".to_owned()],
            backoff: seconds(1),
            avoid_previous_hosts: true,
        }),
        fault: Some(routes::Fault {
            delay: Some(routes::Delay { fixed: seconds(1), per_million: 10_000 }),
            abort: Some(routes::Abort { error: Some(Error::HttpStatus(500)), per_million: 10_000 }),
        }),
        mirrors: vec![routes::Mirror { backend: Some(backend.clone()), per_million: 1_000_000 }],
        action: Some(routes::http_rule::Action::Forward(routes::Forward { backends: vec![backend] })),
        ..routes::HttpRule::default()
    }
}
