//! Who may ask what through a waypoint, and the tokens of end users, from manifests to answers.

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};

use crate::harness::{Mesh, echo_pod, namespace, service, waypoint};

const ON_WEB: &str = "targetRefs: [{group: '', kind: Service, name: web}]";

/// Two clients and two services behind one waypoint, and somebody outside the mesh.
fn shop() -> String {
    [
        namespace("prod", true),
        namespace("plain", false),
        echo_pod("prod", "client", "client", "v1", 1),
        echo_pod("prod", "stranger", "stranger", "v1", 2),
        echo_pod("prod", "web", "web", "v1", 2),
        echo_pod("prod", "api", "api", "v1", 1),
        echo_pod("plain", "out", "out", "v1", 2),
        service("prod", "web", "istio.io/use-waypoint: waypoint"),
        service("prod", "api", "istio.io/use-waypoint: waypoint"),
        waypoint("prod"),
    ]
    .concat()
}

fn policy(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
         metadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{spec}}}\n---\n"
    )
}

fn up() -> Mesh {
    let mesh = Mesh::up(&shop());
    for url in ["http://web/", "http://api/"] {
        mesh.call_until("prod/client", url, &["--json"], "x-request-id");
    }
    mesh.call_until("prod/stranger", "http://web/", &["--json"], "x-request-id");
    mesh
}

/// What an object's status says of waypoints.
fn told(mesh: &Mesh, kind: &str, name: &str, expected: &str) {
    let condition = || {
        let objects = mesh.get("policies");
        let object = objects.iter().find(|it| it["kind"] == kind && it["metadata"]["name"] == name)?;
        let conditions = object["status"]["conditions"].as_array()?;
        let accepted = conditions.iter().find(|it| it["type"] == "WaypointAccepted")?;
        let said = format!("{} {}", accepted["status"].as_str()?, accepted["reason"].as_str()?);
        (said == expected).then_some(())
    };
    mesh.eventually(condition, || format!("{kind} {name} does not say {expected}"));
}

#[test]
fn az_01_to_11_policies_at_a_waypoint() {
    let mesh = up();
    mesh.apply(&policy(
        "prod",
        "web",
        &format!(
            "{ON_WEB}, rules: [{{from: [{{source: {{principals: [cluster.local/ns/prod/sa/client]}}}}], \
             to: [{{operation: {{methods: [GET], paths: [/allowed, '/wild*', '/t/{{*}}/x']}}}}]}}, \
             {{to: [{{operation: {{paths: [/when]}}}}], \
             when: [{{key: 'request.headers[x-foo]', values: ['*'], notValues: [bad]}}]}}]"
        ),
    ));
    mesh.call_until("prod/client", "http://web/", &[], "403");
    told(&mesh, "AuthorizationPolicy", "web", "True Accepted");
    let status = |from: &str, url: &str, options: &[&str]| mesh.call(from, url, options)[..3].to_owned();
    // AZ-06, AZ-08.
    for (path, expected) in [
        ("/allowed", "200"),
        ("/wild-and-more", "200"),
        ("/t/any/x", "200"),
        ("/t/any/more/x", "403"),
        ("/other", "403"),
        ("//allowed", "403"),
        ("/%61llowed", "200"),
        ("/allowed/..%2fother", "400"),
    ] {
        assert_eq!(status("prod/client", &format!("http://web{path}"), &[]), expected, "{path}");
    }
    let denied = mesh.call("prod/client", "http://web/other", &["--body"]);
    assert!(denied.contains("RBAC: access denied"), "{denied}");
    // AZ-07: the client behind the waypoint is the client. AZ-10: headers. AZ-01: another service is open.
    assert_eq!(status("prod/stranger", "http://web/allowed", &[]), "403");
    assert_eq!(status("prod/stranger", "http://web/when", &["-H", "x-foo:good"]), "200");
    assert_eq!(status("prod/stranger", "http://web/when", &["-H", "x-foo:bad"]), "403");
    assert_eq!(status("prod/stranger", "http://web/when", &[]), "403");
    assert_eq!(status("prod/stranger", "http://api/", &[]), "200");
    // AZ-09.
    mesh.apply(&policy(
        "prod",
        "deny",
        &format!("{ON_WEB}, action: DENY, rules: [{{to: [{{operation: {{paths: [/wild-deny]}}}}]}}]"),
    ));
    mesh.call_until("prod/client", "http://web/wild-deny", &[], "403");
    assert_eq!(status("prod/client", "http://web/wild-and-more", &[]), "200");
    // AZ-11: whoever goes around the waypoint is stopped by who admits only the waypoint.
    assert_eq!(status("plain/out", "http://web.prod/allowed", &[]), "200");
    mesh.apply(&policy(
        "prod",
        "only-waypoint",
        "selector: {matchLabels: {app: web}}, \
         rules: [{from: [{source: {principals: [cluster.local/ns/prod/sa/waypoint]}}]}]",
    ));
    mesh.eventually(
        || (!mesh.call("plain/out", "http://web.prod/allowed", &[]).starts_with("200")).then_some(()),
        || "around the waypoint it is still open".to_owned(),
    );
    assert_eq!(status("prod/client", "http://web/allowed", &[]), "200");
    // What carries no HTTP: a permission for requests is none.
    let tcp = mesh.call("prod/client", "tcp://web:9000", &["-d", "hi", "--body"]);
    assert!(tcp.starts_with("failed") || !tcp.contains("web"), "{tcp}");
    assert!(mesh.call("prod/client", "tcp://api:9000", &["-d", "hi", "--body"]).contains("api"));
}

#[test]
fn az_03_04_05_20_policies_for_whole_waypoints() {
    let mesh = up();
    let class = "targetRefs: [{group: gateway.networking.k8s.io, kind: GatewayClass, name: istio-waypoint}]";
    mesh.apply(&policy("istio-system", "default-deny", class));
    for (from, url) in [("prod/client", "http://web/"), ("prod/stranger", "http://api/")] {
        mesh.call_until(from, url, &[], "403");
    }
    told(&mesh, "AuthorizationPolicy", "default-deny", "True Accepted");
    let gateway = "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: waypoint}], \
                   rules: [{to: [{operation: {methods: [GET]}}]}]";
    mesh.apply(&policy("prod", "get", gateway));
    mesh.call_until("prod/client", "http://web/", &[], "200");
    assert!(mesh.call("prod/client", "http://api/", &[]).starts_with("200"));
    // AZ-20.
    mesh.apply(&policy("prod", "nowhere", "targetRefs: [{group: '', kind: Service, name: typo}]"));
    told(&mesh, "AuthorizationPolicy", "nowhere", "False TargetNotFound");
    // A policy that leaves the decision to somebody outside denies what it matches.
    let custom = "action: CUSTOM, provider: {name: opa}, rules: [{to: [{operation: {paths: [/ask]}}]}]";
    mesh.apply(&policy("prod", "custom", &format!("{ON_WEB}, {custom}")));
    mesh.call_until("prod/client", "http://web/ask", &[], "403");
    assert!(mesh.call("prod/client", "http://web/", &[]).starts_with("200"));
    told(&mesh, "AuthorizationPolicy", "custom", "True PartiallyInvalid");
    // A dry run changes nothing.
    mesh.apply(&policy("prod", "dry", &format!("{ON_WEB}, action: DENY, rules: [{{}}]")).replacen(
        "namespace: prod",
        "namespace: prod, annotations: {istio.io/dry-run: 'true'}",
        1,
    ));
    told(&mesh, "AuthorizationPolicy", "dry", "True Accepted");
    assert!(mesh.call("prod/client", "http://web/", &[]).starts_with("200"));
    mesh.delete("authorizationpolicy", "prod", "get");
    mesh.call_until("prod/client", "http://web/", &[], "403");
    mesh.delete("authorizationpolicy", "istio-system", "default-deny");
    mesh.call_until("prod/client", "http://web/", &[], "200");
}

/// Somebody who makes tokens.
struct Issuer(EncodingKey);

impl Issuer {
    fn new() -> Issuer {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        Issuer(EncodingKey::from_ec_der(&pair.serialize_der()))
    }

    fn rule(&self, name: &str) -> Value {
        let key = Jwk::from_encoding_key(&self.0, Algorithm::ES256).unwrap();
        json!({ "issuer": name, "jwks": json!({ "keys": [key] }).to_string(),
                "outputClaimToHeaders": [{ "header": "x-user", "claim": "sub" }] })
    }

    /// Good for an hour, or since an hour no more.
    fn token(&self, issuer: &str, subject: &str, hours: i64) -> String {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let expires = i64::try_from(now).unwrap() + hours * 3600;
        let claims = json!({ "iss": issuer, "sub": subject, "exp": expires });
        let token = jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &self.0).unwrap();
        format!("authorization:Bearer {token}")
    }
}

fn authentication(name: &str, place: Value, rules: &[Value]) -> String {
    let mut spec = json!({ "jwtRules": rules });
    for (key, value) in place.as_object().unwrap() {
        spec[key] = value.clone();
    }
    json!({ "apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication",
            "metadata": { "name": name, "namespace": "prod" }, "spec": spec })
    .to_string()
        + "\n---\n"
}

#[test]
fn az_13_to_17_tokens_at_a_waypoint() {
    let mesh = up();
    let (one, two, three) = (Issuer::new(), Issuer::new(), Issuer::new());
    let on_web = json!({ "targetRefs": [{ "group": "", "kind": "Service", "name": "web" }] });
    let selecting = json!({ "selector": { "matchLabels": { "app": "web" } } });
    mesh.apply(
        &(authentication("tokens", on_web, &[one.rule("issuer-1"), two.rule("issuer-2")])
            + &authentication("elsewhere", selecting, &[three.rule("issuer-3")])),
    );
    mesh.apply(&policy(
        "prod",
        "web",
        &format!(
            "{ON_WEB}, rules: [{{from: [{{source: {{requestPrincipals: [issuer-1/sub-1]}}}}]}}, \
             {{to: [{{operation: {{paths: [/healthz]}}}}]}}]"
        ),
    ));
    mesh.call_until("prod/client", "http://web/", &[], "403");
    told(&mesh, "RequestAuthentication", "tokens", "True Accepted");
    let good = one.token("issuer-1", "sub-1", 1);
    // AZ-14. The token ends at the waypoint, and the backend is told whose it was.
    let answer = mesh.call_until(
        "prod/client",
        "http://web/",
        &["-H", &good, "-H", "x-user:forged", "--json"],
        "\"status\":200",
    );
    assert!(answer.contains("\"x-user\":\"sub-1\"") && !answer.contains("Bearer"), "{answer}");
    for (path, token, expected) in [
        ("/", None, "403"),
        ("/", Some(one.token("issuer-1", "sub-2", 1)), "403"),
        ("/", Some(two.token("issuer-2", "sub-1", 1)), "403"),
        ("/", Some(one.token("issuer-1", "sub-1", -1)), "401"),
        ("/", Some(two.token("issuer-1", "sub-1", 1)), "401"),
        // AZ-16: it is known only where a selector names sidecars.
        ("/", Some(three.token("issuer-3", "sub-1", 1)), "401"),
        ("/", Some("authorization:Bearer opaque".to_owned()), "401"),
        ("/healthz", None, "200"),
    ] {
        let options = token.as_ref().map(|token| ["-H", token.as_str()]);
        let answer = mesh.call(
            "prod/client",
            &format!("http://web{path}"),
            options.as_ref().map_or(&[], |it| &it[..]),
        );
        assert!(answer.starts_with(expected), "{path} {token:?}: {answer}");
    }
    let expired =
        mesh.call("prod/client", "http://web/", &["-H", &one.token("issuer-1", "sub-1", -1), "--body"]);
    assert!(expired.contains("Jwt is expired"), "{expired}");
    // Another service of the same waypoint knows no issuers, and so looks at no tokens.
    assert!(
        mesh.call("prod/client", "http://api/", &["-H", "authorization:Bearer opaque"]).starts_with("200")
    );
}
