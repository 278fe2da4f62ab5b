//! Both forms of a line.

use http::Request;

use super::*;
use crate::RequestFlags;

fn details() -> RequestDetails {
    let request = Request::builder()
        .uri("/reviews?id=1")
        .header("host", "web")
        .header("user-agent", "a\"b")
        .header("x-request-id", "id-1")
        .body(())
        .unwrap();
    RequestDetails {
        start: SystemTime::UNIX_EPOCH + Duration::from_millis(1_460_751_420_310),
        response_code_details: Some("via_upstream".into()),
        upstream_service_time: Some(Duration::from_millis(3)),
        upstream_host: Some("10.0.0.2:8080".parse().unwrap()),
        upstream_cluster: Some("inbound-vip|80|http|web.prod.svc.cluster.local".to_owned()),
        downstream_remote_address: Some("10.0.0.1:5000".parse().unwrap()),
        route_name: Some("HTTPRoute/prod/web/0".into()),
        ..RequestDetails::of(&request.into_parts().0)
    }
}

const END: RequestEnd =
    RequestEnd { code: 200, grpc_status: None, flags: RequestFlags::NONE, received: 11, sent: 22 };

#[test]
fn a_line_has_envoys_fields_in_order_and_no_client_breaks_its_quotes() {
    assert_eq!(
        details().text(&END, Duration::from_millis(4)).to_string(),
        "[2016-04-15T20:17:00.310Z] \"GET /reviews?id=1 HTTP/1.1\" 200 - via_upstream - \"-\" 11 22 4 3 \"-\" \
         \"a\\\"b\" \"id-1\" \"web\" \"10.0.0.2:8080\" inbound-vip|80|http|web.prod.svc.cluster.local - - \
         10.0.0.1:5000 - HTTPRoute/prod/web/0"
    );
}

#[test]
fn json_has_envoys_keys() {
    let json = details().json(&END, Duration::from_millis(4));
    let object = json.as_object().unwrap();
    assert_eq!(object.len(), 24);
    assert_eq!(json["start_time"], "2016-04-15T20:17:00.310Z");
    assert_eq!(json["user_agent"], "a\"b");
    assert_eq!(json["response_code"], 200);
    assert_eq!(json["duration"], 4);
    assert_eq!(json["upstream_host"], "10.0.0.2:8080");
    assert_eq!(json["x_forwarded_for"], serde_json::Value::Null);
}

#[test]
fn the_path_is_the_one_the_client_asked_for() {
    let request = Request::builder()
        .uri("http://web/asked")
        .version(Version::HTTP_2)
        .header("x-envoy-original-path", "/forged")
        .body(())
        .unwrap();
    let details = RequestDetails::of(&request.into_parts().0);
    assert_eq!((details.path.as_str(), details.protocol), ("/asked", "HTTP/2"));
    assert_eq!(details.authority.as_deref(), Some("web"));
}
