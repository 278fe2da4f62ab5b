//! Which version of HTTP a backend is spoken to in.

use mesh_model::{AppProtocol, UpstreamVersion};

use crate::upstream::Version;

/// What is spoken to an endpoint: what the service's policy asks for, else what its port says, else what
/// the client speaks. gRPC needs HTTP/2 and WebSockets need HTTP/1, whatever anybody says.
pub(crate) fn version_for(
    (asked, declared): (UpstreamVersion, AppProtocol),
    client: http::Version,
    grpc: bool,
    websocket: bool,
) -> Version {
    match declared {
        _ if websocket => Version::Http1,
        _ if grpc => Version::Http2,
        _ if asked == UpstreamVersion::Http1 => Version::Http1,
        _ if asked == UpstreamVersion::Http2 => Version::Http2,
        _ if asked == UpstreamVersion::OfClient => match client {
            http::Version::HTTP_2 => Version::Http2,
            _ => Version::Http1,
        },
        AppProtocol::Http2 | AppProtocol::Grpc => Version::Http2,
        AppProtocol::Unknown if client == http::Version::HTTP_2 => Version::Http2,
        _ => Version::Http1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l7_23_what_is_spoken_to_a_backend() {
        use AppProtocol::{Grpc, Http2, Http11, Tcp, Unknown};
        let (h1, h2) = (http::Version::HTTP_11, http::Version::HTTP_2);
        for (declared, client, grpc, expected) in [
            (Http11, h1, false, Version::Http1),
            (Http11, h2, false, Version::Http1),
            (Http11, h2, true, Version::Http2),
            (Http2, h1, false, Version::Http2),
            (Grpc, h2, true, Version::Http2),
            (Unknown, h1, false, Version::Http1),
            (Unknown, h2, false, Version::Http2),
            (Tcp, h2, false, Version::Http1),
        ] {
            assert_eq!(
                version_for((UpstreamVersion::AsDeclared, declared), client, grpc, false),
                expected,
                "{declared:?} {client:?} {grpc}"
            );
        }
        assert_eq!(version_for((UpstreamVersion::AsDeclared, Http2), h1, false, true), Version::Http1);
    }

    #[test]
    fn l7_20_l7_23_a_policy_counts_more_than_the_port() {
        use UpstreamVersion::{Http1, Http2, OfClient};
        let (h1, h2) = (http::Version::HTTP_11, http::Version::HTTP_2);
        for (asked, client, grpc, websocket, expected) in [
            (Http2, h1, false, false, Version::Http2),
            (Http1, h2, false, false, Version::Http1),
            (OfClient, h1, false, false, Version::Http1),
            (OfClient, h2, false, false, Version::Http2),
            (Http1, h2, true, false, Version::Http2),
            (Http2, h1, false, true, Version::Http1),
        ] {
            for declared in [AppProtocol::Http11, AppProtocol::Http2, AppProtocol::Unknown] {
                let version = version_for((asked, declared), client, grpc, websocket);
                assert_eq!(version, expected, "{asked:?} {declared:?} {client:?}");
            }
        }
    }
}
