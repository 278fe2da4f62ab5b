//! Who the client is, told to backends where the Gateway wants it (ID-22). What the client says of itself is gone by then.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::security::Guards;
use crate::tunnel::Tunnel;

const CLIENT_CERTIFICATE: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// Names this waypoint and the client behind the tunnel, both by what their certificates say.
pub(super) fn forward(tunnel: &Tunnel, guards: &Guards, headers: &mut HeaderMap) {
    if !guards.forward_client_identity() {
        return;
    }
    let (own, client) = (&tunnel.worker.me.identity, &tunnel.identity);
    // An identity that does not fit into a header is not one that the authority of a mesh signs.
    if let Ok(value) = HeaderValue::from_str(&format!("By={own};URI={client}")) {
        headers.insert(CLIENT_CERTIFICATE, value);
    }
}
