//! That the definitions are ones the API server takes, and that they say what the types say.

use super::*;

fn spec_of(kind: Kind) -> Value {
    let all = definitions();
    let object = &all.iter().find(|it| it.kind == kind).unwrap().object;
    object["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone()
}

#[test]
fn every_schema_is_structural() {
    for definition in definitions() {
        for version in definition.object["spec"]["versions"].as_array().unwrap() {
            let schema = &version["schema"]["openAPIV3Schema"];
            let found = find_breaches(schema);
            assert!(found.is_empty(), "{}: {}", definition.name, found.join("\n"));
        }
    }
}

#[test]
fn breaches_are_found() {
    let schema = json!({ "type": "object", "properties": {
        "a": {}, "b": { "type": "array" }, "c": { "type": "string", "default": "x" },
    } });
    assert_eq!(find_breaches(&schema), [".a: has no type", ".b: has no items", ".c: has default"]);
}

#[test]
fn one_version_is_stored() {
    for definition in definitions() {
        let versions = definition.object["spec"]["versions"].as_array().unwrap().clone();
        let stored: Vec<_> = versions.iter().filter(|it| it["storage"] == true).collect();
        assert_eq!(stored.len(), 1, "{}", definition.name);
        let expected = match definition.kind {
            Kind::EnvoyFilter => "v1alpha3",
            Kind::ProxyConfig => "v1beta1",
            Kind::Telemetry | Kind::WasmPlugin | Kind::TrafficExtension => "v1alpha1",
            Kind::RateLimitPolicy | Kind::ResiliencePolicy => "v1alpha1",
            _ => "v1",
        };
        assert_eq!(stored[0]["name"], expected, "{}", definition.name);
    }
}

#[test]
fn choices_become_plain_types() {
    let route = spec_of(Kind::VirtualService)["properties"]["http"]["items"]["properties"].clone();
    let uri = &route["match"]["items"]["properties"]["uri"];
    assert_eq!(uri["type"], "object");
    assert_eq!(uri["properties"]["prefix"], json!({ "type": "string" }));
    let body = &route["directResponse"]["properties"]["body"];
    assert_eq!(body["properties"]["bytes"], json!({ "type": "string" }));
    assert!(body.get("required").is_none(), "either is possible");
    let port = &route["match"]["items"]["properties"]["port"];
    assert_eq!(port, &json!({ "type": "integer", "minimum": 1, "maximum": 65535 }));
    let policy = spec_of(Kind::AuthorizationPolicy);
    let action = &policy["properties"]["action"]["enum"];
    assert_eq!(action, &json!(["ALLOW", "DENY", "AUDIT", "CUSTOM"]));
    let modes = &spec_of(Kind::PeerAuthentication)["properties"]["portLevelMtls"]["additionalProperties"];
    assert_eq!(
        modes["properties"]["mode"]["enum"],
        json!(["UNSET", "DISABLE", "PERMISSIVE", "STRICT"]),
        "variants with and without a description of their own"
    );
}
