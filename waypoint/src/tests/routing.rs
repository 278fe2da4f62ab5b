//! Rules, header changes, rewrites, redirects.

use mesh_model::{
    BackendTarget, DirectResponse, HeaderChange, HttpMatch, NamedMatch, PathChange, PortConfig,
    PortDerivation, Redirect, Rewrite, RuleAction, ServiceConfig, Subset, ValueMatch,
};

use super::client::{post, request, with};
use super::mesh::{Mesh, REVIEWS};
use super::samples::{backend, config, headers, key, prefix, rule};

#[tokio::test]
async fn l7_31_a_service_without_rules_is_passed_on_with_an_id() {
    let mesh = Mesh::start().await;
    let v1 = mesh.echo("v1").await;
    let reply = mesh.http1(80).await.get("/some/path?q=1").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "v1"));
    let seen = v1.only();
    assert_eq!((seen.path(), seen.host()), ("/some/path?q=1", "reviews"));
    // RES-04, L7-25.
    assert_eq!(seen.header("x-envoy-attempt-count"), Some("1"));
    assert_eq!(seen.header("x-request-id").map(str::len), Some(36));
    assert!(reply.header("x-envoy-upstream-service-time").is_some());
}

#[tokio::test]
async fn l7_01_02_27_header_changes_both_ways() {
    let mesh = Mesh::start().await;
    let v1 = mesh.echo("v1").await;
    mesh.govern_by(|rule| {
        rule.request_headers = HeaderChange {
            set: headers(&[("x-set", "rule"), ("x-both", "rule")]),
            add: headers(&[("x-add", "second")]),
            remove: vec!["x-remove".into()],
        };
        rule.response_headers =
            HeaderChange { set: headers(&[("x-answer", "rule")]), ..HeaderChange::default() };
        let RuleAction::Forward(forward) = &mut rule.action else { unreachable!() };
        forward.backends[0].request_headers.set = headers(&[("x-both", "backend"), ("x-backend", "1")]);
        forward.backends[0].response_headers.set =
            headers(&[("x-answer", "backend"), ("x-from-backend", "1")]);
    });
    let asked = with(with(request("GET", "/"), "x-add", "first"), "x-remove", "1");
    let reply = mesh.http1(80).await.send(asked).await;
    let seen = v1.only();
    assert_eq!((seen.header("x-set"), seen.header("x-backend")), (Some("rule"), Some("1")));
    assert_eq!(seen.header("x-both"), Some("rule"), "the rule wins (L7-03)");
    assert_eq!(seen.headers.get_all("x-add").iter().collect::<Vec<_>>(), ["first", "second"]);
    assert_eq!(seen.header("x-remove"), None);
    assert_eq!((reply.header("x-answer"), reply.header("x-from-backend")), (Some("rule"), Some("1")));
}

#[tokio::test]
async fn l7_05_header_match_leads_to_another_service() {
    let mesh = Mesh::start().await;
    let v1 = mesh.echo("v1").await;
    mesh.add_service("reviews-v2", 2);
    let v2 =
        super::backend::Backend::start(mesh.free_ip(), |_, _| super::backend::Act::text(200, "v2")).await;
    mesh.add(mesh.endpoint("v2", "reviews-v2", v2.address));
    let user = NamedMatch { name: "user".into(), value: ValueMatch::Exact("istio-custom-user".into()) };
    let mut to_v2 = rule("v2", vec![backend("reviews-v2", 80)]);
    to_v2.matches = vec![HttpMatch { headers: vec![user], ..HttpMatch::default() }];
    mesh.govern(vec![to_v2, rule("v1", vec![backend(REVIEWS, 80)])]);
    let mut client = mesh.http1(80).await;
    assert_eq!(client.get("/").await.body, "v1");
    let asked = with(request("GET", "/"), "user", "istio-custom-user");
    assert_eq!(client.send(asked).await.body, "v2");
    assert_eq!((v1.seen().len(), v2.seen().len()), (1, 1));
}

#[tokio::test]
async fn l7_04_subset_by_label() {
    let mesh = Mesh::start().await;
    let (v1, v2) = (mesh.echo("v1").await, mesh.echo("v2").await);
    for (name, server) in [("v1", &v1), ("v2", &v2)] {
        let mut labelled = mesh.endpoint(name, REVIEWS, server.address);
        labelled.labels.insert("version".into(), name.into());
        mesh.add(labelled);
    }
    let mut to_v2 = backend(REVIEWS, 80);
    to_v2.target = BackendTarget::Service { service: key(REVIEWS), port: 80, subset: Some("second".into()) };
    let mut missing = to_v2.clone();
    missing.target = BackendTarget::Service { service: key(REVIEWS), port: 80, subset: Some("third".into()) };
    let mut to_missing = rule("missing", vec![missing]);
    to_missing.matches = vec![prefix("/missing")];
    let subset = Subset {
        name: "second".into(),
        labels: [("version".into(), "v2".into())].into(),
        traffic: Default::default(),
    };
    let rules = vec![to_missing, rule("second", vec![to_v2])];
    mesh.configure(ServiceConfig { subsets: vec![subset], ..config(REVIEWS, rules) });
    let mut client = mesh.http1(80).await;
    for _ in 0..10 {
        assert_eq!(client.get("/").await.body, "v2");
    }
    assert_eq!(client.get("/missing").await.status, 503);
    assert!(v1.seen().is_empty());
}

#[tokio::test]
async fn gw_37_no_match_is_404_only_where_routes_govern() {
    let mesh = Mesh::start().await;
    mesh.echo("v1").await;
    let mut only = rule("only", vec![backend(REVIEWS, 80)]);
    only.matches = vec![prefix("/known")];
    mesh.govern(vec![only.clone()]);
    let mut client = mesh.http1(80).await;
    assert_eq!(client.get("/known/x").await.status, 200);
    assert_eq!(client.get("/unknown").await.status, 404);
    let loose = PortConfig { http_rules: vec![only], ..PortConfig::default() };
    mesh.configure(ServiceConfig { ports: [(80, loose)].into(), ..config(REVIEWS, vec![]) });
    assert_eq!(client.get("/unknown").await.status, 200, "the same connection follows the change");
}

#[tokio::test]
async fn gw_05_two_paths_lead_to_two_services() {
    let mesh = Mesh::start().await;
    let v1 = mesh.echo("v1").await;
    mesh.add_service("reviews-v2", 2);
    let v2 =
        super::backend::Backend::start(mesh.free_ip(), |_, _| super::backend::Act::text(200, "v2")).await;
    mesh.add(mesh.endpoint("v2", "reviews-v2", v2.address));
    let exact = |path: &str, service: &str| {
        let path = Some(ValueMatch::Exact(path.into()));
        let mut exact = rule(service, vec![backend(service, 80)]);
        exact.matches = vec![HttpMatch { path, ..HttpMatch::default() }];
        exact
    };
    mesh.govern(vec![exact("/v1", REVIEWS), exact("/v2", "reviews-v2")]);
    let mut client = mesh.http1(80).await;
    assert_eq!((client.get("/v1").await.body, client.get("/v2").await.body), ("v1".into(), "v2".into()));
    assert_eq!((client.get("/v1/x").await.status, client.get("/v").await.status), (404, 404));
    assert_eq!((v1.seen().len(), v2.seen().len()), (1, 1));
}

#[tokio::test]
async fn gw_07_the_address_that_was_called_decides_and_not_the_host_header() {
    let mesh = Mesh::start().await;
    mesh.echo("v1").await;
    mesh.add_service("ratings", 2);
    let told = |name: &str| {
        let mut named = rule(name, vec![]);
        named.action =
            RuleAction::DirectResponse(DirectResponse { status: 200, body: name.as_bytes().into() });
        config(name, vec![named])
    };
    mesh.configure(told(REVIEWS));
    mesh.configure(told("ratings"));
    for (vip, called) in [(1, REVIEWS), (2, "ratings")] {
        let target = std::net::SocketAddr::new(super::mesh::vip(vip), 80);
        let mut client = super::client::Client::http1(mesh.tunnel(target.into()).await.unwrap()).await;
        for host in ["reviews.shop.svc.cluster.local", "ratings", "nobody.example.com"] {
            let mut asked = request("GET", "/");
            asked.headers_mut().insert("host", host.parse().unwrap());
            assert_eq!(client.send(asked).await.body, called, "host {host}");
        }
    }
}

#[tokio::test]
async fn gw_08_routes_of_one_port_leave_the_others_alone() {
    let mesh = Mesh::start().await;
    mesh.echo("v1").await;
    let none = PortConfig { governed: true, ..PortConfig::default() };
    mesh.configure(ServiceConfig { ports: [(80, none)].into(), ..config(REVIEWS, vec![]) });
    assert_eq!(mesh.http1(80).await.get("/").await.status, 404);
    assert_eq!(mesh.http1(81).await.get("/").await.status, 200);
}

#[tokio::test]
async fn l7_06_gw_13_redirects_keep_the_query() {
    let mesh = Mesh::start().await;
    let v1 = mesh.echo("v1").await;
    mesh.govern_by(|rule| {
        rule.matches = vec![prefix("/old")];
        rule.action = RuleAction::Redirect(Redirect {
            status: 301,
            scheme: Some("https".into()),
            host: Some("example.org".into()),
            port: None,
            port_derivation: PortDerivation::FromListener,
            path: Some(PathChange::Prefix("/new".into())),
        });
    });
    let reply = mesh.http1(80).await.get("/old/x?a=b").await;
    assert_eq!((reply.status, reply.header("location")), (301, Some("https://example.org/new/x?a=b")));
    assert!(v1.seen().is_empty());
}

#[tokio::test]
async fn l7_11_12_rewrites_path_and_authority() {
    let mesh = Mesh::start().await;
    let v1 = mesh.echo("v1").await;
    mesh.govern_by(|rule| {
        rule.matches = vec![prefix("/api")];
        let path = Some(PathChange::Prefix("/v2".into()));
        rule.rewrite = Some(Rewrite { authority: Some("other.host".into()), path });
    });
    assert_eq!(mesh.http1(80).await.get("/api/x?a=b#f").await.status, 200);
    let seen = v1.only();
    assert_eq!((seen.path(), seen.host()), ("/v2/x?a=b", "other.host"));
    assert_eq!(seen.header("x-envoy-original-path"), Some("/api/x?a=b"));
}

#[tokio::test]
async fn l7_03_the_host_header_can_be_set_in_both_versions() {
    let mesh = Mesh::start().await;
    let v1 = mesh.echo("v1").await;
    mesh.govern_by(|rule| {
        rule.request_headers.set = headers(&[(":authority", "set.host")]);
        rule.action = RuleAction::Forward(mesh_model::Forward { backends: vec![backend(REVIEWS, 85)] });
    });
    assert_eq!(mesh.http2(85).await.get("/").await.status, 200);
    assert_eq!(v1.only().host(), "set.host");
}

#[tokio::test]
async fn a_direct_response_needs_no_backend() {
    let mesh = Mesh::start().await;
    mesh.govern_by(|rule| {
        rule.action =
            RuleAction::DirectResponse(DirectResponse { status: 503, body: b"closed".as_slice().into() });
        rule.response_headers.set = headers(&[("x-a", "b")]);
    });
    let reply = mesh.http1(80).await.get("/").await;
    assert_eq!((reply.status, reply.body.as_str(), reply.header("x-a")), (503, "closed", Some("b")));
}

#[tokio::test]
async fn wp_28_gw_39_40_backends_that_are_none() {
    let mesh = Mesh::start().await;
    mesh.echo("v1").await;
    let mut invalid = backend(REVIEWS, 80);
    invalid.target = BackendTarget::Invalid { status: 500 };
    let mut to_invalid = rule("invalid", vec![invalid]);
    to_invalid.matches = vec![prefix("/invalid")];
    let mut to_none = rule("none", vec![]);
    to_none.matches = vec![prefix("/none")];
    let mut to_undeclared = rule("undeclared", vec![backend(REVIEWS, 9999)]);
    to_undeclared.matches = vec![prefix("/undeclared")];
    mesh.govern(vec![to_invalid, to_none, to_undeclared, rule("rest", vec![backend(REVIEWS, 80)])]);
    let mut client = mesh.http1(80).await;
    for (path, status) in [("/invalid", 500), ("/none", 500), ("/undeclared", 503), ("/", 200)] {
        assert_eq!(client.get(path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn cap_14_sec_12_forged_proxy_headers_do_not_arrive() {
    let mesh = Mesh::start().await;
    let v1 = mesh.echo("v1").await;
    let mut asked = post("/", "x");
    for name in ["x-forwarded-client-cert", "x-envoy-peer-metadata", "x-envoy-peer-metadata-id"] {
        asked = with(asked, name, "forged");
    }
    asked = with(asked, "x-envoy-attempt-count", "7");
    mesh.http1(80).await.send(asked).await;
    let seen = v1.only();
    assert!(!seen.headers.values().any(|value| value == "forged"), "{:?}", seen.headers);
    assert_eq!(seen.headers.get_all("x-envoy-attempt-count").iter().collect::<Vec<_>>(), ["1"]);
}

#[tokio::test]
async fn id_22_backends_are_told_who_the_client_is_where_that_is_wanted() {
    let mesh = Mesh::start().await;
    let v1 = mesh.echo("v1").await;
    let mut client = mesh.http1(80).await;
    for (wanted, expected) in [
        (false, None),
        (
            true,
            Some(
                "By=spiffe://cluster.local/ns/shop/sa/waypoint;URI=spiffe://cluster.local/ns/shop/sa/client",
            ),
        ),
        (false, None),
    ] {
        mesh.forward_client_identity(wanted);
        client.send(with(request("GET", "/"), "x-forwarded-client-cert", "URI=spiffe://forged")).await;
        let seen = v1.seen().pop().unwrap();
        let told: Vec<_> = seen.headers.get_all("x-forwarded-client-cert").iter().collect();
        assert_eq!(told, expected.into_iter().collect::<Vec<_>>(), "the same connection follows the change");
    }
}

#[tokio::test]
async fn l7_32_sec_17_the_client_s_namespace_is_proven_not_said() {
    let mesh = Mesh::start().await;
    mesh.echo("v1").await;
    mesh.govern_by(|rule| {
        rule.matches = vec![HttpMatch { source_namespace: Some("shop".into()), ..HttpMatch::default() }];
    });
    assert_eq!(mesh.http1(80).await.get("/").await.status, 200);
    let foreigner = mesh_model::Identity::new("cluster.local", "elsewhere", "client");
    let stream = mesh.tunnel_as(&foreigner, mesh.target(80)).await.unwrap();
    let mut client = super::client::Client::http1(stream).await;
    let asked = with(request("GET", "/"), "baggage", "k8s.namespace.name=shop");
    assert_eq!(client.send(asked).await.status, 404);
}
