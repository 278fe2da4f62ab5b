//! What the tests share: certificates, configurations for each suite, and a
//! connection over which records of ours are read and written.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion, version,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, Join, ReadBuf, ReadHalf, WriteHalf,
};

use crate::{HEADER, Opened, RecordError, Session, TRAILER, find_record};

/// All of TLS 1.3 that has a record layer here.
pub(crate) const SUITES: [SupportedCipherSuite; 3] = [
    aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384,
    aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
    aws_lc_rs::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
];

/// A root, and a certificate of `name` with its key.
struct Held {
    root: CertificateDer<'static>,
    leaf: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

fn held() -> &'static Held {
    static HELD: OnceLock<Held> = OnceLock::new();
    HELD.get_or_init(|| {
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(["db".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        Held {
            root: issuer.der().clone(),
            leaf: leaf.der().clone(),
            key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        }
    })
}

/// The certificate that both ends present.
pub(crate) fn leaf() -> CertificateDer<'static> {
    held().leaf.clone()
}

/// The name in it.
pub(crate) fn name() -> ServerName<'static> {
    ServerName::try_from("db").unwrap()
}

/// Trusts the root of [`leaf`].
pub(crate) fn trusted() -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(held().root.clone()).unwrap();
    Arc::new(roots)
}

pub(crate) fn provider(suite: SupportedCipherSuite) -> CryptoProvider {
    let tls12 = aws_lc_rs::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
    CryptoProvider { cipher_suites: vec![suite, tls12], ..aws_lc_rs::default_provider() }
}

const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

pub(crate) fn client_config(suite: SupportedCipherSuite) -> ClientConfig {
    client_config_of(provider(suite), BOTH, trusted())
}

pub(crate) fn client_config_of(
    provider: CryptoProvider,
    versions: &[&'static SupportedProtocolVersion],
    trusted: Arc<RootCertStore>,
) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(trusted)
        .with_client_auth_cert(vec![leaf()], held().key.clone_key())
        .unwrap();
    config.enable_secret_extraction = true;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// Asks for a certificate of the client, and sends two tickets behind the handshake.
pub(crate) fn server_config(suite: SupportedCipherSuite) -> ServerConfig {
    server_config_of(provider(suite), BOTH, verifier(trusted()))
}

/// Asks clients for a certificate.
pub(crate) fn verifier(trusted: Arc<RootCertStore>) -> Arc<dyn ClientCertVerifier> {
    WebPkiClientVerifier::builder_with_provider(trusted, Arc::new(provider(SUITES[0]))).build().unwrap()
}

pub(crate) fn server_config_of(
    provider: CryptoProvider,
    versions: &[&'static SupportedProtocolVersion],
    verifier: Arc<dyn ClientCertVerifier>,
) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![leaf()], held().key.clone_key())
        .unwrap();
    config.enable_secret_extraction = true;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// A reader that gives some bytes at a time, at most as many as it is told.
pub(crate) struct Chopped<R> {
    inner: R,
    largest: usize,
    random: StdRng,
}

impl<R> Chopped<R> {
    pub(crate) fn new(inner: R, largest: usize) -> Chopped<R> {
        Chopped { inner, largest, random: StdRng::seed_from_u64(0) }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Chopped<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let largest = self.largest;
        let room = self.random.random_range(1..=largest).min(buffer.remaining());
        let mut piece = ReadBuf::new(buffer.initialize_unfilled_to(room));
        ready!(Pin::new(&mut self.inner).poll_read(context, &mut piece))?;
        let count = piece.filled().len();
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

/// A wire that gives what arrives in pieces.
pub(crate) fn chopped<IO: AsyncRead + AsyncWrite>(
    io: IO,
    largest: usize,
) -> Join<Chopped<ReadHalf<IO>>, WriteHalf<IO>> {
    let (reading, writing) = tokio::io::split(io);
    tokio::io::join(Chopped::new(reading, largest), writing)
}

/// A session of ours with what it runs over.
pub(crate) struct Line<IO> {
    pub(crate) io: IO,
    pub(crate) session: Session,
}

/// A client and a server, both ours.
pub(crate) async fn pair(suite: SupportedCipherSuite) -> (Line<DuplexStream>, Line<DuplexStream>) {
    let (mut near, mut far) = tokio::io::duplex(1 << 20);
    let (client, server) = tokio::join!(
        crate::connect(&mut near, Arc::new(client_config(suite)), name()),
        crate::accept(&mut far, Arc::new(server_config(suite))),
    );
    (Line { io: near, session: client.unwrap() }, Line { io: far, session: server.unwrap() })
}

/// Room for a record with `payload` in it.
pub(crate) fn record(payload: &[u8]) -> Vec<u8> {
    [&[0; HEADER], payload, &[0; TRAILER]].concat()
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Line<IO> {
    /// Sends one record.
    pub(crate) async fn send(&mut self, payload: &[u8]) {
        let mut record = record(payload);
        self.session.sealer.seal(&mut record).unwrap();
        self.io.write_all(&record).await.unwrap();
    }

    /// Takes the next whole record from the wire, unopened; None at its end.
    pub(crate) async fn next_record(&mut self) -> Result<Option<BytesMut>, RecordError> {
        loop {
            let received = &mut self.session.received;
            if let Some(length) = find_record(received)?.filter(|length| *length <= received.len()) {
                return Ok(Some(received.split_to(length)));
            }
            if self.io.read_buf(received).await.unwrap() == 0 {
                return Ok(None);
            }
        }
    }

    /// Opens the next record.
    pub(crate) async fn open_next(&mut self) -> Result<Opened, RecordError> {
        let record = self.next_record().await?.expect("a record before the end");
        self.session.opener.open(record)
    }

    /// The next application data, past tickets and key updates, which are answered.
    pub(crate) async fn next_data(&mut self) -> BytesMut {
        loop {
            match self.open_next().await.unwrap() {
                Opened::Data(data) => return data,
                Opened::Nothing => {}
                Opened::KeyUpdateRequested => {
                    let mut out = Vec::new();
                    self.session.sealer.update_key(&mut out).unwrap();
                    self.io.write_all(&out).await.unwrap();
                }
                Opened::Closed => panic!("closed where data was expected"),
            }
        }
    }
}
