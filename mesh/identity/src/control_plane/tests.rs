//! Tests of `control_plane`.

use std::fs;
use std::sync::Arc;

use mesh_proto::istio::ca::IstioCertificateRequest;
use mesh_proto::istio::ca::istio_certificate_service_client::IstioCertificateServiceClient;

use super::*;
use crate::key::KeyRequest;
use crate::testing::{Server, authority, workload};

fn settings(address: String, root: RootSource) -> ControlPlaneSettings {
    ControlPlaneSettings {
        address,
        root,
        token: TokenSource::None,
        cluster_id: "Kubernetes".to_owned(),
        verified_name: None,
        headers: Vec::new(),
    }
}

async fn call(control_plane: &ControlPlane) -> Result<(), String> {
    let channel = control_plane.channel().map_err(|error| error.to_string())?;
    let csr = KeyRequest::generate(&workload("web")).unwrap().csr_pem().to_owned();
    let request = IstioCertificateRequest { csr, ..Default::default() };
    let answer = IstioCertificateServiceClient::new(channel).create_certificate(request).await;
    answer.map(|_| ()).map_err(|status| explain(&status))
}

#[tokio::test]
async fn the_server_is_verified_by_root_and_name() {
    let ours = Arc::new(authority());
    let server = Server::start(Arc::clone(&ours), &["istiod.istio-system.svc"], true).await;
    let inline =
        |authority: &crate::authority::Authority| RootSource::Inline(authority.root_pem().to_owned());
    let address = server.address.to_string();

    // Without a scheme it is https.
    let good = ControlPlane::new(settings(address.clone(), inline(&ours))).unwrap();
    assert_eq!(call(&good).await, Ok(()));

    let stranger = ControlPlane::new(settings(address.clone(), inline(&authority()))).unwrap();
    assert!(call(&stranger).await.unwrap_err().contains("invalid peer certificate"));

    let named = |name: &str| ControlPlaneSettings {
        verified_name: Some(name.to_owned()),
        ..settings(address.clone(), inline(&ours))
    };
    let alternative = ControlPlane::new(named("istiod.istio-system.svc")).unwrap();
    assert_eq!(call(&alternative).await, Ok(()));
    let wrong = ControlPlane::new(named("other.example.com")).unwrap();
    assert!(call(&wrong).await.unwrap_err().contains("invalid peer certificate"));
}

#[tokio::test]
async fn id_11_a_changed_root_file_takes_effect_with_the_next_call() {
    let (old, new) = (Arc::new(authority()), Arc::new(authority()));
    let server = Server::start(Arc::clone(&old), &[], true).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("root-cert.pem");
    let control_plane =
        ControlPlane::new(settings(server.address.to_string(), RootSource::Path(path.clone()))).unwrap();

    let missing = call(&control_plane).await.unwrap_err();
    assert!(missing.contains("root-cert.pem: No such file"), "{missing}");
    fs::write(&path, old.root_pem()).unwrap();
    assert_eq!(call(&control_plane).await, Ok(()));

    for bad in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        fs::write(&path, bad).unwrap();
        assert_eq!(call(&control_plane).await, Ok(()), "a bad file keeps the old channel: {bad:?}");
    }

    server.switch(Arc::clone(&new));
    fs::write(&path, new.root_pem()).unwrap();
    assert_eq!(call(&control_plane).await, Ok(()));
}

#[tokio::test]
async fn the_token_file_is_read_for_every_call() {
    let mut server = Server::start(Arc::new(authority()), &[], false).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    let control_plane = ControlPlane::new(ControlPlaneSettings {
        token: TokenSource::from(path.to_str().unwrap()),
        ..settings(format!("http://{}", server.address), RootSource::System)
    });
    let control_plane = control_plane.unwrap();
    assert!(call(&control_plane).await.unwrap_err().contains("cannot read the token"));
    for token in ["first", "second"] {
        fs::write(&path, format!("{token}\n")).unwrap();
        assert_eq!(call(&control_plane).await, Ok(()));
        let request = server.requests.recv().await.unwrap();
        assert_eq!(request.metadata().get("authorization").unwrap(), &format!("Bearer {token}"));
    }
    fs::write(&path, "a\nb").unwrap();
    assert!(call(&control_plane).await.unwrap_err().contains("no header may hold"));
}

#[test]
fn sources_are_told_apart_by_their_form() {
    assert_eq!(RootSource::from("SYSTEM"), RootSource::System);
    assert_eq!(RootSource::from("./root.pem"), RootSource::Path("./root.pem".into()));
    let pem = "-----BEGIN CERTIFICATE-----\n";
    assert_eq!(RootSource::from(pem), RootSource::Inline(pem.to_owned()));
    assert_eq!(TokenSource::from(""), TokenSource::None);
    assert_eq!(TokenSource::from("./token"), TokenSource::Path("./token".into()));
    assert_eq!(TokenSource::from("eyJh.eyJi.c2ln"), TokenSource::Literal("eyJh.eyJi.c2ln".to_owned()));
    assert!(!format!("{:?}", TokenSource::from("eyJh.eyJi.c2ln")).contains("eyJ"), "tokens are not shown");
}

#[test]
fn wrong_settings_are_refused_at_once() {
    for address in ["", "ftp://host:1", "http://", "https://[::1", "a b"] {
        let refused = ControlPlane::new(settings(address.to_owned(), RootSource::System)).err().unwrap();
        assert!(refused.to_string().contains("is not the address of a control plane"), "{refused}");
    }
    let header = ControlPlaneSettings {
        headers: vec![("bad header".to_owned(), "x".to_owned())],
        ..settings("host:1".to_owned(), RootSource::System)
    };
    assert!(ControlPlane::new(header).is_err());
}

#[test]
fn files_are_read_up_to_a_bound() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("large");
    fs::File::create(&path).unwrap().set_len(LARGEST_FILE + 1).unwrap();
    assert_eq!(read_bounded(&path).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
}
