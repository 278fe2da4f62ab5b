//! What stands before a backend: it reads what a connection begins with, and notes it.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use mesh_identity::{Profile, provider};
use mesh_net::proxy_protocol;
use mesh_testkit::authority::FakeCa;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// What connections begin with.
#[derive(Clone, Default)]
pub(super) struct Begin {
    pub(super) proxy_protocol: bool,
    pub(super) tls: Option<Arc<ServerConfig>>,
}

/// What one connection began with.
#[derive(Clone, Debug, Default)]
pub(super) struct Greeting {
    /// The header's first byte tells its version.
    pub(super) version: Option<u8>,
    pub(super) client: Option<SocketAddr>,
    pub(super) target: Option<SocketAddr>,
    pub(super) server_name: Option<String>,
    pub(super) protocol: Option<String>,
}

/// A listener that passes on to a backend.
pub(super) struct Front {
    pub(super) address: SocketAddr,
    greetings: Arc<Mutex<Vec<Greeting>>>,
}

impl Front {
    pub(super) async fn start(ip: IpAddr, begin: Begin, to: SocketAddr) -> Front {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let greetings = Arc::new(Mutex::new(Vec::new()));
        let shared = greetings.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(receive(stream, begin.clone(), to, shared.clone()));
            }
        });
        Front { address, greetings }
    }

    /// What each connection began with so far.
    pub(super) fn greetings(&self) -> Vec<Greeting> {
        self.greetings.lock().unwrap().clone()
    }
}

async fn receive(
    mut stream: TcpStream,
    begin: Begin,
    to: SocketAddr,
    greetings: Arc<Mutex<Vec<Greeting>>>,
) -> Option<()> {
    let mut greeting = Greeting::default();
    if begin.proxy_protocol {
        read_header(&mut stream, &mut greeting).await;
    }
    match begin.tls {
        None => {
            greetings.lock().unwrap().push(greeting);
            pass(stream, to).await;
        }
        Some(config) => {
            // Those who do not like the certificate leave.
            let stream = TlsAcceptor::from(config).accept(stream).await.ok()?;
            let session = stream.get_ref().1;
            greeting.server_name = session.server_name().map(str::to_owned);
            greeting.protocol =
                session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
            greetings.lock().unwrap().push(greeting);
            pass(stream, to).await;
        }
    }
    Some(())
}

async fn pass(mut stream: impl AsyncRead + AsyncWrite + Unpin, to: SocketAddr) {
    let mut backend = TcpStream::connect(to).await.unwrap();
    // Clients break connections on purpose here.
    let _ = tokio::io::copy_bidirectional(&mut stream, &mut backend).await;
}

/// Either version of the PROXY protocol, and nothing of what follows.
async fn read_header(stream: &mut TcpStream, greeting: &mut Greeting) {
    let mut header = vec![stream.read_u8().await.unwrap()];
    if header[0] == b'P' {
        while !header.ends_with(b"\r\n") {
            header.push(stream.read_u8().await.unwrap());
        }
        let text = String::from_utf8(header).unwrap();
        let parts: Vec<&str> = text.split_whitespace().collect();
        assert_eq!(parts[..2], ["PROXY", "TCP4"]);
        let address = |ip: &str, port: &str| SocketAddr::new(ip.parse().unwrap(), port.parse().unwrap());
        greeting.version = Some(1);
        greeting.client = Some(address(parts[2], parts[4]));
        greeting.target = Some(address(parts[3], parts[5]));
        return;
    }
    loop {
        match proxy_protocol::parse(&header) {
            Ok((parsed, _)) => {
                let (client, target) = parsed.addresses.unwrap();
                greeting.version = Some(2);
                (greeting.client, greeting.target) = (Some(client), Some(target));
                return;
            }
            Err(_) => header.push(stream.read_u8().await.unwrap()),
        }
    }
}

/// The TLS of a server with a certificate of this authority for these names.
pub(super) fn server_tls(ca: &FakeCa, names: &[&str]) -> Arc<ServerConfig> {
    let certificate = ca.authority().sign_server(names, &[], std::time::Duration::from_secs(600)).unwrap();
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate.chain_pem.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes()).unwrap();
    let mut config = ServerConfig::builder_with_provider(provider(Profile::default()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.unwrap(), key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}
