//! Whether a request may pass that everybody asked has consented to: its tokens first, then the policies. Nothing is
//! routed before.

use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::request::Parts;
use mesh_authz::{Call, Consent, Permit, Request, Token, authorize_call, notes};

use super::reply::Reply;
use crate::routes::authority_of;
use crate::security::{Guards, connection_of};
use crate::tokens::{self, JwtError};
use crate::tunnel::Tunnel;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What is answered as long as nobody has told what holds for this waypoint.
pub(super) fn not_configured() -> Reply {
    let reply = Reply::new(StatusCode::SERVICE_UNAVAILABLE, "waypoint_not_configured");
    reply.with_body("no policy has reached this waypoint yet")
}

/// Judges a request, and makes of its tokens what backends are told of them.
pub(super) fn authorize(
    tunnel: &Tunnel,
    guards: &Guards,
    head: &mut Parts,
    consent: Consent,
) -> Result<Permit, Reply> {
    let token = if guards.tokens().next().is_some() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        tokens::check(guards.tokens(), head, now).map_err(|error| unauthenticated(error, head))?
    } else {
        None
    };
    let call = call_of(tunnel, head, token.as_ref());
    for note in notes(guards.policies(), &call) {
        let policy = note.policy.map(ToString::to_string).unwrap_or_default();
        let (source, method, path) = (call.connection.source, head.method.as_str(), head.uri.path());
        tracing::info!(target: "rbac", %policy, %source, method, path, "{}", note.kind);
    }
    authorize_call(guards.policies(), &call, consent).map_err(|denial| {
        tracing::debug!(target: "rbac", source = %call.connection.source, %denial, "a request was denied");
        Reply::new(StatusCode::FORBIDDEN, denial.details()).with_body("RBAC: access denied")
    })
}

/// A request as policies see it.
pub(super) fn call_of<'a>(tunnel: &'a Tunnel, head: &'a Parts, token: Option<&'a Token>) -> Call<'a> {
    let connection = connection_of(tunnel);
    Call {
        connection,
        remote: remote(&head.headers, connection.source),
        sni: None,
        request: Some(Request {
            method: head.method.as_str(),
            host: authority_of(head),
            path: head.uri.path(),
            headers: &head.headers,
            token,
        }),
    }
}

/// The client's address as the last proxy before the mesh has written it; none if that is no address.
fn remote(headers: &HeaderMap, source: IpAddr) -> Option<IpAddr> {
    let Some(last) = headers.get_all(FORWARDED_FOR).iter().next_back() else { return Some(source) };
    let entry = last.to_str().ok()?.rsplit(',').next()?.trim();
    let ip = entry.trim_start_matches('[').trim_end_matches(']').parse().ok();
    ip.or_else(|| entry.parse::<std::net::SocketAddr>().ok().map(|it| it.ip())).map(|ip| ip.to_canonical())
}

/// What a client with a bad token is told (AZ-15).
fn unauthenticated(error: JwtError, head: &Parts) -> Reply {
    let status = match error {
        JwtError::AudienceNotAllowed => StatusCode::FORBIDDEN,
        _ => StatusCode::UNAUTHORIZED,
    };
    let message = error.to_string();
    let details = format!("jwt_authn_access_denied{{{}}}", message.replace(' ', "_"));
    let reply = Reply::new(status, details).with_body(message);
    let realm = format!("http://{}{}", authority_of(head), head.uri.path().replace('"', "%22"));
    match HeaderValue::from_str(&format!("Bearer realm=\"{realm}\", error=\"invalid_token\"")) {
        Ok(challenge) => reply.with_header(WWW_AUTHENTICATE, challenge),
        Err(_) => reply,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn az_the_remote_address_is_what_the_last_proxy_says() {
        let source: IpAddr = "10.0.0.9".parse().unwrap();
        for (lines, expected) in [
            (&[][..], Some("10.0.0.9")),
            (&["1.2.3.4"], Some("1.2.3.4")),
            (&["9.9.9.9, 1.2.3.4"], Some("1.2.3.4")),
            (&["9.9.9.9", "8.8.8.8,1.2.3.4"], Some("1.2.3.4")),
            (&["1.2.3.4:5678"], Some("1.2.3.4")),
            (&["[2001:db8::1]:80"], Some("2001:db8::1")),
            (&["2001:db8::1"], Some("2001:db8::1")),
            (&["1.2.3.4, nobody"], None),
            (&[""], None),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("x-forwarded-for", HeaderValue::from_static(line));
            }
            let expected = expected.map(|ip| ip.parse::<IpAddr>().unwrap());
            assert_eq!(remote(&headers, source), expected, "{lines:?}");
        }
    }
}
