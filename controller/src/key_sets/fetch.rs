//! One key set over HTTP or HTTPS. What answers is not trusted beyond its certificate: it may not take long, send
//! much, send us elsewhere, or be the machine itself.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use controller_translate::KeySource;
use controller_translate::resources::{MOST_KEYS, check_key_set};
use http::header::{ACCEPT, CONNECTION, HOST, HeaderValue, USER_AGENT};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use mesh_runtime::env;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Where an issuer says where its keys are.
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// Fetches key sets.
pub(super) struct Client {
    tls: TlsConnector,
    may_be_asked: fn(IpAddr) -> bool,
}

/// Whether an address may be asked for keys. Whoever may write a RequestAuthentication names it, and must not thereby
/// reach what only this machine reaches: itself, and the services of clouds for their machines.
pub(super) fn is_public_enough(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    let link_local = match ip {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(link_local || ip.is_loopback() || ip.is_unspecified() || ip.is_multicast())
}

impl Client {
    /// Trusts what the system trusts (`SSL_CERT_FILE`), and further roots (`JWKS_ROOT_CA`, a file of PEM).
    pub(super) fn new(may_be_asked: fn(IpAddr) -> bool) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        // A root that cannot be read is not trusted; that others are is enough.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = env::find_text("JWKS_ROOT_CA") {
            let pem = std::fs::read(&path).with_context(|| format!("cannot read JWKS_ROOT_CA, {path}"))?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate = certificate
                    .with_context(|| format!("JWKS_ROOT_CA, {path}, is no PEM of certificates"))?;
                roots.add(certificate).with_context(|| format!("JWKS_ROOT_CA, {path}, cannot be trusted"))?;
            }
        }
        let config =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_root_certificates(roots)
                .with_no_client_auth();
        Ok(Client { tls: TlsConnector::from(Arc::new(config)), may_be_asked })
    }

    /// The keys at a source, which have been looked at; or why there are none.
    pub(super) async fn fetch(&self, source: &KeySource) -> Result<String, String> {
        let uri = match source {
            KeySource::Uri(uri) => uri.to_string(),
            KeySource::Issuer(issuer) => self.discover(issuer).await?,
        };
        let keys = self.get(&uri).await?;
        check_key_set(&keys).map_err(|reason| format!("{uri} answers with what is {reason}"))?;
        Ok(keys)
    }

    async fn discover(&self, issuer: &str) -> Result<String, String> {
        let uri = format!("{}{DISCOVERY}", issuer.trim_end_matches('/'));
        let answer = self.get(&uri).await?;
        let said: serde_json::Value =
            serde_json::from_str(&answer).map_err(|error| format!("{uri} answers with no JSON: {error}"))?;
        let keys = said.get("jwks_uri").and_then(serde_json::Value::as_str);
        keys.map(str::to_owned).ok_or_else(|| format!("{uri} names no jwks_uri; set jwksUri or jwks"))
    }

    async fn get(&self, uri: &str) -> Result<String, String> {
        let failed = |error: &dyn std::fmt::Display| format!("{uri} cannot be fetched: {error}");
        let parsed: Uri = uri.parse().map_err(|error| failed(&error))?;
        let host = parsed.host().ok_or_else(|| failed(&"it names no host"))?.to_owned();
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        match parsed.scheme_str() {
            Some("http") => {
                let stream =
                    self.connect(&bare, parsed.port_u16().unwrap_or(80)).await.map_err(|e| failed(&e))?;
                ask(stream, &parsed).await
            }
            Some("https") => {
                let name = ServerName::try_from(bare.clone()).map_err(|error| failed(&error))?;
                let stream =
                    self.connect(&bare, parsed.port_u16().unwrap_or(443)).await.map_err(|e| failed(&e))?;
                let stream = self.tls.connect(name, stream).await.map_err(|error| failed(&error))?;
                ask(stream, &parsed).await
            }
            _ => Err("the address has to begin with https:// or http://".to_owned()),
        }
        .map_err(|error| failed(&error))
    }

    async fn connect(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
        let allowed = addresses.iter().filter(|address| (self.may_be_asked)(address.ip()));
        let refused =
            || io::Error::other("its address is of this machine or link, which is not asked for keys");
        let mut failure = refused();
        for address in allowed {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

/// One request, on a connection of its own.
async fn ask(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    uri: &Uri,
) -> Result<String, String> {
    let describe = |error: &dyn std::fmt::Display| error.to_string();
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| describe(&error))?;
    // Ends with the sender.
    tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let request = Request::get(path)
        .header(HOST, host)
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, "adit-controller")
        .header(CONNECTION, HeaderValue::from_static("close"))
        .body(Empty::<Bytes>::new());
    let request = request.map_err(|error| describe(&error))?;
    let response = sender.send_request(request).await.map_err(|error| describe(&error))?;
    if response.status() != StatusCode::OK {
        return Err(format!("it answers {}", response.status()));
    }
    let body = Limited::new(response.into_body(), MOST_KEYS).collect().await;
    let bytes = body.map_err(|error| error.to_string())?.to_bytes();
    String::from_utf8(bytes.to_vec()).map_err(|_| "it answers with no text".to_owned())
}
