//! What whoever is asked about a request answers, by gRPC.

use auth::check_response::HttpResponse;
use mesh_proto::envoy::service::auth::v3 as auth;
use mesh_proto::google::rpc::Status;
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
    ]
}

fn answer(code: i32, http_response: HttpResponse) -> Vec<u8> {
    let status = Some(Status { code, ..Status::default() });
    let message = auth::CheckResponse { status, http_response: Some(http_response) }.encode_to_vec();
    [&[0][..], &(message.len() as u32).to_be_bytes(), &message].concat()
}
