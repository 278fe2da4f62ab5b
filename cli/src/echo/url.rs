//! The URLs an echo calls: `http://`, `grpc://` (over h2c) and `tcp://`.

use http::Uri;
use thiserror::Error;

/// What to speak with the far end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http,
    Grpc,
    Tcp,
}

/// A URL that can be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) protocol: Protocol,
    /// Without the brackets of an IPv6 address.
    pub(super) host: String,
    pub(super) port: u16,
    /// `host[:port]` as written.
    pub(super) authority: String,
    /// Path and query; at least `/`.
    pub(super) path: String,
}

/// A text that is not such a URL.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{url:?} cannot be called: {reason}; write for instance http://reviews:9080/ or tcp://reviews:9000")]
pub(super) struct InvalidUrl {
    url: String,
    reason: String,
}

impl std::str::FromStr for Url {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let invalid = |reason: &str| InvalidUrl { url: text.to_owned(), reason: reason.to_owned() };
        let uri: Uri = text.parse().map_err(|error: http::uri::InvalidUri| invalid(&error.to_string()))?;
        let (protocol, default_port) = match uri.scheme_str() {
            Some("http") => (Protocol::Http, Some(80)),
            Some("grpc") => (Protocol::Grpc, Some(80)),
            Some("tcp") => (Protocol::Tcp, None),
            Some(_) => return Err(invalid("the scheme is none of http, grpc, tcp")),
            None => return Err(invalid("it has no scheme")),
        };
        let authority = uri.authority().ok_or_else(|| invalid("it has no host"))?;
        let port = uri.port_u16().or(default_port).ok_or_else(|| invalid("tcp needs a port"))?;
        Ok(Url {
            protocol,
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port,
            authority: authority.as_str().to_owned(),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let url: Url = "http://[::1]:9080/a?b=c".parse().unwrap();
        assert_eq!((url.protocol, url.host.as_str(), url.port), (Protocol::Http, "::1", 9080));
        assert_eq!((url.authority.as_str(), url.path.as_str()), ("[::1]:9080", "/a?b=c"));
        let url: Url = "grpc://reviews".parse().unwrap();
        assert_eq!((url.protocol, url.port, url.path.as_str()), (Protocol::Grpc, 80, "/"));
    }

    #[test]
    fn what_cannot_be_called_is_refused_with_the_reason() {
        for (bad, reason) in [
            ("reviews:9080", "no scheme"),
            ("https://reviews", "none of http"),
            ("tcp://reviews", "needs a port"),
            ("http://a b", "invalid"),
        ] {
            let error = bad.parse::<Url>().unwrap_err().to_string();
            assert!(error.contains(reason), "{bad}: {error}");
        }
    }
}
