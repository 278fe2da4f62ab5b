//! Checks of TCPRoute and TLSRoute, as their API has them in its schema.

use std::net::IpAddr;

use gateway_api::experimental::tcproutes::TcpRouteSpec;
use gateway_api::experimental::tlsroutes::TlsRouteSpec;

use super::{Checks, http_route, virtual_service};
use crate::objects::stream_route_as_http;

pub(super) fn check_tcp(spec: &TcpRouteSpec, checks: &mut Checks) {
    http_route::check(&stream_route_as_http(spec), checks);
    check_rules(spec.rules.iter().map(|rule| rule.backend_refs.len()), checks);
}

/// The API server asks for a host name in the versions that need one.
pub(super) fn check_tls(spec: &TlsRouteSpec, checks: &mut Checks) {
    http_route::check(&stream_route_as_http(spec), checks);
    check_rules(spec.rules.iter().map(|rule| rule.backend_refs.len()), checks);
    checks.at_most("spec.hostnames", &spec.hostnames, 1024);
    for (at, host) in spec.hostnames.iter().enumerate() {
        let field = format!("spec.hostnames[{at}]");
        if host.parse::<IpAddr>().is_ok() {
            checks.fail(field, format!("{host:?} is an address; clients name hosts, so write a name"));
        } else if host.starts_with('*') && !host.starts_with("*.") {
            checks.fail(field, format!("{host:?} is not possible; write for instance *.example.com"));
        } else {
            virtual_service::check_host(host, &field, checks);
        }
    }
}

/// How many backends each rule has.
fn check_rules(backends: impl Iterator<Item = usize>, checks: &mut Checks) {
    let mut backends = backends.peekable();
    if backends.peek().is_none() {
        checks.fail("spec.rules", "one rule is needed");
    }
    for (at, _) in backends.enumerate().filter(|(_, count)| *count == 0) {
        checks.fail(format!("spec.rules[{at}].backendRefs"), "one backend is needed");
    }
}
