//! Whom CUSTOM policies can ask: extension providers of the mesh as waypoints need them.

use std::time::Duration;

use mesh_model::{AuthorizationService, CheckProtocol, CheckedBody, HttpCheck, Pattern};

use super::provider_service;
use crate::cluster::Cluster;
use crate::objects::{ExtensionProvider, HttpAuthorizer};

/// Where nobody says how long it may take (api.md §3.8).
const TIMEOUT: Duration = Duration::from_secs(600);
const FORBIDDEN: u16 = 403;

/// All that can be asked.
pub(super) fn all(cluster: &Cluster) -> Vec<AuthorizationService> {
    let providers = cluster.mesh.extension_providers.iter();
    providers.filter_map(|provider| convert(cluster, provider).ok()).collect()
}

/// Why nobody can be asked by the name of a provider.
pub(crate) fn find_provider_problem(cluster: &Cluster, name: &str) -> Option<String> {
    let Some(provider) = cluster.mesh.find_provider(name) else {
        return Some(provider_service::unknown(cluster, name));
    };
    convert(cluster, provider).err()
}

fn convert(cluster: &Cluster, provider: &ExtensionProvider) -> Result<AuthorizationService, String> {
    let name = &provider.name;
    let Some(authorizer) = provider.authorizer() else {
        return Err(format!(
            "extension provider {name:?} decides about nothing; use one with envoyExtAuthzGrpc or envoyExtAuthzHttp"
        ));
    };
    let (service, port) = provider_service::find(cluster, name, &authorizer.service, authorizer.port)?;
    let status = authorizer.status_on_error.as_ref().and_then(|text| text.parse().ok());
    Ok(AuthorizationService {
        provider: name.as_str().into(),
        service,
        port,
        timeout: authorizer.timeout.map(|it| it.0).filter(|it| !it.is_zero()).unwrap_or(TIMEOUT),
        fail_open: authorizer.fail_open,
        status_on_error: status.unwrap_or(FORBIDDEN),
        body: authorizer.include_request_body_in_check.map(|body| CheckedBody {
            max_bytes: body.max_request_bytes,
            allow_partial: body.allow_partial_message,
            pack_as_bytes: body.pack_as_bytes,
        }),
        protocol: match &provider.envoy_ext_authz_http {
            Some(http) => CheckProtocol::Http(convert_http(http)),
            None => CheckProtocol::Grpc,
        },
    })
}

fn convert_http(http: &HttpAuthorizer) -> HttpCheck {
    let told = http.include_request_headers_in_check.iter().chain(&http.include_headers_in_check);
    let additional = http.include_additional_headers_in_check.iter();
    HttpCheck {
        path_prefix: http.path_prefix.as_str().into(),
        request_headers: told.map(|name| pattern(name)).collect(),
        additional_headers: additional
            .map(|(name, value)| (name.to_ascii_lowercase().into(), value.as_str().into()))
            .collect(),
        upstream_headers: http.headers_to_upstream_on_allow.iter().map(|name| pattern(name)).collect(),
        downstream_headers_on_allow: http
            .headers_to_downstream_on_allow
            .iter()
            .map(|name| pattern(name))
            .collect(),
        downstream_headers_on_deny: http
            .headers_to_downstream_on_deny
            .iter()
            .map(|name| pattern(name))
            .collect(),
    }
}

/// `x`, `x*` or `*x`; `*` alone is the beginning of every name.
fn pattern(text: &str) -> Pattern {
    let text = text.to_ascii_lowercase();
    if let Some(prefix) = text.strip_suffix('*') {
        Pattern::Prefix(prefix.into())
    } else if let Some(suffix) = text.strip_prefix('*') {
        Pattern::Suffix(suffix.into())
    } else {
        Pattern::Exact(text.into())
    }
}
