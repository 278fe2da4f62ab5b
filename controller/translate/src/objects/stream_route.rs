//! TCPRoutes and TLSRoutes as HTTPRoutes: parents and backends are written the same way in all of them, so one
//! reading of references serves every kind. What there is to match, a TLSRoute says by its host names.

use gateway_api::experimental::httproutes::HttpRouteSpec;
use gateway_api::experimental::tlsroutes::{
    TlsRoute, TlsRouteParentRefs, TlsRouteRules, TlsRouteSpec, TlsRouteStatus, TlsRouteUseDefaultGateways,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Deserializer, Serialize};

/// A TLSRoute as it may be written: the versions before v1, to which the bindings belong, need no host names, and
/// one without takes whatever comes (L7-17).
#[derive(Deserialize)]
struct Written {
    metadata: ObjectMeta,
    spec: WrittenSpec,
    status: Option<TlsRouteStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenSpec {
    #[serde(default)]
    hostnames: Vec<String>,
    parent_refs: Option<Vec<TlsRouteParentRefs>>,
    rules: Vec<TlsRouteRules>,
    use_default_gateways: Option<TlsRouteUseDefaultGateways>,
}

/// Reads a TLSRoute of any version.
pub(super) fn deserialize_tls<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TlsRoute, D::Error> {
    let Written { metadata, spec, status } = Written::deserialize(deserializer)?;
    let WrittenSpec { hostnames, parent_refs, rules, use_default_gateways } = spec;
    let spec = TlsRouteSpec { hostnames, parent_refs, rules, use_default_gateways };
    Ok(TlsRoute { metadata, spec, status })
}

/// The HTTPRoute with the same parents, host names and backends.
pub(crate) fn as_http(spec: &impl Serialize) -> HttpRouteSpec {
    // Every field has the same name and values there, which a test holds it to; were it not so, a route without
    // parents would be left, and have no effect.
    serde_json::to_value(spec).and_then(serde_json::from_value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use gateway_api::experimental::tcproutes::TcpRouteSpec;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn nothing_a_tcp_or_tls_route_says_is_lost() {
        let mut written = json!({
            "parentRefs": [{ "group": "", "kind": "Service", "namespace": "n", "name": "a", "port": 1, "sectionName": "s" }],
            "rules": [{ "name": "first", "backendRefs": [
                { "group": "", "kind": "Service", "namespace": "n", "name": "a", "port": 1, "weight": 3 }
            ] }],
            "useDefaultGateways": "All",
        });
        let spec: TcpRouteSpec = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(without_nothing(&as_http(&spec)), written);
        let route = json!({ "metadata": { "name": "r" }, "spec": written });
        assert_eq!(deserialize_tls(route).unwrap().spec.hostnames, [""; 0], "none need be given");
        written["hostnames"] = json!(["a.example.com"]);
        let route = json!({ "metadata": { "name": "r" }, "spec": written });
        let read = deserialize_tls(route.clone()).unwrap();
        assert_eq!(without_nothing(&as_http(&read.spec)), written);
        assert_eq!(read, serde_json::from_value(route).unwrap(), "as the bindings read it");
    }

    fn without_nothing(spec: &HttpRouteSpec) -> Value {
        serde_json::to_value(spec).unwrap()
    }
}
