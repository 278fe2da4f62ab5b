//! The way to the control plane: a gRPC channel with the root it is verified
//! by and the token it is asked with. Both files may change at any time.

mod connector;

use std::error::Error;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Uri;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use connector::Connector;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// No root bundle and no token is larger.
const LARGEST_FILE: u64 = 4 << 20;
/// Where distributions keep the roots the system trusts.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// Why there is no channel to the control plane.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlPlaneError {
    /// A setting is wrong; only the user can change that.
    #[error("{0}")]
    Setting(String),
    /// The root certificate is not there or not usable; it may become so.
    #[error("cannot use the root certificate of {address} from {origin}: {reason}")]
    Root {
        /// The control plane.
        address: String,
        /// Where the root comes from.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Where the root certificate that verifies the control plane comes from (`CA_ROOT_CA`, `XDS_ROOT_CA`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootSource {
    /// A PEM file, read again when it changes.
    Path(PathBuf),
    /// What the operating system trusts.
    System,
    /// PEM text.
    Inline(String),
}

impl From<&str> for RootSource {
    fn from(text: &str) -> Self {
        match text {
            "SYSTEM" => RootSource::System,
            pem if pem.contains("-----BEGIN") => RootSource::Inline(pem.to_owned()),
            path => RootSource::Path(path.into()),
        }
    }
}

impl RootSource {
    fn origin(&self) -> String {
        match self {
            RootSource::Path(path) => path.display().to_string(),
            RootSource::System => "the system".to_owned(),
            RootSource::Inline(_) => "the configuration".to_owned(),
        }
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        match self {
            RootSource::Path(path) => read_bounded(path),
            RootSource::Inline(pem) => Ok(pem.clone().into_bytes()),
            RootSource::System => {
                SYSTEM_ROOTS.iter().find_map(|path| read_bounded(Path::new(path)).ok()).ok_or(io::Error::new(
                    io::ErrorKind::NotFound,
                    "no bundle of trusted roots; install ca-certificates",
                ))
            }
        }
    }
}

/// Where the token comes from (`AUTH_TOKEN`).
#[derive(Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// A file, read again for every call, because the kubelet replaces it.
    Path(PathBuf),
    /// The token itself.
    Literal(String),
    /// Calls carry no token.
    None,
}

impl From<&str> for TokenSource {
    fn from(text: &str) -> Self {
        match text {
            "" => TokenSource::None,
            // A token is base64url with dots: it never holds a slash.
            path if path.contains('/') => TokenSource::Path(path.into()),
            token => TokenSource::Literal(token.to_owned()),
        }
    }
}

impl std::fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TokenSource::Path(path) => f.debug_tuple("Path").field(path).finish(),
            TokenSource::Literal(_) => f.write_str("Literal(…)"),
            TokenSource::None => f.write_str("None"),
        }
    }
}

/// How to reach and convince the control plane.
#[derive(Clone, Debug)]
pub struct ControlPlaneSettings {
    /// `https://host:port`, or `http://…` for plain text; without a scheme, https.
    pub address: String,
    /// The root it is verified by; unused with http.
    pub root: RootSource,
    /// The token calls carry.
    pub token: TokenSource,
    /// The cluster calls say they come from.
    pub cluster_id: String,
    /// The name its certificate must be valid for, if not the address's host (`ALT_CA_HOSTNAME`).
    pub verified_name: Option<String>,
    /// More metadata for every call (`CA_HEADER_*`, `XDS_HEADER_*`).
    pub headers: Vec<(String, String)>,
}

/// A channel whose calls carry the credentials.
pub type AuthorizedChannel = InterceptedService<Channel, Credentials>;

/// The control plane at one address.
#[derive(Clone)]
pub struct ControlPlane {
    shared: Arc<Shared>,
}

struct Shared {
    address: Uri,
    root: RootSource,
    verified_name: Option<String>,
    credentials: Credentials,
    built: Mutex<Option<Built>>,
}

/// A channel and the root it was built with.
struct Built {
    root: Vec<u8>,
    channel: Channel,
}

impl ControlPlane {
    /// Checks the settings; connects only when a channel is used.
    pub fn new(settings: ControlPlaneSettings) -> Result<Self, ControlPlaneError> {
        let address = parse_address(&settings.address)?;
        let credentials = Credentials::new(&settings)?;
        let (root, verified_name) = (settings.root, settings.verified_name);
        let shared = Shared { address, root, verified_name, credentials, built: Mutex::new(None) };
        Ok(ControlPlane { shared: Arc::new(shared) })
    }

    /// The channel, which connects by itself; a new one when the root has changed (ID-11).
    pub fn channel(&self) -> Result<AuthorizedChannel, ControlPlaneError> {
        let shared = &*self.shared;
        let mut built = shared.built.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = match (built.as_ref(), &shared.root) {
            (Some(current), RootSource::System | RootSource::Inline(_)) => current.channel.clone(),
            (current, _) => match (shared.rebuild(current), current) {
                (Ok(Some(fresh)), _) => built.insert(fresh).channel.clone(),
                (Ok(None), Some(current)) => current.channel.clone(),
                (Err(error), Some(current)) => {
                    tracing::warn!("{error}; still using the one from before");
                    current.channel.clone()
                }
                (Err(error), None) => return Err(error),
                (Ok(None), None) => return Err(shared.unusable("it is empty")),
            },
        };
        Ok(InterceptedService::new(channel, shared.credentials.clone()))
    }
}

impl Shared {
    fn is_plain(&self) -> bool {
        self.address.scheme_str() == Some("http")
    }

    /// A new channel, or `None` if the root is still the one of `current`.
    fn rebuild(&self, current: Option<&Built>) -> Result<Option<Built>, ControlPlaneError> {
        let root = if self.is_plain() {
            Vec::new()
        } else {
            self.root.read().map_err(|error| self.unusable(error))?
        };
        if current.is_some_and(|current| current.root == root) {
            return Ok(None);
        }
        let connector = if self.is_plain() {
            Connector::plain(&self.address)
        } else {
            Connector::tls(&self.address, &root, self.verified_name.as_deref())
        }
        .map_err(|reason| self.unusable(reason))?;
        // The connector does the TLS; tonic must not look for its own because of the scheme.
        let plain = format!("http://{}", connector.authority());
        let endpoint = Endpoint::from_shared(plain)
            .map_err(|error| ControlPlaneError::Setting(format!("{}: {error}", self.address)))?
            .origin(self.address.clone())
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        Ok(Some(Built { root, channel: endpoint.connect_with_connector_lazy(connector) }))
    }

    fn unusable(&self, reason: impl std::fmt::Display) -> ControlPlaneError {
        ControlPlaneError::Root {
            address: self.address.to_string(),
            origin: self.root.origin(),
            reason: reason.to_string(),
        }
    }
}

fn parse_address(text: &str) -> Result<Uri, ControlPlaneError> {
    let complete = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    match complete.parse::<Uri>() {
        Ok(uri) if matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() => Ok(uri),
        _ => Err(ControlPlaneError::Setting(format!(
            "{text:?} is not the address of a control plane; expected https://host:port or http://host:port"
        ))),
    }
}

/// Adds the token and the cluster to every call.
#[derive(Clone, Debug)]
pub struct Credentials {
    token: TokenSource,
    headers: Arc<[(AsciiMetadataKey, AsciiMetadataValue)]>,
}

impl Credentials {
    fn new(settings: &ControlPlaneSettings) -> Result<Self, ControlPlaneError> {
        let cluster = ("clusterid".to_owned(), settings.cluster_id.clone());
        let headers = std::iter::once(&cluster).chain(&settings.headers).map(|(key, value)| {
            let invalid = || {
                ControlPlaneError::Setting(format!("{key:?}: {value:?} cannot be sent as metadata of a call"))
            };
            Ok((key.to_lowercase().parse().map_err(|_| invalid())?, value.parse().map_err(|_| invalid())?))
        });
        Ok(Credentials { token: settings.token.clone(), headers: headers.collect::<Result<_, _>>()? })
    }
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        for (key, value) in self.headers.iter() {
            request.metadata_mut().insert(key.clone(), value.clone());
        }
        let token = match &self.token {
            TokenSource::None => return Ok(request),
            TokenSource::Literal(token) => token.clone(),
            TokenSource::Path(path) => read_bounded(path)
                .and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other))
                .map_err(|error| {
                    Status::unauthenticated(format!("cannot read the token {}: {error}", path.display()))
                })?,
        };
        let bearer = format!("Bearer {}", token.trim());
        let value = AsciiMetadataValue::try_from(bearer)
            .map_err(|_| Status::unauthenticated("the token holds characters no header may hold"))?;
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}

/// What went wrong with a call. A status shows only the outermost of its causes,
/// "transport error"; what helps, such as a certificate's fault, lies below.
pub fn explain(status: &Status) -> String {
    let mut text =
        if status.message().is_empty() { status.code().to_string() } else { status.message().to_owned() };
    let mut cause = status.source();
    while let Some(error) = cause {
        let reason = error.to_string();
        if !text.ends_with(&reason) {
            text = format!("{text}: {reason}");
        }
        cause = error.source();
    }
    text
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(LARGEST_FILE + 1).read_to_end(&mut content)?;
    if content.len() as u64 > LARGEST_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 4 MiB"));
    }
    Ok(content)
}

#[cfg(test)]
mod tests;
