//! Policies as they are written, judged as a node proxy judges them: what the conversion has to come out at.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "support/document.rs"]
mod document;

use std::net::SocketAddr;

use controller_translate::{Cluster, Name, Resource, ResourceKey, Settings, resources};
use mesh_authz::{Connection, authorize};
use mesh_model::{Identity, NamespacedHostname, Policy, PolicyRule, Scope, Workload};

const POD: &str = r#"
apiVersion: v1
kind: Pod
metadata: { name: server, namespace: prod, labels: { app: server } }
spec: { containers: [{ name: app, image: echo }] }
status: { podIP: 10.0.0.1 }
"#;

/// The policies that apply to the pod `prod/server` among these objects.
fn policies(objects: &str) -> Vec<Policy> {
    let mut cluster = Cluster::new(Settings::default());
    for text in document::split(&format!("{POD}\n---\n{objects}")) {
        cluster.apply(document::read(text).unwrap().1);
    }
    let key = cluster.workload_key(&Name::new("prod", "server"));
    let Some(Resource::Workload(workload)) = resources::derive(&cluster, &key) else { panic!("no workload") };
    let policies = resources::keys(&cluster).into_iter().filter_map(|key| match key {
        ResourceKey::Policy(_) => resources::derive(&cluster, &key),
        _ => None,
    });
    let policies = policies.filter_map(|resource| match resource {
        Resource::Policy(policy) if applies(&policy, &workload) => Some(*policy),
        _ => None,
    });
    policies.collect()
}

/// As wire.md §5.5 has it.
fn applies(policy: &Policy, workload: &Workload) -> bool {
    match policy.scope {
        Scope::Global => true,
        Scope::Namespace => policy.key.namespace == workload.namespace,
        Scope::WorkloadSelector => workload.authorization_policies.contains(&policy.key),
    }
}

/// Whether a caller gets through to a port; `None` is a caller without identity.
fn is_allowed(policies: &[Policy], caller: Option<(&str, &str)>, port: u16) -> bool {
    let identity = caller.map(|(namespace, account)| Identity::new("cluster.local", namespace, account));
    let source = "10.0.0.2".parse().unwrap();
    let destination = SocketAddr::new("10.0.0.1".parse().unwrap(), port);
    let connection = Connection { source, source_identity: identity.as_ref(), destination };
    authorize(policies, &connection).is_ok()
}

const MESH: Option<(&str, &str)> = Some(("test", "client"));

fn mode(name: &str, namespace: &str, spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n\
         metadata: {{ name: {name}, namespace: {namespace} }}\nspec: {spec}\n---\n"
    )
}

fn policy(name: &str, namespace: &str, spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
         metadata: {{ name: {name}, namespace: {namespace} }}\nspec: {spec}\n---\n"
    )
}

const STRICT: &str = "{ mtls: { mode: STRICT } }";
const PERMISSIVE: &str = "{ mtls: { mode: PERMISSIVE } }";

#[test]
fn l4_19_strict_keeps_callers_without_identity_out_and_permissive_does_not() {
    for (objects, plain) in [
        (String::new(), true),
        (mode("a", "prod", PERMISSIVE), true),
        (mode("a", "prod", STRICT), false),
        (mode("a", "istio-system", STRICT), false),
        (mode("a", "istio-system", STRICT) + &mode("a", "prod", PERMISSIVE), true),
        (mode("a", "istio-system", STRICT) + &mode("a", "prod", "{ mtls: { mode: DISABLE } }"), true),
        (mode("a", "istio-system", STRICT) + &mode("a", "prod", "{}"), false),
        (mode("a", "other", STRICT), true),
    ] {
        let policies = policies(&objects);
        assert_eq!(is_allowed(&policies, None, 80), plain, "{objects}");
        assert!(is_allowed(&policies, MESH, 80), "{objects}");
    }
}

fn selected(mtls: &str, ports: &str) -> String {
    format!("{{ selector: {{ matchLabels: {{ app: server }} }}, {mtls} portLevelMtls: {ports} }}")
}

#[test]
fn l4_20_permissive_ports_of_a_strict_workload_take_plain_text() {
    let spec =
        selected("mtls: { mode: STRICT },", "{ 18080: { mode: PERMISSIVE }, 19090: { mode: DISABLE } }");
    let policies = policies(&mode("a", "prod", &spec));
    let open = [80, 18080, 19090].map(|port| is_allowed(&policies, None, port));
    assert_eq!(open, [false, true, true]);
    assert!(is_allowed(&policies, MESH, 80));
}

#[test]
fn l4_21_permissive_ports_of_a_strict_mesh_take_plain_text() {
    let own = mode("a", "prod", &selected("", "{ 18080: { mode: PERMISSIVE } }"));
    let policies = policies(&(mode("mesh", "istio-system", STRICT) + &own));
    assert_eq!([80, 18080].map(|port| is_allowed(&policies, None, port)), [false, true]);
}

#[test]
fn l4_22_strict_ports_of_a_permissive_mesh_do_not_take_plain_text() {
    let own = mode("a", "prod", &selected("", "{ 18080: { mode: STRICT } }"));
    let policies = policies(&(mode("mesh", "istio-system", PERMISSIVE) + &own));
    assert_eq!([80, 18080].map(|port| is_allowed(&policies, None, port)), [true, false]);
    assert!(is_allowed(&policies, MESH, 18080));
}

#[test]
fn l4_28_of_two_of_equal_scope_the_older_one_counts() {
    let made = |name: &str, when: &str, spec: &str| {
        mode(name, "prod", spec)
            .replace("namespace: prod", &format!("namespace: prod, creationTimestamp: {when:?}"))
    };
    let (earlier, later) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
    let with_selector = |mode: &str| selected(&format!("mtls: {{ mode: {mode} }},"), "{}");
    for (older, newer, plain) in [
        (STRICT.to_owned(), PERMISSIVE.to_owned(), false),
        (PERMISSIVE.to_owned(), STRICT.to_owned(), true),
        (with_selector("STRICT"), with_selector("PERMISSIVE"), false),
        (with_selector("PERMISSIVE"), with_selector("STRICT"), true),
    ] {
        // Whatever their names and the order they come in.
        for objects in [
            made("a", earlier, &older) + &made("z", later, &newer),
            made("a", later, &newer) + &made("z", earlier, &older),
        ] {
            assert_eq!(is_allowed(&policies(&objects), None, 80), plain, "{objects}");
        }
    }
}

#[test]
fn l4_30_what_only_a_waypoint_can_know_of_the_source_makes_a_policy_stricter() {
    for source in ["remoteIpBlocks: [0.0.0.0/0]", "requestPrincipals: [\"*\"]", "notRequestPrincipals: [x]"] {
        let rule = format!("rules: [{{ from: [{{ source: {{ namespaces: [test], {source} }} }}] }}]");
        let allowing = policies(&policy("a", "prod", &format!("{{ {rule} }}")));
        assert!(!is_allowed(&allowing, MESH, 80), "ALLOW loses the rule: {source}");
        let denying = policies(&policy("a", "prod", &format!("{{ action: DENY, {rule} }}")));
        assert!(!is_allowed(&denying, MESH, 80), "DENY loses its condition: {source}");
        assert!(is_allowed(&denying, Some(("other", "client")), 80), "{source}");
    }
}

#[test]
fn l4_06_an_empty_policy_denies_everything_where_it_is() {
    for (namespace, allowed) in [("prod", false), ("istio-system", false), ("other", true)] {
        assert_eq!(is_allowed(&policies(&policy("a", namespace, "{}")), MESH, 80), allowed, "{namespace}");
    }
}

#[test]
fn l4_25_a_waypoint_can_be_let_through_a_default_denial() {
    let own = "{ selector: { matchLabels: { app: server } }, rules: [{ from: [{ source: { principals: \
               [cluster.local/ns/prod/sa/waypoint] } }] }] }";
    let policies = policies(&(policy("deny", "istio-system", "{}") + &policy("own", "prod", own)));
    assert!(is_allowed(&policies, Some(("prod", "waypoint")), 80));
    assert!(!is_allowed(&policies, MESH, 80));
    assert!(!is_allowed(&policies, None, 80));
}

#[test]
fn l4_23_what_a_node_proxy_cannot_judge_makes_a_policy_stricter() {
    let get_from_test = "from: [{ source: { namespaces: [test] } }], to: [{ operation: { methods: [GET] } }]";
    for (spec, test, other) in [
        // ALLOW: the rule is gone, and with it the permission.
        (format!("{{ rules: [{{ {get_from_test} }}] }}"), false, false),
        (
            format!(
                "{{ rules: [{{ {get_from_test} }}, {{ from: [{{ source: {{ namespaces: [other] }} }}] }}] }}"
            ),
            false,
            true,
        ),
        // DENY: everything from the namespace.
        (format!("{{ action: DENY, rules: [{{ {get_from_test} }}] }}"), false, true),
        // DENY by HTTP alone: nothing is left of it.
        ("{ action: DENY, rules: [{ to: [{ operation: { methods: [GET] } }] }] }".to_owned(), true, true),
    ] {
        let policies = policies(&policy("a", "prod", &spec));
        assert_eq!(is_allowed(&policies, MESH, 80), test, "{spec}");
        assert_eq!(is_allowed(&policies, Some(("other", "client")), 80), other, "{spec}");
    }
}

#[test]
fn l4_24_policies_with_targets_are_left_to_waypoints() {
    let spec = "{ targetRef: { kind: Service, name: server } }";
    assert_eq!(policies(&policy("a", "prod", spec)), []);
}

#[test]
fn l4_11_ports_and_addresses_are_those_of_the_workload() {
    let rule = "{ from: [{ source: { ipBlocks: [10.0.0.0/30] } }], to: [{ operation: { ports: [\"80\"] } }], \
                when: [{ key: destination.ip, values: [10.0.0.1] }] }";
    let policies = policies(&policy("a", "prod", &format!("{{ rules: [{rule}] }}")));
    assert!(is_allowed(&policies, None, 80));
    assert!(!is_allowed(&policies, None, 81));
}

#[test]
fn sec_what_is_bad_in_a_rule_closes_at_waypoints() {
    const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: { name: web, namespace: prod }\n\
                           spec: { ports: [{ name: http, port: 80 }] }\n---\n";
    let rules = |action: &str, rule: &str| {
        let mut cluster = Cluster::new(Settings::default());
        let target = "targetRef: { kind: Service, name: web }";
        let spec = format!("{{ {target}, action: {action}, rules: [{rule}] }}");
        for text in document::split(&format!("{SERVICE}{}", policy("p", "prod", &spec))) {
            cluster.apply(document::read(text).unwrap().1);
        }
        let key = NamespacedHostname::new("prod", "web.prod.svc.cluster.local");
        match resources::derive(&cluster, &ResourceKey::ServiceConfig(key)) {
            Some(Resource::ServiceConfig(config)) => config.security.policies[0].rules.clone(),
            other => panic!("{other:?}"),
        }
    };
    for rule in [
        "{ when: [{ key: unheard.of, values: [x] }] }",
        "{ when: [{ key: 'request.headers[]', values: [x] }] }",
        "{ when: [{ key: 'request.headers[a b]', values: [x] }] }",
        "{ when: [{ key: source.ip, values: [nowhere] }] }",
        "{ when: [{ key: destination.port, notValues: [http] }] }",
        "{ when: [{ key: source.namespace }] }",
        "{ to: [{ operation: {} }] }",
        "{ from: [{ source: {} }, { source: { namespaces: [test] } }] }",
        "{ to: [{ operation: { methods: [GET] } }, { operation: { paths: ['/{**}/{*}'] } }] }",
    ] {
        assert_eq!(rules("ALLOW", rule), [], "{rule}");
        assert_eq!(rules("DENY", rule), [PolicyRule::default()], "{rule}");
    }
    assert_eq!(rules("ALLOW", "{}"), [PolicyRule::default()], "a rule that asks for nothing");
}
