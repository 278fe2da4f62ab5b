//! Tests of `certificate`: the authority is exchanged under live connections.

use std::net::Ipv4Addr;

use mesh_identity::authority::RootKey;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;

fn root() -> Authority {
    Authority::self_signed("cluster.local", Duration::from_hours(24), RootKey::Ecdsa).unwrap()
}

/// Echoes over TLS.
async fn echo(certificate: &ServingCertificate) -> u16 {
    let acceptor = TlsAcceptor::from(certificate.tls_for(b"echo").unwrap());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let (mut reader, mut writer) = tokio::io::split(stream);
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            });
        }
    });
    port
}

async fn connect(port: u16, trusted: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(trusted.as_bytes()) {
        roots.add(root.unwrap()).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(provider(Profile::default()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"echo".to_vec()];
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    TlsConnector::from(Arc::new(config)).connect("istiod.istio-system.svc".try_into().unwrap(), stream).await
}

async fn say(stream: &mut TlsStream<TcpStream>) {
    stream.write_all(b"hello").await.unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"hello");
}

/// Until the certificate has been signed anew.
async fn renewed(current: &Current, before: &Arc<CertifiedKey>) {
    while Arc::ptr_eq(&current.0.read().unwrap(), before) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_exchanged_root_loses_no_connection() {
    let (old, new) = (root(), root());
    let (old_root, new_root) = (old.root_pem().to_owned(), new.root_pem().to_owned());
    let authority = CurrentAuthority::new(old);
    let names = vec!["istiod.istio-system.svc".to_owned()];
    let certificate = ServingCertificate::new(authority.clone(), names, vec![]).unwrap();
    let (port, current) = (echo(&certificate).await, certificate.current.clone());
    let first = current.0.read().unwrap().clone();
    tokio::spawn(certificate.renew());
    renewed(&current, &first).await;

    let mut established = connect(port, &old_root).await.unwrap();
    say(&mut established).await;
    assert!(connect(port, &new_root).await.is_err(), "not yet");

    let before = current.0.read().unwrap().clone();
    authority.replace(new);
    renewed(&current, &before).await;
    say(&mut established).await;
    say(&mut connect(port, &new_root).await.unwrap()).await;
    say(&mut connect(port, &(old_root.clone() + &new_root)).await.unwrap()).await;
    assert!(connect(port, &old_root).await.is_err(), "signed by the new one at once");
    say(&mut established).await;
}

#[tokio::test]
async fn a_renewed_root_is_trusted_by_those_who_know_only_the_old_one() {
    let old = root();
    let new = old.renewed(Duration::from_hours(48)).unwrap();
    let (old_root, new_root) = (old.root_pem().to_owned(), new.root_pem().to_owned());
    let authority = CurrentAuthority::new(new);
    let names = vec!["istiod.istio-system.svc".to_owned()];
    let certificate = ServingCertificate::new(authority, names, vec![]).unwrap();
    let port = echo(&certificate).await;
    for trusted in [&old_root, &new_root] {
        say(&mut connect(port, trusted).await.unwrap()).await;
    }
}
