//! What the API server and Istio's webhook would refuse: checks beyond the shape of an object.

mod backend_tls_policy;
mod extension;
mod http_route;
mod kubernetes;
mod mesh_config;
mod policy;
mod rate_limit_policy;
mod resilience_policy;
mod service_entry;
mod stream_route;
mod traffic_policy;
mod virtual_service;

use std::fmt;

use super::Object;

/// More is not told about one object.
const MOST: usize = 50;

/// One thing that is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Where, for instance `spec.ports[0].port`.
    pub field: String,
    /// What, and what to write instead.
    pub reason: String,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.reason)
    }
}

/// Names what is wrong with an object; one with nothing wrong can be applied.
pub fn validate(object: &Object) -> Vec<Invalid> {
    let mut checks = Checks::default();
    kubernetes::metadata(object, &mut checks);
    match object {
        Object::Namespace(_) | Object::ServiceAccount(_) | Object::Node(_) | Object::GatewayClass(_) => {}
        Object::ConfigMap(object) => mesh_config::check(object, &mut checks),
        Object::Pod(object) => kubernetes::pod(object, &mut checks),
        Object::Deployment(object) => kubernetes::deployment(object, &mut checks),
        Object::Service(object) => kubernetes::service(object, &mut checks),
        Object::EndpointSlice(object) => kubernetes::endpoint_slice(object, &mut checks),
        Object::Gateway(object) => kubernetes::gateway(object, &mut checks),
        Object::HttpRoute(object) => http_route::check(&object.spec, &mut checks),
        Object::GrpcRoute(object) => http_route::check_grpc(&object.spec, &mut checks),
        Object::TcpRoute(object) => stream_route::check_tcp(&object.spec, &mut checks),
        Object::TlsRoute(object) => stream_route::check_tls(&object.spec, &mut checks),
        Object::BackendTlsPolicy(object) => backend_tls_policy::check(&object.spec, &mut checks),
        Object::VirtualService(object) => virtual_service::check(&object.spec, &mut checks),
        Object::DestinationRule(object) => virtual_service::check_destination_rule(&object.spec, &mut checks),
        Object::AuthorizationPolicy(object) => policy::check(&object.spec, &mut checks),
        Object::RateLimitPolicy(object) => rate_limit_policy::check(&object.spec, &mut checks),
        Object::ResiliencePolicy(object) => resilience_policy::check(&object.spec, &mut checks),
        Object::PeerAuthentication(object) => policy::check_peer_authentication(&object.spec, &mut checks),
        Object::ServiceEntry(object) => service_entry::check(&object.spec, &mut checks),
        Object::WorkloadEntry(object) => service_entry::check_workload(&object.spec, "spec", &mut checks),
        Object::WorkloadGroup(object) => service_entry::check_group(&object.spec, &mut checks),
        Object::RequestAuthentication(object) => extension::request_authentication(&object.spec, &mut checks),
        Object::Telemetry(object) => extension::telemetry(&object.spec, &mut checks),
        Object::IstioGateway(object) => extension::istio_gateway(&object.spec, &mut checks),
        Object::WasmPlugin(object) => extension::wasm_plugin(&object.spec, &mut checks),
        Object::TrafficExtension(object) => extension::traffic_extension(&object.spec, &mut checks),
        Object::EnvoyFilter(object) => extension::targets(None, None, &object.spec.target_refs, &mut checks),
        Object::ProxyConfig(object) => extension::proxy_config(&object.spec, &mut checks),
        // Everything that can be wrong with it was found when it was read.
        Object::Sidecar(_) => {}
    }
    checks.found
}

/// What has been found so far.
#[derive(Default)]
struct Checks {
    found: Vec<Invalid>,
}

impl Checks {
    fn fail(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        if self.found.len() < MOST {
            self.found.push(Invalid { field: field.into(), reason: reason.into() });
        }
    }

    fn port(&mut self, field: impl Into<String>, port: i32) {
        if !(1..=65535).contains(&port) {
            self.fail(field, format!("{port} is not a port; ports are 1 to 65535"));
        }
    }

    fn at_most<T>(&mut self, field: impl Into<String>, items: &[T], most: usize) {
        if items.len() > most {
            self.fail(field, format!("{} entries are too many; at most {most} are possible", items.len()));
        }
    }

    fn header_name(&mut self, field: impl Into<String>, name: &str) {
        if !is_token(name) {
            self.fail(field, format!("{name:?} is not the name of a header"));
        }
    }

    fn header_value(&mut self, field: impl Into<String>, value: &str) {
        if value.bytes().any(|byte| (byte < b' ' && byte != b'\t') || byte == 0x7f) {
            self.fail(field, "control characters are not possible in a header");
        }
    }

    fn pattern(&mut self, field: impl Into<String>, pattern: &str) {
        if let Some(message) = crate::resources::find_pattern_error(pattern) {
            self.fail(field, message);
        }
    }
}

/// Whether a text can be the name of a header or of a cookie.
pub(crate) fn is_token(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(legal)
}

/// The items that were there before, by index.
fn repeated<T: Ord>(items: impl Iterator<Item = T>) -> Vec<usize> {
    let mut seen = std::collections::BTreeSet::new();
    items.enumerate().filter_map(|(at, item)| (!seen.insert(item)).then_some(at)).collect()
}
