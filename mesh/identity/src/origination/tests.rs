//! Tests of `origination`.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::SystemTime;

use mesh_model::{TlsClient, TlsTrust};
use rustls::{NamedGroup, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::authority::{Authority, ServerCertificate};
use crate::provider;
use crate::testing::authority;
use crate::tls::control_plane_config;

const PATIENCE: Duration = Duration::from_secs(20);

fn policy(trust: TlsTrust) -> UpstreamTls {
    UpstreamTls { sni: None, subject_alt_names: Vec::new(), trust, client: None }
}

fn trusting(authority: &Authority) -> UpstreamTls {
    policy(TlsTrust::Pem(authority.root_pem().into()))
}

fn server(authority: &Authority) -> ServerCertificate {
    let addresses: [IpAddr; 1] = [Ipv4Addr::LOCALHOST.into()];
    authority.sign_server(&["api.example.com"], &addresses, Duration::from_secs(600)).unwrap()
}

/// What a server saw of a client: the name it asked for, and whether it showed a certificate.
type Seen = (Option<String>, bool);

/// Connects to a server with this certificate; it says one byte, and what it saw.
async fn meet(
    origination: &Origination,
    certificate: &ServerCertificate,
    host: &str,
    protocol: Option<&[u8]>,
) -> Result<(Secured<DuplexStream>, Seen), String> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let acceptor = TlsAcceptor::from(control_plane_config(certificate).unwrap());
    let accepting = tokio::spawn(async move {
        let mut stream = acceptor.accept(far).await.ok()?;
        let shown = stream.get_ref().1.peer_certificates().is_some();
        let asked = stream.get_ref().1.server_name().map(str::to_owned);
        stream.write_all(b"x").await.ok()?;
        stream.flush().await.ok()?;
        Some((asked, shown))
    });
    let connected = origination.connect(near, host, protocol, PATIENCE).await;
    let mut connected = connected.map_err(|error| error.to_string())?;
    connected.read_u8().await.map_err(|error| error.to_string())?;
    Ok((connected, accepting.await.unwrap().ok_or("the server refused")?))
}

async fn refused(policy: UpstreamTls, certificate: &ServerCertificate, host: &str) -> String {
    let origination = Origination::new(policy, Profile::default());
    match meet(&origination, certificate, host, None).await {
        Ok(_) => panic!("{:?} took the server as {host}", origination.policy()),
        Err(reason) => reason,
    }
}

#[tokio::test]
async fn l7_18_the_server_is_who_was_asked_for() {
    let ours = authority();
    let certificate = server(&ours);
    let origination = Origination::new(trusting(&ours), Profile::default());
    let (stream, (asked, shown)) =
        meet(&origination, &certificate, "api.example.com", Some(b"h2")).await.unwrap();
    assert_eq!((asked.as_deref(), shown), (Some("api.example.com"), false));
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    // An address is not asked for by name, and is in the certificate.
    let (stream, (asked, _)) = meet(&origination, &certificate, "127.0.0.1", None).await.unwrap();
    assert_eq!((asked, stream.get_ref().1.alpn_protocol()), (None, None));
    let named = UpstreamTls { sni: Some("api.example.com".into()), ..trusting(&ours) };
    let named = Origination::new(named, Profile::default());
    assert!(
        meet(&named, &certificate, "another.example.com", None).await.is_ok(),
        "the policy's name counts"
    );
}

#[tokio::test]
async fn eg_20_where_post_quantum_keys_are_a_must_a_classical_server_is_refused() {
    let ours = authority();
    let certificate = server(&ours);
    let strict = Profile { post_quantum_only: true, ..Profile::default() };
    let strict = Origination::new(trusting(&ours), strict);
    let (stream, _) = meet(&strict, &certificate, "api.example.com", None).await.unwrap();
    let group = stream.get_ref().1.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
    // A server that has not heard of it.
    let mut classical = (*provider(Profile::default())).clone();
    classical.kx_groups.retain(|group| group.name() != NamedGroup::X25519MLKEM768);
    let chain = CertificateDer::pem_slice_iter(certificate.chain_pem.as_bytes()).map(Result::unwrap);
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes()).unwrap();
    let classical = ServerConfig::builder_with_provider(Arc::new(classical))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.collect(), key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(classical));
    for (origination, meets) in
        [(Origination::new(trusting(&ours), Profile::default()), true), (strict, false)]
    {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (accepted, connected) =
            tokio::join!(acceptor.accept(far), origination.connect(near, "api.example.com", None, PATIENCE));
        assert_eq!((accepted.is_ok(), connected.is_ok()), (meets, meets));
    }
}

#[tokio::test]
async fn whoever_is_somebody_else_is_refused() {
    let (ours, theirs) = (authority(), authority());
    let certificate = server(&ours);
    let wrong_name = refused(trusting(&ours), &certificate, "another.example.com").await;
    assert!(wrong_name.starts_with("TLS_error: invalid peer certificate"), "{wrong_name}");
    let wrong_authority = refused(trusting(&theirs), &certificate, "api.example.com").await;
    assert!(wrong_authority.contains("invalid peer certificate"), "{wrong_authority}");
    let no_name = refused(trusting(&ours), &certificate, "a b").await;
    assert!(no_name.contains("set sni in the policy"), "{no_name}");
    let no_file = policy(TlsTrust::File("/nonexistent/ca.pem".into()));
    let no_file = refused(no_file, &certificate, "api.example.com").await;
    assert!(no_file.contains("cannot read /nonexistent/ca.pem"), "{no_file}");
}

#[tokio::test]
async fn names_that_are_listed_count_instead_of_the_one_asked_for() {
    let ours = authority();
    let certificate = server(&ours);
    let listing = |names: &[&str]| UpstreamTls {
        subject_alt_names: names.iter().map(|name| (*name).into()).collect(),
        ..trusting(&ours)
    };
    let good = Origination::new(listing(&["spiffe://x/y", "api.example.com"]), Profile::default());
    assert!(meet(&good, &certificate, "another.example.com", None).await.is_ok());
    let reason = refused(listing(&["www.example.com"]), &certificate, "api.example.com").await;
    assert!(reason.contains("www.example.com"), "{reason}");
}

#[tokio::test]
async fn unverified_takes_anybody() {
    let certificate = server(&authority());
    let anybody = Origination::new(policy(TlsTrust::Unverified), Profile::default());
    assert!(meet(&anybody, &certificate, "another.example.com", None).await.is_ok());
}

/// Puts a file in place of another at once, as the kubelet does.
fn replace(path: &Path, text: &str) {
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, text).unwrap();
    // Whatever the resolution of the file system's clock, this is another time.
    let later = SystemTime::now() + Duration::from_secs(5);
    std::fs::File::options().write(true).open(&fresh).unwrap().set_modified(later).unwrap();
    std::fs::rename(fresh, path).unwrap();
}

#[tokio::test]
async fn files_are_read_again_when_they_change() {
    let (old, new) = (authority(), authority());
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, old.root_pem()).unwrap();
    let origination =
        Origination::new(policy(TlsTrust::File(ca.to_str().unwrap().into())), Profile::default());
    let (before, after) = (server(&old), server(&new));
    assert!(meet(&origination, &before, "api.example.com", None).await.is_ok());
    replace(&ca, new.root_pem());
    assert!(meet(&origination, &after, "api.example.com", None).await.is_ok());
    assert!(meet(&origination, &before, "api.example.com", None).await.is_err(), "the old one is out");
    replace(&ca, "no certificate");
    assert!(meet(&origination, &after, "api.example.com", None).await.is_ok(), "what was good stays");
}

#[tokio::test]
async fn the_waypoint_shows_its_own_certificate_where_it_has_one() {
    let ours = authority();
    let key = rcgen::KeyPair::generate().unwrap();
    let own = rcgen::CertificateParams::new(vec!["waypoint".to_owned()]).unwrap().self_signed(&key).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("cert.pem"), own.pem()).unwrap();
    std::fs::write(path("key.pem"), key.serialize_pem()).unwrap();
    let client = TlsClient { certificate_file: path("cert.pem").into(), key_file: path("key.pem").into() };
    let mutual = UpstreamTls { client: Some(client), ..trusting(&ours) };
    let origination = Origination::new(mutual, Profile::default());
    // The server knows such clients.
    let certificate = ServerCertificate { root_pem: own.pem(), ..server(&ours) };
    let (_, (_, shown)) = meet(&origination, &certificate, "api.example.com", None).await.unwrap();
    assert!(shown);
}
