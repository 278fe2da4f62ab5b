//! Tests of `ca`.

use std::sync::Arc;

use super::*;
use crate::control_plane::{ControlPlaneSettings, RootSource, TokenSource};
use crate::key::KeyRequest;
use crate::testing::{Server, authority, workload};

fn client(address: &str, token: TokenSource) -> CaClient {
    let control_plane = ControlPlane::new(ControlPlaneSettings {
        address: address.to_owned(),
        root: RootSource::System,
        token,
        cluster_id: "Kubernetes".to_owned(),
        verified_name: None,
        headers: vec![("X-Extra".to_owned(), "1".to_owned())],
    });
    CaClient::new(control_plane.unwrap(), Duration::from_secs(3600))
}

#[tokio::test]
async fn id_03_the_call_says_who_asks_for_whom_and_how_long() {
    let mut server = Server::start(Arc::new(authority()), &[], false).await;
    let client = client(&format!("http://{}", server.address), TokenSource::Literal("t0ken".to_owned()));
    let csr = KeyRequest::generate(&workload("web")).unwrap();
    let chain = client.sign(&workload("web"), csr.csr_pem()).await.unwrap();
    assert_eq!(chain.len(), 2);
    let request = server.requests.recv().await.unwrap();
    let metadata = |key| request.metadata().get(key).map(|value| value.to_str().unwrap());
    assert_eq!(metadata("authorization"), Some("Bearer t0ken"));
    assert_eq!(metadata("clusterid"), Some("Kubernetes"));
    assert_eq!(metadata("x-extra"), Some("1"));
    let message = request.get_ref();
    assert_eq!(message.validity_duration, 3600);
    let impersonated = &message.metadata.as_ref().unwrap().fields["ImpersonatedIdentity"];
    let expected = Kind::StringValue("spiffe://cluster.local/ns/default/sa/web".to_owned());
    assert_eq!(impersonated.kind, Some(expected));
}

#[tokio::test]
async fn the_own_identity_is_asked_for_without_impersonation_and_no_other() {
    let mut server = Server::start(Arc::new(authority()), &[], false).await;
    let client = client(&format!("http://{}", server.address), TokenSource::None);
    let client = client.with_own_identity(workload("way"));
    for (name, impersonates) in [("way", false), ("web", true)] {
        let csr = KeyRequest::generate(&workload(name)).unwrap();
        client.sign(&workload(name), csr.csr_pem()).await.unwrap();
        let request = server.requests.recv().await.unwrap();
        assert_eq!(request.get_ref().metadata.is_some(), impersonates, "{name}");
    }
}

#[tokio::test]
async fn a_refusal_carries_the_reason_of_the_ca() {
    let server = Server::start(Arc::new(authority()), &[], false).await;
    let client = client(&format!("http://{}", server.address), TokenSource::None);
    let refused = client.sign(&workload("web"), "no request").await.unwrap_err();
    assert!(refused.to_string().contains("cannot sign the certificate request"), "{refused}");
}

#[tokio::test]
async fn a_ca_that_is_not_there_is_an_error_in_time() {
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let refused = client(&format!("http://{gone}"), TokenSource::None).sign(&workload("web"), "").await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.starts_with("cannot reach the certificate authority: "), "{refused}");
    assert!(refused.contains("Connection refused"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_ca_that_does_not_answer_is_given_up() {
    // Accepts, and says nothing for ever.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", silent.local_addr().unwrap());
    let refused = client(&address, TokenSource::None).sign(&workload("web"), "").await.unwrap_err();
    assert!(refused.to_string().ends_with("no answer within 20 s"), "{refused}");
}
