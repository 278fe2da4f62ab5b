//! Opens connections to the control plane: TCP with keepalive, then TLS without a client certificate.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::codegen::Service;

use crate::provider::{Profile, provider};

/// Either kind of connection.
pub(super) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// Connects to one host, whatever URI it is asked for.
#[derive(Clone)]
pub(super) struct Connector {
    host: Arc<str>,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Connector {
    /// Plain text.
    pub(super) fn plain(address: &Uri) -> Result<Self, String> {
        let host = address.host().ok_or("the address has no host")?;
        let host = host.trim_start_matches('[').trim_end_matches(']').into();
        Ok(Connector { host, port: address.port_u16().unwrap_or(80), tls: None })
    }

    /// TLS, with the server's certificate chaining to one of the roots (PEM) and valid for the name.
    pub(super) fn tls(address: &Uri, roots: &[u8], name: Option<&str>) -> Result<Self, String> {
        let plain = Self::plain(address)?;
        let name = name.unwrap_or(&plain.host).to_owned();
        let name = ServerName::try_from(name.clone()).map_err(|_| format!("{name:?} is not a host name"))?;
        let port = address.port_u16().unwrap_or(443);
        Ok(Connector { port, tls: Some((TlsConnector::from(tls_config(roots)?), name)), ..plain })
    }

    /// `host:port`.
    pub(super) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    async fn connect(self) -> io::Result<TokioIo<Box<dyn Connection>>> {
        let tcp = TcpStream::connect((&*self.host, self.port)).await?;
        tcp.set_nodelay(true)?;
        let keepalive = TcpKeepalive::new()
            .with_time(Duration::from_secs(300))
            .with_interval(Duration::from_secs(75))
            .with_retries(9);
        SockRef::from(&tcp).set_tcp_keepalive(&keepalive)?;
        let connection: Box<dyn Connection> = match self.tls {
            Some((connector, name)) => Box::new(connector.connect(name, tcp).await?),
            None => Box::new(tcp),
        };
        Ok(TokioIo::new(connection))
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn Connection>>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        self.clone().connect().boxed()
    }
}

fn tls_config(roots: &[u8]) -> Result<Arc<ClientConfig>, String> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(roots)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("it is not PEM: {error}"))?;
    let mut trusted = RootCertStore::empty();
    if trusted.add_parsable_certificates(certificates).0 == 0 {
        return Err("it holds no usable certificate".to_owned());
    }
    let provider = provider(Profile::default());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| error.to_string())?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}
