//! Log levels of a running process; alone in its own process, for logging is global.
#![allow(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use mesh_runtime::admin::{Router, logging_handler};
use mesh_runtime::logging::{self, Format, InitError};
use tracing::{Level, enabled};

async fn posted(router: &Router, uri: &str) -> (StatusCode, String) {
    let request = http::Request::builder().method(Method::POST).uri(uri).body(Bytes::new()).unwrap();
    let response = router.respond(&request).await;
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn ad_03_levels_change_while_running() {
    let levels = logging::init(Format::Plain, "warn,access=info").unwrap();
    assert!(matches!(logging::init(Format::Json, "info"), Err(InitError::Twice)));
    let router = Router::new().route(Method::POST, "/logging", logging_handler(levels.clone()));
    let said = |levels: &str| (StatusCode::OK, format!("current log level is {levels}\n"));

    assert_eq!(posted(&router, "/logging").await, said("warn,access=info"));
    assert!(!enabled!(target: "mesh_xds::client", Level::DEBUG));
    assert!(enabled!(target: "access", Level::INFO));

    assert_eq!(posted(&router, "/logging?level=xds:debug").await, said("warn,access=info,xds=debug"));
    assert!(enabled!(target: "mesh_xds::client", Level::DEBUG));
    assert!(!enabled!(target: "mesh_hbone::pool", Level::DEBUG));

    assert_eq!(posted(&router, "/logging?level=trace").await, said("trace"));
    assert!(enabled!(target: "mesh_hbone::pool", Level::TRACE));

    let (status, body) = posted(&router, "/logging?level=access%3Dloud").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body.starts_with("\"access=loud\" is not a log level") && body.contains("usage:"), "{body}");
    assert_eq!(posted(&router, "/logging?speed=1").await.0, StatusCode::BAD_REQUEST);

    assert_eq!(posted(&router, "/logging?reset").await, said("warn,access=info"));
    assert!(!enabled!(target: "mesh_hbone::pool", Level::DEBUG));
    assert_eq!(levels.current(), "warn,access=info");
}
