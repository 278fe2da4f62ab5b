//! Checks of the mesh's own settings; other ConfigMaps have none.

use k8s_openapi::api::core::v1::ConfigMap;

use super::{Checks, repeated};
use crate::objects::{MESH_CONFIG_KEY, MeshConfig};

pub(super) fn check(object: &ConfigMap, checks: &mut Checks) {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let is_meant = name == "istio" || name.starts_with("istio-");
    let Some(text) = object.data.as_ref().and_then(|data| data.get(MESH_CONFIG_KEY)).filter(|_| is_meant)
    else {
        return;
    };
    let config = match MeshConfig::parse(text) {
        Ok(config) => config,
        Err(reason) => return checks.fail("data.mesh", reason),
    };
    let sampling = config.reporting.default_config.tracing.sampling;
    if sampling.is_some_and(|it| !(0.0..=100.0).contains(&it)) {
        let field = "data.mesh.defaultConfig.tracing.sampling";
        checks.fail(field, "is not a percentage; use 0 to 100");
    }
    let policies = config.service_entry_visibility.iter().flat_map(|it| it.policies.iter().enumerate());
    for (at, policy) in policies {
        let rules = policy.matching_rules.iter().enumerate();
        for (rule, _) in rules.filter(|(_, rule)| rule.namespace_selector.is_none()) {
            let field = format!("data.mesh.serviceEntryVisibility.policies[{at}].matchingRules[{rule}]");
            checks.fail(field, "matches nothing; it needs a namespaceSelector");
        }
    }
    let providers = &config.extension_providers;
    for at in repeated(providers.iter().map(|provider| &provider.name)) {
        let reason = format!("{:?} is there twice", providers[at].name);
        checks.fail(format!("data.mesh.extensionProviders[{at}].name"), reason);
    }
    for (at, provider) in providers.iter().enumerate() {
        let path = format!("data.mesh.extensionProviders[{at}]");
        if provider.name.is_empty() {
            checks.fail(format!("{path}.name"), "is needed");
        }
        if let Some((service, port)) = provider.address() {
            if service.is_empty() {
                checks.fail(format!("{path}.service"), "is needed");
            }
            checks.port(format!("{path}.port"), i32::try_from(port).unwrap_or(i32::MAX));
        }
        let Some(authorizer) = provider.authorizer() else { continue };
        let status = authorizer.status_on_error.as_deref();
        let is_error = |text: &str| text.parse().is_ok_and(|status: u16| (400..600).contains(&status));
        if status.is_some_and(|text| !is_error(text)) {
            checks.fail(format!("{path}.statusOnError"), "is not the status of an error; use 400 to 599");
        }
        let headers =
            provider.envoy_ext_authz_http.iter().flat_map(|it| &it.include_additional_headers_in_check);
        for (name, value) in headers {
            checks.header_name(format!("{path}.includeAdditionalHeadersInCheck"), name);
            checks.header_value(format!("{path}.includeAdditionalHeadersInCheck[{name}]"), value);
        }
    }
}
