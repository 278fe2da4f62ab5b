//! TLS of an echo: a certificate made as it starts and signed by nobody but itself, for trying out what speaks TLS to it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use mesh_identity::{Profile, provider};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A peer has to finish its handshake within this.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The name a client has asked for by TLS, if any; stands in the requests that came so.
#[derive(Clone, Debug)]
pub(super) struct AskedName(pub(super) Option<String>);

/// What accepts TLS here, and the certificate it shows.
pub(super) fn acceptor(name: &str) -> Result<(TlsAcceptor, CertificateDer<'static>)> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).context("making a key")?;
    let parameters = CertificateParams::new(vec![name.to_owned()])
        .with_context(|| format!("{name:?} cannot stand in a certificate; give another --name"))?;
    let certificate = parameters.self_signed(&key).context("making a certificate")?.der().clone();
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
    let mut config = ServerConfig::builder_with_provider(provider(Profile::default()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((TlsAcceptor::from(Arc::new(config)), certificate))
}

/// The handshake of one connection; nothing if it fails or takes too long, which concerns the peer alone.
pub(super) async fn accept(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
) -> Option<(TlsStream<TcpStream>, AskedName)> {
    let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await.ok()?.ok()?;
    let asked = AskedName(stream.get_ref().1.server_name().map(str::to_owned));
    Some((stream, asked))
}
