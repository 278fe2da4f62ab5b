//! What a service port speaks, by its `appProtocol` or else the beginning of its name.

use mesh_model::AppProtocol;

/// What is declared; anything unknown is left to detection.
pub(super) fn declared(app_protocol: Option<&str>, name: Option<&str>) -> AppProtocol {
    match app_protocol {
        _ if is_grpc_web(app_protocol, name) => AppProtocol::Http11,
        Some(text) => find(text),
        None => find(name.and_then(|name| name.split('-').next()).unwrap_or_default()),
    }
}

/// Whether clients may speak gRPC-web on it, which servers of gRPC do not understand. The one name with a dash in it
/// that means something.
pub(super) fn is_grpc_web(app_protocol: Option<&str>, name: Option<&str>) -> bool {
    const NAME: &str = "grpc-web";
    match app_protocol {
        Some(text) => text.eq_ignore_ascii_case(NAME),
        None => name.and_then(|name| name.get(..NAME.len())).is_some_and(|it| it.eq_ignore_ascii_case(NAME)),
    }
}

fn find(text: &str) -> AppProtocol {
    match text.to_ascii_lowercase().as_str() {
        "http" | "http1" | "kubernetes.io/ws" => AppProtocol::Http11,
        "http2" | "h2c" | "kubernetes.io/h2c" => AppProtocol::Http2,
        "grpc" => AppProtocol::Grpc,
        "https" | "tls" | "kubernetes.io/wss" => AppProtocol::Tls,
        "tcp" | "mongo" | "mysql" | "redis" | "hbone" => AppProtocol::Tcp,
        _ => AppProtocol::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l7_31_ports_declare_what_they_speak() {
        for (app_protocol, name, expected) in [
            (None, Some("http"), AppProtocol::Http11),
            (None, Some("http2-web"), AppProtocol::Http2),
            (None, Some("grpc-orders"), AppProtocol::Grpc),
            (None, Some("grpc-web"), AppProtocol::Http11),
            (None, Some("GRPC-Web-shop"), AppProtocol::Http11),
            (Some("grpc-web"), Some("grpc"), AppProtocol::Http11),
            (Some("grpc"), Some("grpc-web"), AppProtocol::Grpc),
            (None, Some("tcp-raw"), AppProtocol::Tcp),
            (None, Some("https"), AppProtocol::Tls),
            (None, Some("httpx"), AppProtocol::Unknown),
            (None, None, AppProtocol::Unknown),
            (Some("kubernetes.io/h2c"), Some("tcp"), AppProtocol::Http2),
            (Some("TCP"), Some("http"), AppProtocol::Tcp),
            (Some("example.com/own"), Some("http"), AppProtocol::Unknown),
        ] {
            assert_eq!(declared(app_protocol, name), expected, "{app_protocol:?} {name:?}");
        }
    }
}
