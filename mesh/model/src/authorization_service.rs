//! Somebody outside who decides about requests that CUSTOM policies match: the extension providers of the mesh
//! (api.md §3.8) as waypoints need them.

use std::sync::Arc;
use std::time::Duration;

use crate::{NamespacedHostname, Pattern};

/// A service that is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct AuthorizationService {
    /// What policies call it.
    pub provider: Arc<str>,
    /// The service.
    pub service: NamespacedHostname,
    /// Its port.
    pub port: u16,
    /// How long it may take.
    pub timeout: Duration,
    /// What it could not be asked about passes.
    pub fail_open: bool,
    /// For the client, where it could not be asked.
    pub status_on_error: u16,
    /// What it is told of the body, if anything.
    pub body: Option<CheckedBody>,
    /// How it is asked.
    pub protocol: CheckProtocol,
}

/// What is told of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckedBody {
    /// At most so many bytes.
    pub max_bytes: u32,
    /// Of a larger body the beginning is told; otherwise such a request is refused with 413.
    pub allow_partial: bool,
    /// As bytes, not as text.
    pub pack_as_bytes: bool,
}

/// How it is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum CheckProtocol {
    /// By `envoy.service.auth.v3.Authorization`.
    Grpc,
    /// By a request like the client's.
    Http(HttpCheck),
}

/// A request with the same method and host, and the path with something in front of it; 200 lets the client's pass.
/// Patterns are of header names: exact, prefix or suffix, in lower case.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpCheck {
    /// What is put in front of the path.
    pub path_prefix: Arc<str>,
    /// Which headers it is told, beside `authorization`.
    pub request_headers: Vec<Pattern>,
    /// What else it is told.
    pub additional_headers: Vec<(Arc<str>, Arc<str>)>,
    /// Which headers of its answer the backend is told in place of the client's.
    pub upstream_headers: Vec<Pattern>,
    /// Which headers of its answer the client is told beside the backend's.
    pub downstream_headers_on_allow: Vec<Pattern>,
    /// Which headers of a denial the client is told; empty: all.
    pub downstream_headers_on_deny: Vec<Pattern>,
}
