//! Tests of `webhook`: requests over TLS, as the API server and others send them.

use std::net::Ipv4Addr;

use mesh_identity::authority::{Authority, RootKey};
use mesh_identity::{Profile, provider};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::*;
use crate::ca::CurrentAuthority;
use crate::server::ServingCertificate;

const NAME: &str = "adit-controller.istio-system.svc";

struct Running {
    port: u16,
    root: String,
}

impl Running {
    async fn start() -> Self {
        let authority =
            Authority::self_signed("cluster.local", Duration::from_hours(24), RootKey::Ecdsa).unwrap();
        let root = authority.root_pem().to_owned();
        let authority = CurrentAuthority::new(authority);
        let certificate = ServingCertificate::new(authority, vec![NAME.to_owned()], vec![]).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(serve(listener, certificate.tls_for(b"http/1.1").unwrap()));
        Running { port, root }
    }

    /// Everything that comes back until the server ends the connection.
    async fn ask(&self, request: &str) -> String {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.root.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(provider(Profile::default()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect(NAME.try_into().unwrap(), stream).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // Whether the end was announced does not matter here.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    async fn post(&self, path: &str, body: &str) -> String {
        let length = body.len();
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}");
        self.ask(&format!("{head}\r\n\r\n{body}")).await
    }
}

#[tokio::test]
async fn reviews_are_answered_and_garbage_is_refused() {
    let running = Running::start().await;
    let review = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview",
        "request":{"uid":"u-7","operation":"DELETE","oldObject":{}}}"#;
    let answer = running.post("/validate?timeout=5s", review).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains(r#"{"uid":"u-7","allowed":true}"#), "{answer}");
    assert!(running.post("/validate", "garbage").await.starts_with("HTTP/1.1 400"));
    assert!(running.post("/other", review).await.starts_with("HTTP/1.1 404"));
    let get = "GET /validate HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert!(running.ask(get).await.starts_with("HTTP/1.1 405"));
    let large = format!("POST /validate HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", MAX_REQUEST + 1);
    assert!(running.ask(&large).await.starts_with("HTTP/1.1 413"));
    assert!(running.post("/validate", review).await.starts_with("HTTP/1.1 200"), "and it goes on");
}
