//! GRPCRoutes as HTTPRoutes: a call of gRPC is a request whose path names service and method, so everything
//! a GRPCRoute says has a form there, and one translation serves both kinds.

use gateway_api::experimental::grpcroutes::GrpcRouteSpec;
use gateway_api::experimental::httproutes::HttpRouteSpec;
use serde_json::{Value, json};

/// Stands for any service or any method in a path.
const ANY: &str = "[^/]+";

/// The HTTPRoute that says the same. Fields other than `method` have the same names and values in both kinds.
pub(crate) fn as_http(spec: &GrpcRouteSpec) -> HttpRouteSpec {
    // A spec is made of texts, numbers and lists of them, and each of its values is one of HTTPRoute, which a
    // test holds it to; were it not so, a route without parents would be left, and have no effect.
    let mut value = serde_json::to_value(spec).unwrap_or_default();
    let rules = value.get_mut("rules").and_then(Value::as_array_mut);
    for rule in rules.into_iter().flatten() {
        let matches = rule.get_mut("matches").and_then(Value::as_array_mut);
        for one in matches.into_iter().flatten().filter_map(Value::as_object_mut) {
            if let Some(path) = one.remove("method").as_ref().and_then(path_of) {
                one.insert("path".to_owned(), path);
            }
        }
    }
    serde_json::from_value(value).unwrap_or_default()
}

/// The path of the calls that a method match takes; `None` if it takes all.
fn path_of(written: &Value) -> Option<Value> {
    let text = |name: &str| written.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let path = |kind: &str, value: String| Some(json!({ "type": kind, "value": value }));
    let pattern = |part: Option<&str>| part.map_or_else(|| ANY.to_owned(), |part| format!("(?:{part})"));
    let (service, method) = (text("service"), text("method"));
    match (text("type") == Some("RegularExpression"), service, method) {
        (_, None, None) => None,
        (true, ..) => path("RegularExpression", format!("/{}/{}", pattern(service), pattern(method))),
        (false, Some(service), Some(method)) => path("Exact", format!("/{service}/{method}")),
        (false, Some(service), None) => path("PathPrefix", format!("/{service}/")),
        (false, None, Some(method)) => {
            path("RegularExpression", format!("/{ANY}/(?:{})", regex::escape(method)))
        }
    }
}

/// How many characters of a service and of a method a path made above names; the more, the closer the match.
pub(crate) fn named_lengths(path: &str) -> (usize, usize) {
    let length =
        |part: &str| part.strip_prefix("(?:").and_then(|it| it.strip_suffix(')')).unwrap_or(part).len();
    // What stands for anything names nothing, and has a slash in it.
    let path = path.replace(ANY, "");
    let path = path.strip_prefix('/').unwrap_or(&path);
    let (service, method) = path.rsplit_once('/').unwrap_or((path, ""));
    (length(service), length(method))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gw_32_a_method_is_a_path() {
        for (method, expected) in [
            (json!({ "service": "a.B", "method": "C" }), Some(("Exact", "/a.B/C", (3, 1)))),
            (json!({ "service": "a.B", "type": "Exact" }), Some(("PathPrefix", "/a.B/", (3, 0)))),
            (json!({ "method": "Get" }), Some(("RegularExpression", "/[^/]+/(?:Get)", (0, 3)))),
            (
                json!({ "type": "RegularExpression", "service": "a|b", "method": "x.*" }),
                Some(("RegularExpression", "/(?:a|b)/(?:x.*)", (3, 3))),
            ),
            (
                json!({ "type": "RegularExpression", "service": "a" }),
                Some(("RegularExpression", "/(?:a)/[^/]+", (1, 0))),
            ),
            (json!({ "service": "" }), None),
        ] {
            let path = path_of(&method);
            let lengths = path.as_ref().map(|it| named_lengths(it["value"].as_str().unwrap()));
            let shown = path.as_ref().map(|it| (it["type"].as_str().unwrap(), it["value"].as_str().unwrap()));
            assert_eq!(shown, expected.map(|it| (it.0, it.1)), "{method}");
            assert_eq!(lengths, expected.map(|it| it.2), "{method}");
        }
    }

    #[test]
    fn nothing_a_grpc_route_says_is_lost() {
        let change = json!({ "set": [{ "name": "a", "value": "b" }], "remove": ["c"] });
        let backend = json!({ "group": "", "kind": "Service", "name": "s", "namespace": "n", "port": 80 });
        let filters = json!([
            { "type": "RequestHeaderModifier", "requestHeaderModifier": change },
            { "type": "ResponseHeaderModifier", "responseHeaderModifier": change },
            { "type": "RequestMirror", "requestMirror": { "backendRef": backend, "percent": 5 } },
            { "type": "ExtensionRef", "extensionRef": { "group": "g", "kind": "K", "name": "e" } },
        ]);
        let mut weighted = backend.clone();
        weighted["weight"] = 3.into();
        weighted["filters"] = filters.clone();
        let spec = json!({
            "hostnames": ["h"],
            "parentRefs": [{ "group": "", "kind": "Service", "name": "p", "port": 80, "sectionName": "x" }],
            "rules": [{
                "name": "r", "filters": filters, "backendRefs": [weighted],
                "sessionPersistence": { "sessionName": "s", "type": "Header" },
                "matches": [{ "headers": [{ "name": "a", "type": "RegularExpression", "value": "b" }] }],
            }],
        });
        let read: GrpcRouteSpec = serde_json::from_value(spec.clone()).unwrap();
        assert_eq!(serde_json::to_value(as_http(&read)).unwrap(), spec);
    }
}
