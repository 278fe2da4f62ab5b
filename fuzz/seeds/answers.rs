//! What whoever is asked about a request answers, by gRPC.

use auth::check_response::HttpResponse;
use mesh_proto::envoy::config::core::v3::HeaderValue;
use mesh_proto::envoy::service::auth::v3 as auth;
use mesh_proto::envoy::service::ratelimit::v3 as limits;
use mesh_proto::google::rpc::Status;
use mesh_proto::grpc::health::v1::HealthCheckResponse;
use mesh_proto::grpc::health::v1::health_check_response::ServingStatus;
use prost::Message;

use crate::Seed;

pub(crate) fn seeds() -> Vec<Seed> {
    let header = |key: &str| auth::HeaderValueOption {
        header: Some(auth::HeaderValue { key: key.to_owned(), value: "v".to_owned(), ..Default::default() }),
        append: Some(true),
        ..auth::HeaderValueOption::default()
    };
    let consent = auth::OkHttpResponse {
        headers: vec![header("x-user"), header("host")],
        headers_to_remove: vec!["content-length".to_owned()],
        response_headers_to_add: vec![header("x-told")],
    };
    let denial = auth::DeniedHttpResponse {
        status: Some(auth::HttpStatus { code: 401 }),
        headers: vec![header("www-authenticate")],
        body: "no".to_owned(),
    };
    vec![
        ("consent_answer", "consent", answer(0, HttpResponse::OkResponse(consent))),
        ("consent_answer", "denial", answer(7, HttpResponse::DeniedResponse(denial))),
        ("rate_limit_answer", "over", counted()),
        ("health_answer", "serving", framed(&health(ServingStatus::Serving))),
        ("health_answer", "not_serving", framed(&health(ServingStatus::NotServing))),
    ]
}

fn health(status: ServingStatus) -> Vec<u8> {
    HealthCheckResponse { status: status.into() }.encode_to_vec()
}

fn counted() -> Vec<u8> {
    use limits::rate_limit_response::{Code, DescriptorStatus, RateLimit};
    let limit = RateLimit { requests_per_unit: 10, unit: 2, name: "n".to_owned() };
    let status = |code: Code| DescriptorStatus {
        code: code.into(),
        current_limit: Some(limit.clone()),
        limit_remaining: 3,
        duration_until_reset: None,
    };
    let header = |key: &str| HeaderValue { key: key.to_owned(), value: "v".to_owned(), raw_value: vec![] };
    let answer = limits::RateLimitResponse {
        overall_code: Code::OverLimit.into(),
        statuses: vec![status(Code::Ok), status(Code::OverLimit)],
        response_headers_to_add: vec![header("x-told")],
        request_headers_to_add: vec![header("host")],
        raw_body: b"no".to_vec(),
    };
    framed(&answer.encode_to_vec())
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&[0][..], &(message.len() as u32).to_be_bytes(), message].concat()
}

fn answer(code: i32, http_response: HttpResponse) -> Vec<u8> {
    let status = Some(Status { code, ..Status::default() });
    let message = auth::CheckResponse { status, http_response: Some(http_response) }.encode_to_vec();
    framed(&message)
}
