//! Manifests in a directory, proxies at the other end.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mesh_identity::key::KeyRequest;
use mesh_model::codec::{authorization, service_config, waypoint_config};
use mesh_model::{AddressResource, Identity};
use mesh_proto::istio::ca::IstioCertificateRequest;
use mesh_proto::istio::ca::istio_certificate_service_client::IstioCertificateServiceClient;
use mesh_proto::type_urls::{ADDRESS, AUTHORIZATION, SERVICE_CONFIG, WAYPOINT_CONFIG};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::running::{Known, MANIFESTS, NAMESPACES, PATIENCE, Running, config, write};
use crate::config::ObjectSource;
use crate::{Config, Controller, admin};

const ON_GATEWAY: &str = "
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: all, namespace: prod}
spec: {targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: way}]}
";
const REVIEWS: &str = "prod/reviews.prod.svc.cluster.local";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn manifests_reach_the_proxies_that_may_see_them() {
    let controller = Running::start().await;
    let types = [ADDRESS, AUTHORIZATION, SERVICE_CONFIG, WAYPOINT_CONFIG];
    let ztunnel = controller.proxy("ztunnel", "istio-system", "ztunnel", "ztunnel-1", &types[..2]);
    let known = ztunnel.sees("everything", |known| known.resources.len() >= 7).await;
    assert_eq!(
        known.names(ADDRESS),
        [
            "Kubernetes//Pod/istio-system/ztunnel-1",
            "Kubernetes//Pod/prod/reviews-1",
            "Kubernetes//Pod/prod/way-1",
            "prod/ratings.prod.svc.cluster.local",
            REVIEWS,
            "prod/way.prod.svc.cluster.local",
        ]
    );
    assert_eq!(known.names(AUTHORIZATION), ["prod/deny-all"]);
    let policy = &known.resources[&(AUTHORIZATION, "prod/deny-all".to_owned())];
    assert_eq!(&*authorization::from_bytes(policy).unwrap().key.namespace, "prod");
    let Some(AddressResource::Service(reviews)) = known.address(REVIEWS) else { panic!("no service") };
    assert_eq!(reviews.addresses[0].ip.to_string(), "10.96.0.1", "manifest and runtime are one");
    assert_eq!(reviews.ports[0].service_port, 9080);
    assert!(reviews.waypoint.is_some());
    let Some(AddressResource::Workload(pod)) = known.address("Kubernetes//Pod/prod/reviews-1") else {
        panic!("no workload")
    };
    assert_eq!((&*pod.service_account, pod.services.len()), ("reviews", 1));

    let waypoint = controller.proxy("waypoint", "prod", "way", "way-1", &types);
    let is_bound = |known: &Known| {
        let told = [SERVICE_CONFIG, WAYPOINT_CONFIG].iter().all(|of| !known.names(of).is_empty());
        told && known.names(ADDRESS).len() == 6
    };
    let known = waypoint.sees("its config", is_bound).await;
    assert_eq!(known.names(SERVICE_CONFIG), [REVIEWS], "ratings does not use it");
    assert!(known.names(AUTHORIZATION).is_empty());
    let config = &known.resources[&(SERVICE_CONFIG, REVIEWS.to_owned())];
    assert_eq!(service_config::from_bytes(config).unwrap().key, reviews.key);

    // az_03: a policy for the whole waypoint changes what it is told of itself, which it always is.
    let policies = |known: &Known| {
        let config = known.resources.get(&(WAYPOINT_CONFIG, "prod/way".to_owned()))?;
        Some(waypoint_config::from_bytes(config).unwrap().security.policies.len())
    };
    assert_eq!((known.names(WAYPOINT_CONFIG), policies(&known)), (vec!["prod/way"], Some(0)));
    write(controller.root.path(), "manifests/policy.yaml", ON_GATEWAY);
    waypoint.sees("the policy", |known| policies(known) == Some(1)).await;

    // ratings is bound too, then nothing is.
    let bound = MANIFESTS.replace("istio.io/use-waypoint: none", "x: z");
    write(controller.root.path(), "manifests/mesh.yaml", &bound);
    waypoint.sees("both configs", |known| known.names(SERVICE_CONFIG).len() == 2).await;
    write(
        controller.root.path(),
        "manifests/namespaces.yaml",
        &NAMESPACES.replace(", istio.io/use-waypoint: way", ""),
    );
    waypoint.sees("no config", |known| known.names(SERVICE_CONFIG).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_take_effect_and_broken_ones_do_not() {
    let controller = Running::start().await;
    let ztunnel =
        controller.proxy("ztunnel", "istio-system", "ztunnel", "ztunnel-1", &[ADDRESS, AUTHORIZATION]);
    ztunnel.sees("everything", |known| known.resources.len() >= 7).await;
    let port = |known: &Known| match known.address(REVIEWS) {
        Some(AddressResource::Service(service)) => service.ports[0].service_port,
        _ => 0,
    };
    let mesh = |port: &str| MANIFESTS.replacen("port: 9080", &format!("port: {port}"), 1);
    let mut fastest = PATIENCE;
    for number in 9081..9086 {
        let start = Instant::now();
        write(controller.root.path(), "manifests/mesh.yaml", &mesh(&number.to_string()));
        ztunnel.sees("the new port", |known| port(known) == number).await;
        fastest = fastest.min(start.elapsed());
    }
    assert!(fastest < Duration::from_millis(200), "{fastest:?}");

    write(controller.root.path(), "manifests/mesh.yaml", &mesh("none"));
    let mut problems = controller.facts.problems.clone();
    let broken = problems.wait_for(|problems| !problems.is_empty());
    let text = tokio::time::timeout(PATIENCE, broken).await.unwrap().unwrap()[0].to_string();
    assert!(
        text.ends_with("mesh.yaml:5: spec.ports[0].port: invalid type: string \"none\", expected i32"),
        "{text}"
    );
    // Another file goes on to be followed.
    write(
        controller.root.path(),
        "manifests/other.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: other, namespace: prod}\nspec: {clusterIP: 10.96.0.9, ports: [{port: 1}]}\n",
    );
    let other = "prod/other.prod.svc.cluster.local";
    let known = ztunnel.sees("the other service", |known| known.address(other).is_some()).await;
    assert_eq!(port(&known), 9085, "the last good state stays");
    fs::remove_file(controller.root.path().join("manifests/other.yaml")).unwrap();
    ztunnel.sees("its end", |known| known.address(other).is_none()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_20_a_restart_disturbs_nobody_and_sends_only_what_changed() {
    let controller = Running::start().await;
    let ztunnel =
        controller.proxy("ztunnel", "istio-system", "ztunnel", "ztunnel-1", &[ADDRESS, AUTHORIZATION]);
    let before = ztunnel.sees("everything", |known| known.resources.len() >= 7).await;
    let root_before = fs::read(controller.root.path().join("ca/root-cert.pem")).unwrap();
    let controller = controller.restart().await;
    assert_eq!(fs::read(controller.root.path().join("ca/root-cert.pem")).unwrap(), root_before);
    write(
        controller.root.path(),
        "manifests/new.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: new, namespace: prod}\nspec: {clusterIP: 10.96.0.8, ports: [{port: 1}]}\n",
    );
    let after =
        ztunnel.sees("the new service", |known| known.resources.len() == before.resources.len() + 1).await;
    assert_eq!(after.received, before.received + 1, "nothing was sent again or taken away");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_signed_over_the_same_port() {
    let controller = Running::start().await;
    let mut ready = controller.facts.readiness.pending();
    while !ready.is_empty() {
        tokio::task::yield_now().await;
        ready = controller.facts.readiness.pending();
    }
    let identity = Identity::new("cluster.local", "prod", "reviews");
    let request = |csr: &KeyRequest| IstioCertificateRequest {
        csr: csr.csr_pem().to_owned(),
        validity_duration: 0,
        metadata: Some(prost_types::Struct {
            fields: [(
                "ImpersonatedIdentity".to_owned(),
                prost_types::Value {
                    kind: Some(prost_types::value::Kind::StringValue(identity.to_string())),
                },
            )]
            .into(),
        }),
    };
    let csr = KeyRequest::generate(&identity).unwrap();
    let channel =
        controller.control_plane(controller.token("istio-system", "ztunnel", "ztunnel-1")).channel();
    let mut client = IstioCertificateServiceClient::new(channel.unwrap());
    let chain = client.create_certificate(request(&csr)).await.unwrap().into_inner().cert_chain;
    let root = fs::read_to_string(controller.root.path().join("ca/root-cert.pem")).unwrap();
    assert_eq!(chain.last(), Some(&root));
    let channel = controller.control_plane(controller.token("prod", "way", "way-1")).channel();
    let status = IstioCertificateServiceClient::new(channel.unwrap()).create_certificate(request(&csr)).await;
    assert_eq!(status.unwrap_err().code(), tonic::Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statuses_metrics_and_problems_can_be_looked_at() {
    let controller = Running::start().await;
    let gateway = controller.root.path().join("status/gateway/prod.way.yaml");
    let deadline = Instant::now() + PATIENCE;
    while !gateway.exists() {
        assert!(Instant::now() < deadline, "no status was written");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(fs::read_to_string(&gateway).unwrap().contains("Accepted"));
    let router = admin::router(controller.facts.clone());
    let get = async |path: &str| {
        let request = http::Request::get(path).body(Default::default()).unwrap();
        let response = router.respond(&request).await;
        let status = response.status().as_u16();
        let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    };
    assert_eq!(get("/ready").await, (200, "ready\n".to_owned()));
    assert_eq!(get("/healthz/ready").await, (200, "ready\n".to_owned()));
    let (_, metrics) = get("/metrics").await;
    assert!(metrics.contains("adit_controller_resources{type=\"Address\"} 6\n"), "{metrics}");
    write(controller.root.path(), "manifests/bad.yaml", "a: [");
    let mut problems = controller.facts.problems.clone();
    let broken = problems.wait_for(|problems| !problems.is_empty());
    tokio::time::timeout(PATIENCE, broken).await.unwrap().unwrap();
    let (_, text) = get("/problems").await;
    assert!(text.contains("\"severity\": \"broken\"") && text.contains("bad.yaml\""), "{text}");
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_with_the_reason() {
    let root = tempfile::tempdir().unwrap();
    let refused = async |config: Config| format!("{:#}", Controller::new(config).await.err().unwrap());
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    assert!(refused(config(root.path())).await.contains("is not a directory of manifests"));
    write(root.path(), "manifests/namespaces.yaml", NAMESPACES);
    assert!(refused(config(root.path())).await.contains("cannot read the token key"));
    write(root.path(), "issuer.pub.pem", "nonsense");
    assert!(refused(config(root.path())).await.contains("not the PEM of a public EC key"));
    write(root.path(), "issuer.pub.pem", &pair.public_key_pem());
    let mut none = config(root.path());
    if let ObjectSource::Directory(source) = &mut none.objects {
        source.manifests.clear();
    }
    assert!(refused(none).await.contains("no directory of manifests"));
}

async fn free_address() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_08_ad_03_commands_are_taken_on_the_loopback_address_alone() {
    let root = tempfile::tempdir().unwrap();
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    write(root.path(), "issuer.pub.pem", &pair.public_key_pem());
    write(root.path(), "manifests/namespaces.yaml", NAMESPACES);
    let (xds_address, admin, command) = (free_address().await, free_address().await, free_address().await);
    let config =
        Config { xds_address, admin_address: admin, command_address: command, ..config(root.path()) };
    let running = tokio::spawn(crate::run(config));
    let ask = async |address: SocketAddr, request: &str| {
        let deadline = Instant::now() + PATIENCE;
        let mut stream = loop {
            match TcpStream::connect(address).await {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            tokio::task::yield_now().await;
        };
        stream
            .write_all(format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    while !ask(admin, "GET /ready").await.starts_with("HTTP/1.1 200") {
        tokio::task::yield_now().await;
    }
    for path in ["/quitquitquit", "/logging"] {
        let answer = ask(admin, &format!("POST {path}")).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "SEC-07: no command where everybody comes in: {answer}");
    }
    let answer = ask(command, "POST /logging?level=debug").await;
    assert!(answer.contains("current log level is debug"), "{answer}");
    let answer = ask(command, "POST /logging?level=loud").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(ask(command, "POST /logging?reset").await.contains("current log level is info"));
    assert!(ask(command, "POST /quitquitquit").await.starts_with("HTTP/1.1 200"));
    tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    assert!(TcpStream::connect(xds_address).await.is_err());
}
