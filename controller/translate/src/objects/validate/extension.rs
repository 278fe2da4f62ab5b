//! Checks of the kinds that are attached to waypoints but have no effect yet, and of Istio's Gateway.

use super::Checks;
use crate::objects::{
    IstioGatewaySpec, LabelSelector, ProxyConfigSpec, RequestAuthenticationSpec, TargetRef, TelemetrySpec,
    TrafficExtensionSpec, WasmPluginSpec,
};
use crate::resources::check_key_set;

/// What is in the way of an object being attached somewhere.
pub(super) fn targets(
    selector: Option<&LabelSelector>,
    target: Option<&TargetRef>,
    targets: &[TargetRef],
    checks: &mut Checks,
) {
    let places = [selector.is_some(), target.is_some(), !targets.is_empty()];
    if places.iter().filter(|given| **given).count() > 1 {
        checks.fail("spec", "only one of selector, targetRef and targetRefs is possible");
    }
    checks.at_most("spec.targetRefs", targets, 16);
    for it in target.into_iter().chain(targets) {
        if it.kind.is_empty() || it.name.is_empty() {
            checks.fail("spec.targetRefs", "kind and name are needed");
        }
    }
}

pub(super) fn request_authentication(spec: &RequestAuthenticationSpec, checks: &mut Checks) {
    targets(spec.selector.as_ref(), spec.target_ref.as_ref(), &spec.target_refs, checks);
    checks.at_most("spec.jwtRules", &spec.jwt_rules, 4096);
    for (at, rule) in spec.jwt_rules.iter().enumerate() {
        let path = format!("spec.jwtRules[{at}]");
        if rule.issuer.is_empty() {
            checks.fail(format!("{path}.issuer"), "is needed");
        }
        if rule.jwks_uri.is_some() && rule.jwks.is_some() {
            checks.fail(&path, "only one of jwksUri and jwks is possible");
        }
        let uri = rule.jwks_uri.as_deref();
        if uri.is_some_and(|it| !it.starts_with("https://") && !it.starts_with("http://")) {
            checks.fail(format!("{path}.jwksUri"), "has to begin with https:// or http://");
        }
        for it in &rule.from_headers {
            checks.header_name(format!("{path}.fromHeaders"), &it.name);
        }
        for it in &rule.output_claim_to_headers {
            checks.header_name(format!("{path}.outputClaimToHeaders"), &it.header);
            if it.claim.is_empty() {
                checks.fail(format!("{path}.outputClaimToHeaders"), "claim is needed");
            }
        }
        if let Some(it) = rule.output_payload_to_header.as_deref().filter(|it| !it.is_empty()) {
            checks.header_name(format!("{path}.outputPayloadToHeader"), it);
        }
        if let Some(Err(reason)) = rule.jwks.as_deref().filter(|it| !it.is_empty()).map(check_key_set) {
            checks.fail(format!("{path}.jwks"), reason);
        }
    }
}

pub(super) fn telemetry(spec: &TelemetrySpec, checks: &mut Checks) {
    targets(spec.selector.as_ref(), spec.target_ref.as_ref(), &spec.target_refs, checks);
    for (at, tracing) in spec.tracing.iter().enumerate() {
        let path = format!("spec.tracing[{at}]");
        checks.at_most(format!("{path}.providers"), &tracing.providers, 1);
        if tracing.random_sampling_percentage.is_some_and(|it| !(0.0..=100.0).contains(&it)) {
            checks.fail(format!("{path}.randomSamplingPercentage"), "is not a percentage; use 0 to 100");
        }
        for (name, tag) in &tracing.custom_tags {
            let sources = [
                tag.literal.is_some(),
                tag.environment.is_some(),
                tag.header.is_some(),
                tag.formatter.is_some(),
            ];
            if sources.iter().filter(|given| **given).count() != 1 {
                let reason = "exactly one of literal, environment, header and formatter is needed";
                checks.fail(format!("{path}.customTags.{name}"), reason);
            }
        }
    }
}

pub(super) fn proxy_config(spec: &ProxyConfigSpec, checks: &mut Checks) {
    if let Some(threads) = spec.concurrency.filter(|threads| *threads < 0) {
        checks.fail(
            "spec.concurrency",
            format!("{threads} is no number of threads; 0 means one for every core"),
        );
    }
    for name in spec.environment_variables.keys() {
        let can_be_named = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'=';
        if name.is_empty() || !name.bytes().all(can_be_named) {
            let reason = format!("{name:?} is not the name of a variable; use printable ASCII without \"=\"");
            checks.fail("spec.environmentVariables", reason);
        }
    }
}

pub(super) fn wasm_plugin(spec: &WasmPluginSpec, checks: &mut Checks) {
    targets(spec.selector.as_ref(), spec.target_ref.as_ref(), &spec.target_refs, checks);
    wasm(&spec.url, &spec.sha256, "spec", checks);
}

pub(super) fn traffic_extension(spec: &TrafficExtensionSpec, checks: &mut Checks) {
    targets(spec.selector.as_ref(), None, &spec.target_refs, checks);
    if spec.wasm.is_some() == spec.lua.is_some() {
        checks.fail("spec", "exactly one of wasm and lua is needed");
    }
    if let Some(it) = &spec.wasm {
        wasm(&it.url, &it.sha256, "spec.wasm", checks);
    }
    if spec.lua.as_ref().is_some_and(|it| it.inline_code.is_empty() || it.inline_code.len() > 65_536) {
        checks.fail("spec.lua.inlineCode", "is needed, at most 65536 bytes of it");
    }
}

fn wasm(url: &str, sha256: &str, path: &str, checks: &mut Checks) {
    if url.is_empty() {
        checks.fail(format!("{path}.url"), "is needed");
    }
    let is_hash = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !sha256.is_empty() && !is_hash {
        checks.fail(format!("{path}.sha256"), "is not a hash; 64 digits of base 16 are needed");
    }
}

pub(super) fn istio_gateway(spec: &IstioGatewaySpec, checks: &mut Checks) {
    if spec.servers.is_empty() {
        checks.fail("spec.servers", "one is needed");
    }
    for (at, server) in spec.servers.iter().enumerate() {
        if server.port.is_none() {
            checks.fail(format!("spec.servers[{at}].port"), "is needed");
        }
        if server.hosts.is_empty() {
            checks.fail(format!("spec.servers[{at}].hosts"), "one host is needed");
        }
    }
}
