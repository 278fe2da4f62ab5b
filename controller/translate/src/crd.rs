//! The CustomResourceDefinitions of Istio's kinds and of our own, made from the types that read them: what the API server
//! accepts is what the controller understands. `cargo run -p xtask -- crds` writes them for the chart.

mod columns;
mod structural;

use schemars::JsonSchema;
use serde_json::{Value, json};

use crate::objects::{
    AuthorizationPolicySpec, DestinationRuleSpec, EnvoyFilterSpec, IstioGatewaySpec, Kind,
    PeerAuthenticationSpec, ProxyConfigSpec, RateLimitPolicySpec, RequestAuthenticationSpec,
    ResiliencePolicySpec, ServiceEntrySpec, SidecarSpec, TelemetrySpec, TrafficExtensionSpec,
    VirtualServiceSpec, WasmPluginSpec, WorkloadEntrySpec, WorkloadGroupSpec,
};

pub use structural::find_breaches;

/// Tells our definitions from those of others.
pub const LABEL: &str = "adit.io/crd";

/// What the name of a kind does not say.
struct Names {
    kind: Kind,
    plural: &'static str,
    short: &'static [&'static str],
    /// The version objects are stored in; the first served one if empty.
    storage: &'static str,
    schema: fn() -> Value,
}

#[rustfmt::skip]
const NAMES: [Names; 17] = [
    Names { kind: Kind::VirtualService, plural: "virtualservices", short: &["vs"], storage: "", schema: schema::<VirtualServiceSpec> },
    Names { kind: Kind::DestinationRule, plural: "destinationrules", short: &["dr"], storage: "", schema: schema::<DestinationRuleSpec> },
    Names { kind: Kind::ServiceEntry, plural: "serviceentries", short: &["se"], storage: "", schema: schema::<ServiceEntrySpec> },
    Names { kind: Kind::WorkloadEntry, plural: "workloadentries", short: &["we"], storage: "", schema: schema::<WorkloadEntrySpec> },
    Names { kind: Kind::WorkloadGroup, plural: "workloadgroups", short: &["wg"], storage: "", schema: schema::<WorkloadGroupSpec> },
    Names { kind: Kind::IstioGateway, plural: "gateways", short: &["gw"], storage: "", schema: schema::<IstioGatewaySpec> },
    Names { kind: Kind::Sidecar, plural: "sidecars", short: &[], storage: "", schema: schema::<SidecarSpec> },
    Names { kind: Kind::EnvoyFilter, plural: "envoyfilters", short: &[], storage: "", schema: schema::<EnvoyFilterSpec> },
    Names { kind: Kind::ProxyConfig, plural: "proxyconfigs", short: &[], storage: "", schema: schema::<ProxyConfigSpec> },
    Names { kind: Kind::AuthorizationPolicy, plural: "authorizationpolicies", short: &["ap"], storage: "", schema: schema::<AuthorizationPolicySpec> },
    Names { kind: Kind::PeerAuthentication, plural: "peerauthentications", short: &["pa"], storage: "", schema: schema::<PeerAuthenticationSpec> },
    Names { kind: Kind::RequestAuthentication, plural: "requestauthentications", short: &["ra"], storage: "", schema: schema::<RequestAuthenticationSpec> },
    Names { kind: Kind::Telemetry, plural: "telemetries", short: &[], storage: "v1alpha1", schema: schema::<TelemetrySpec> },
    Names { kind: Kind::WasmPlugin, plural: "wasmplugins", short: &[], storage: "", schema: schema::<WasmPluginSpec> },
    Names { kind: Kind::TrafficExtension, plural: "trafficextensions", short: &[], storage: "", schema: schema::<TrafficExtensionSpec> },
    Names { kind: Kind::RateLimitPolicy, plural: "ratelimitpolicies", short: &[], storage: "", schema: schema::<RateLimitPolicySpec> },
    Names { kind: Kind::ResiliencePolicy, plural: "resiliencepolicies", short: &[], storage: "", schema: schema::<ResiliencePolicySpec> },
];

/// One definition.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// The kind it defines.
    pub kind: Kind,
    /// Its name, `<plural>.<group>`.
    pub name: String,
    /// The object to apply.
    pub object: Value,
}

/// All definitions, in a fixed order.
pub fn definitions() -> Vec<Definition> {
    NAMES.iter().map(define).collect()
}

fn define(names: &Names) -> Definition {
    let (kind, group) = (names.kind, names.kind.group());
    let name = format!("{}.{group}", names.plural);
    let stored = if names.storage.is_empty() { kind.versions()[0] } else { names.storage };
    let schema = json!({
        "type": "object",
        "required": ["spec"],
        "properties": { "spec": (names.schema)(), "status": status(kind) },
    });
    let versions = kind.versions().iter().map(|version| {
        let mut it = json!({
            "name": version,
            "served": true,
            "storage": *version == stored,
            "schema": { "openAPIV3Schema": schema },
            "subresources": { "status": {} },
        });
        if let Some(columns) = columns::of(kind) {
            it["additionalPrinterColumns"] = columns;
        }
        it
    });
    let mut spec_names = json!({
        "kind": kind.as_str(),
        "listKind": format!("{kind}List"),
        "plural": names.plural,
        "singular": kind.as_str().to_ascii_lowercase(),
        "categories": categories(group),
    });
    if !names.short.is_empty() {
        spec_names["shortNames"] = json!(names.short);
    }
    let object = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": name,
            "labels": { LABEL: "true" },
            // Objects must outlive a chart that is taken away by mistake.
            "annotations": { "helm.sh/resource-policy": "keep" },
        },
        "spec": {
            "group": group,
            "names": spec_names,
            "scope": "Namespaced",
            "versions": versions.collect::<Vec<_>>(),
        },
    });
    Definition { kind, name, object }
}

/// By which `kubectl get` shows several kinds together.
fn categories(group: &str) -> Vec<String> {
    let own = group.replace('.', "-");
    match group.ends_with("istio.io") {
        true => vec!["istio-io".to_owned(), own],
        false => vec![own],
    }
}

fn schema<T: JsonSchema>() -> Value {
    structural::of::<T>()
}

/// Open: others write conditions of their own.
fn status(kind: Kind) -> Value {
    let mut status = json!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": {
            "conditions": {
                "type": "array",
                "items": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
            },
            "validationMessages": {
                "type": "array",
                "items": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
            },
            "observedGeneration": { "x-kubernetes-int-or-string": true },
        },
    });
    if kind == Kind::ServiceEntry {
        status["properties"]["addresses"] = json!({
            "type": "array",
            "description": "Addresses that were allocated for the hosts.",
            "items": {
                "type": "object",
                "properties": { "value": { "type": "string" }, "host": { "type": "string" } },
            },
        });
    }
    status
}

#[cfg(test)]
mod tests;
