//! Tests of `ca`.

use controller_translate::cluster::Settings;
use mesh_identity::authority::{Authority, RootKey};
use mesh_identity::key::KeyRequest;
use prost_types::{Struct, Value};
use tonic::Code;

use super::*;
use crate::source::Event;
use crate::tests::{Spoken, objects};

const MESH: &str = "
apiVersion: v1
kind: Pod
metadata: {name: ztunnel-1, namespace: istio-system, uid: z-1}
spec: {nodeName: n1, serviceAccountName: ztunnel, containers: []}
---
apiVersion: v1
kind: Pod
metadata: {name: ztunnel-0, namespace: istio-system, uid: z-0}
spec: {serviceAccountName: ztunnel, containers: []}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: prod, uid: w-1}
spec: {nodeName: n1, serviceAccountName: web, containers: []}
---
apiVersion: v1
kind: Pod
metadata: {name: db-1, namespace: prod, uid: d-1}
spec: {nodeName: n2, serviceAccountName: db, containers: []}
---
apiVersion: v1
kind: Pod
metadata: {name: done-1, namespace: prod, uid: o-1}
spec: {nodeName: n1, serviceAccountName: done, containers: []}
status: {phase: Failed}
---
apiVersion: v1
kind: Pod
metadata: {name: floating, namespace: prod, uid: f-1}
spec: {serviceAccountName: floating, containers: []}
";

fn root() -> Authority {
    Authority::self_signed("cluster.local", Duration::from_hours(24), RootKey::Ecdsa).unwrap()
}

fn service() -> CertificateService {
    let picture = Picture::new(Settings::default());
    picture.apply(objects(MESH).chain([Event::InitDone]));
    CertificateService {
        authority: CurrentAuthority::new(root()),
        authenticator: Arc::new(Spoken),
        picture: Arc::new(picture),
        node_accounts: Arc::new(["istio-system/ztunnel".to_owned()].into()),
        statistics: Arc::default(),
    }
}

fn request(token: &str, csr: &str, asked_for: Option<Kind>) -> Request<IstioCertificateRequest> {
    let metadata = asked_for.map(|kind| Struct {
        fields: [("ImpersonatedIdentity".to_owned(), Value { kind: Some(kind) })].into(),
    });
    let mut request =
        Request::new(IstioCertificateRequest { csr: csr.to_owned(), validity_duration: 3600, metadata });
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

fn csr() -> String {
    // What it asks for means nothing.
    let identity = Identity::new("cluster.local", "kube-system", "admin");
    KeyRequest::generate(&identity).unwrap().csr_pem().to_owned()
}

async fn ask(token: &str, asked_for: Option<&str>) -> Result<Vec<String>, Status> {
    let asked_for = asked_for.map(|text| Kind::StringValue(text.to_owned()));
    let response = service().create_certificate(request(token, &csr(), asked_for)).await?;
    Ok(response.into_inner().cert_chain)
}

/// The name in the leaf, found as text: it stands in the certificate as it is.
fn names_identity(chain: &[String], identity: &str) -> bool {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;
    let der = CertificateDer::from_pem_slice(chain[0].as_bytes()).unwrap();
    der.windows(identity.len()).any(|window| window == identity.as_bytes())
}

#[tokio::test(start_paused = true)]
async fn a_caller_gets_its_own_identity_whatever_its_request_says() {
    for token in ["prod/web/web-1/w-1", "prod/web"] {
        let chain = ask(token, None).await.unwrap();
        assert!(names_identity(&chain, "spiffe://cluster.local/ns/prod/sa/web"), "{token}");
        assert!(!names_identity(&chain, "kube-system"), "{token}");
        assert_eq!(chain.len(), 2, "leaf and root");
    }
    let own = Some("spiffe://cluster.local/ns/prod/sa/web");
    assert!(ask("prod/web/web-1/w-1", own).await.is_ok(), "its own name, said aloud");
}

#[tokio::test(start_paused = true)]
async fn a_node_proxy_gets_the_identities_of_pods_on_its_node() {
    let identity = "spiffe://cluster.local/ns/prod/sa/web";
    let chain = ask("istio-system/ztunnel/ztunnel-1/z-1", Some(identity)).await.unwrap();
    assert!(names_identity(&chain, identity));
}

#[tokio::test(start_paused = true)]
async fn forged_requests_are_unauthenticated() {
    let ztunnel = "istio-system/ztunnel/ztunnel-1/z-1";
    let cases = [
        (ztunnel, "spiffe://cluster.local/ns/prod/sa/db", "a pod on another node"),
        (ztunnel, "spiffe://cluster.local/ns/prod/sa/done", "a pod that has failed"),
        (ztunnel, "spiffe://cluster.local/ns/prod/sa/none", "no pod at all"),
        (ztunnel, "spiffe://cluster.local/ns/test/sa/web", "a pod of another namespace"),
        (ztunnel, "spiffe://elsewhere/ns/prod/sa/web", "another trust domain"),
        (ztunnel, "spiffe://cluster.local/ns/prod/sa/web/x", "no identity"),
        (ztunnel, "spiffe://cluster.local/ns/prod/../prod/sa/web", "a path with steps"),
        (ztunnel, "spiffe://cluster.local/ns/prod/sa/web/../db", "steps at the end"),
        (ztunnel, "spiffe://cluster.local/ns/prod%2Fsa/sa/web", "an escaped path"),
        (ztunnel, "spiffe://cluster.local//ns/prod/sa/web", "a doubled slash"),
        (ztunnel, "spiffe://cluster.local/ns/prod/sa/web?x=1", "a query"),
        (ztunnel, "spiffe://cluster.local/ns/prod/sa/web#x", "a fragment"),
        (ztunnel, "spiffe://x@cluster.local/ns/prod/sa/web", "a user"),
        (ztunnel, "spiffe://cluster.local:1/ns/prod/sa/web", "a port"),
        (ztunnel, "SPIFFE://CLUSTER.LOCAL/ns/prod/sa/web", "capitals"),
        (ztunnel, "spiffe://cluster.local/ns/prod/sa/web ", "a space"),
        (ztunnel, "", "an empty identity"),
        ("istio-system/ztunnel/ztunnel-1/z-2", "spiffe://cluster.local/ns/prod/sa/web", "an earlier pod"),
        (
            "istio-system/ztunnel/ztunnel-9/z-1",
            "spiffe://cluster.local/ns/prod/sa/web",
            "a pod that is not there",
        ),
        ("istio-system/ztunnel", "spiffe://cluster.local/ns/prod/sa/web", "a token of no pod"),
        (
            "istio-system/ztunnel/ztunnel-0/z-0",
            "spiffe://cluster.local/ns/prod/sa/floating",
            "both on no node",
        ),
        ("prod/web/web-1/w-1", "spiffe://cluster.local/ns/prod/sa/db", "not a node proxy"),
        ("prod/ztunnel/web-1/w-1", "spiffe://cluster.local/ns/prod/sa/web", "a ztunnel of another namespace"),
        ("prod/ztunnel/web-1/w-1", "spiffe://cluster.local/ns/prod/sa/ztunnel", "a pod of another account"),
        ("x", "spiffe://cluster.local/ns/prod/sa/web", "no token"),
    ];
    for (token, identity, case) in cases {
        let status = ask(token, Some(identity)).await.err();
        assert_eq!(status.map(|status| status.code()), Some(Code::Unauthenticated), "{case}");
    }
    let number = request(ztunnel, &csr(), Some(Kind::NumberValue(1.0)));
    let status = service().create_certificate(number).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test(start_paused = true)]
async fn unusable_requests_are_told_from_unproven_ones() {
    let service = service();
    let token = "prod/web/web-1/w-1";
    let other = csr().replacen("MI", "AAAA", 1);
    for bad in ["", "nonsense", &other, &"x".repeat(100_000)] {
        let status = service.create_certificate(request(token, bad, None)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{bad:.50}");
    }
    let mut long = request(token, &csr(), None);
    long.get_mut().validity_duration = 91 * 24 * 3600;
    assert_eq!(service.create_certificate(long).await.unwrap_err().code(), Code::InvalidArgument);
    for short in [0, -1, i64::MIN] {
        let mut default = request(token, &csr(), None);
        default.get_mut().validity_duration = short;
        assert!(service.create_certificate(default).await.is_ok(), "a day, as wire.md has it");
    }
    assert_eq!(service.statistics.refused_in_all(), 5);
    assert_eq!(service.statistics.signed.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_was_just_made_is_waited_for() {
    let service = service();
    let asked_for = Kind::StringValue("spiffe://cluster.local/ns/prod/sa/new".to_owned());
    let asked =
        service.create_certificate(request("istio-system/ztunnel/ztunnel-1/z-1", &csr(), Some(asked_for)));
    let made = async {
        // The request is waiting by now: it was polled first.
        let pod = "
apiVersion: v1
kind: Pod
metadata: {name: new-1, namespace: prod, uid: n-1}
spec: {nodeName: n1, serviceAccountName: new, containers: []}
";
        service.picture.apply(objects(pod));
    };
    let (signed, ()) = tokio::join!(asked, made);
    assert!(signed.is_ok());
}

#[tokio::test(start_paused = true)]
async fn while_the_objects_are_being_read_nobody_is_called_a_forger() {
    let service = CertificateService { picture: Arc::new(Picture::new(Settings::default())), ..service() };
    let request = request("prod/web/web-1/w-1", &csr(), None);
    assert_eq!(service.create_certificate(request).await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn refusals_are_counted_by_reason() {
    let service = service();
    let ztunnel = "istio-system/ztunnel/ztunnel-1/z-1";
    let cases = [
        ("x", "spiffe://cluster.local/ns/prod/sa/web", Reason::Token),
        (ztunnel, "nonsense", Reason::Identity),
        (ztunnel, "spiffe://elsewhere/ns/prod/sa/web", Reason::TrustDomain),
        ("prod/web/web-1/w-1", "spiffe://cluster.local/ns/prod/sa/db", Reason::Impersonation),
        (
            "istio-system/ztunnel/ztunnel-1/z-2",
            "spiffe://cluster.local/ns/prod/sa/web",
            Reason::UnknownCaller,
        ),
        (ztunnel, "spiffe://cluster.local/ns/prod/sa/db", Reason::NotOnNode),
    ];
    for (token, identity, _) in cases {
        let identity = Kind::StringValue(identity.to_owned());
        service.create_certificate(request(token, &csr(), Some(identity))).await.unwrap_err();
    }
    let counted: Vec<_> = service.statistics.refused().filter(|(_, count)| *count == 1).collect();
    assert_eq!(counted, cases.map(|(_, _, reason)| (reason, 1)));
}

#[tokio::test(start_paused = true)]
async fn an_exchanged_authority_signs_at_once() {
    let service = service();
    let new = root();
    let root_pem = new.root_pem().to_owned();
    service.authority.replace(new);
    let chain = service.create_certificate(request("prod/web", &csr(), None)).await.unwrap();
    assert_eq!(chain.into_inner().cert_chain[1], root_pem);
}
