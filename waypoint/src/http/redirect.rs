//! Telling the client to ask elsewhere.

use http::HeaderValue;
use http::header::LOCATION;
use http::request::Parts;
use http::{StatusCode, Uri};
use mesh_model::{PortDerivation, Redirect};

use super::path::PathEdit;
use super::reply::Reply;
use crate::routes::{PathMatched, SCHEME, authority_of};

/// A redirect, with its change of path compiled.
#[derive(Debug)]
pub(crate) struct Redirection {
    asked: Redirect,
    status: StatusCode,
    path: Option<PathEdit>,
}

impl Redirection {
    pub(crate) fn compile(redirect: &Redirect) -> Result<Redirection, String> {
        let status = StatusCode::from_u16(redirect.status).ok().filter(StatusCode::is_redirection);
        Ok(Redirection {
            status: status.ok_or_else(|| format!("{} is not a status of a redirect", redirect.status))?,
            path: redirect.path.as_ref().map(PathEdit::compile).transpose()?,
            asked: redirect.clone(),
        })
    }

    /// The answer to a request that reached `service_port`.
    pub(crate) fn answer(&self, head: &Parts, matched: PathMatched, service_port: u16) -> Reply {
        match self.location(head, matched, service_port) {
            Some(location) => Reply::new(self.status, "direct_response").with_header(LOCATION, location),
            None => Reply::new(StatusCode::INTERNAL_SERVER_ERROR, "redirect_location_invalid"),
        }
    }

    fn location(&self, head: &Parts, matched: PathMatched, service_port: u16) -> Option<HeaderValue> {
        let (request_host, request_port) = split_port(authority_of(head));
        let scheme = self.asked.scheme.as_deref().unwrap_or(SCHEME);
        let (host, host_port) = match self.asked.host.as_deref() {
            Some(host) => split_port(host),
            None => (request_host, None),
        };
        let of_request = request_port.unwrap_or(service_port);
        let derived = match (self.asked.port_derivation, &self.asked.scheme) {
            (PortDerivation::FromProtocolDefault, _) | (PortDerivation::FromListener, Some(_)) => None,
            (PortDerivation::FromListener, None) => Some(service_port),
            (PortDerivation::FromRequestPort, _) => Some(of_request),
        };
        let port = self.asked.port.or(host_port).or(derived).filter(|port| Some(*port) != well_known(scheme));
        let old = head.uri.path_and_query()?;
        let path = match &self.path {
            Some(edit) => edit.apply(old, matched)?,
            None => old.clone(),
        };
        let colon_port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let location = format!("{scheme}://{host}{colon_port}{path}");
        // Whatever the request brought along has to make a URI, not a header of its own.
        location.parse::<Uri>().ok()?;
        location.try_into().ok()
    }
}

fn well_known(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// Host, in brackets if it is an IPv6 address, and port of an authority.
fn split_port(authority: &str) -> (&str, Option<u16>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (authority, None),
        },
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use mesh_model::PathChange;

    use super::*;

    const KEEP: Redirect = Redirect {
        status: 301,
        scheme: None,
        host: None,
        port: None,
        port_derivation: PortDerivation::FromListener,
        path: None,
    };

    fn located(redirect: &Redirect, host: &str, uri: &str, matched: PathMatched, port: u16) -> String {
        let head = http::Request::builder().uri(uri).header("host", host).body(()).unwrap().into_parts().0;
        let location = Redirection::compile(redirect).unwrap().location(&head, matched, port).unwrap();
        location.to_str().unwrap().to_owned()
    }

    #[test]
    fn gw_13_to_19_host_scheme_port_and_path() {
        let (https, org) = (Some("https".into()), Some("example.org".into()));
        let prefix = |to: &str| Some(PathChange::Prefix(to.into()));
        for (redirect, port, expected) in [
            (Redirect { host: org.clone(), ..KEEP }, 80, "http://example.org/a/b?q=1"),
            (Redirect { host: org.clone(), ..KEEP }, 8080, "http://example.org:8080/a/b?q=1"),
            (Redirect { scheme: https.clone(), ..KEEP }, 8080, "https://shop/a/b?q=1"),
            (Redirect { port: Some(8083), ..KEEP }, 80, "http://shop:8083/a/b?q=1"),
            (Redirect { scheme: https.clone(), port: Some(443), ..KEEP }, 80, "https://shop/a/b?q=1"),
            (
                Redirect { scheme: https, port: Some(80), host: org, ..KEEP },
                80,
                "https://example.org:80/a/b?q=1",
            ),
            (Redirect { path: prefix("/x"), ..KEEP }, 80, "http://shop/x/b?q=1"),
            (Redirect { path: prefix("/"), ..KEEP }, 80, "http://shop/b?q=1"),
            (Redirect { path: Some(PathChange::Full("/f".into())), ..KEEP }, 80, "http://shop/f?q=1"),
        ] {
            let location = located(&redirect, "shop", "/a/b?q=1", PathMatched::Segments(2), port);
            assert_eq!(location, expected, "{redirect:?}");
        }
    }

    #[test]
    fn l7_07_where_the_port_comes_from() {
        use PortDerivation::{FromProtocolDefault, FromRequestPort};
        for (derivation, scheme, host, port, expected) in [
            (FromRequestPort, Some("https"), "host", 80, "https://host:80/foo"),
            (FromProtocolDefault, Some("https"), "host:80", 80, "https://host/foo"),
            (FromProtocolDefault, None, "host:85", 85, "http://host/foo"),
            (FromRequestPort, None, "b", 80, "http://b/foo"),
            (FromRequestPort, None, "b:85", 85, "http://b:85/foo"),
            (FromRequestPort, None, "b", 85, "http://b:85/foo"),
            (FromRequestPort, None, "[::1]:85", 85, "http://[::1]:85/foo"),
            (FromRequestPort, None, "[::1]", 80, "http://[::1]/foo"),
        ] {
            let redirect = Redirect { scheme: scheme.map(Into::into), port_derivation: derivation, ..KEEP };
            assert_eq!(
                located(&redirect, host, "/foo", PathMatched::Whole, port),
                expected,
                "{redirect:?} {host}"
            );
        }
    }

    #[test]
    fn l7_06_keeps_the_query() {
        let redirect = Redirect { path: Some(PathChange::Full("/new/path".into())), ..KEEP };
        let location = located(&redirect, "b", "/foo?key=value", PathMatched::Whole, 80);
        assert_eq!(location, "http://b/new/path?key=value");
    }

    #[test]
    fn only_the_statuses_of_redirects() {
        for status in [301, 302, 303, 307, 308] {
            let redirection = Redirection::compile(&Redirect { status, ..KEEP }).unwrap();
            assert_eq!(redirection.status.as_u16(), status);
        }
        assert!(Redirection::compile(&Redirect { status: 200, ..KEEP }).is_err());
        assert!(Redirection::compile(&Redirect { status: 30, ..KEEP }).is_err());
    }
}
