//! Asking by `envoy.service.auth.v3.Authorization/Check`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::SystemTime;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use http::request::Parts;
use mesh_proto::envoy::service::auth::v3 as proto;
use prost::Message;
use proto::attribute_context::{HttpRequest, Peer, Request as AskedRequest, TlsSession};
use proto::check_response::HttpResponse;
use proto::header_value_option::HeaderAppendAction;

use super::{Authorizer, Changes, Denied, NoOpinion, Opinion, Subject};
use crate::http::{Beginning, Edits, How, find_terms};
use crate::own_call::message_of;
use crate::own_request;
use crate::routes::authority_of;
use crate::upstream::Version;

const METHOD: &str = "/envoy.service.auth.v3.Authorization/Check";

/// Asks about a request, or about a connection that carries none.
pub(super) async fn ask(authorizer: &Authorizer, subject: &Subject<'_>) -> Result<Opinion, NoOpinion> {
    let chosen = authorizer.fetch_endpoint(subject.tunnel).await?;
    let terms = find_terms(subject.tunnel, &authorizer.destination);
    let pack_as_bytes = authorizer.service.body.is_some_and(|body| body.pack_as_bytes);
    let question = question(subject, pack_as_bytes);
    let request = own_request::grpc(&authorizer.service.service.hostname, METHOD, &question)
        .ok_or_else(|| NoOpinion::Unreachable("its name is no authority".to_owned()))?;
    let answer =
        authorizer.exchange(subject.tunnel, (&chosen, terms.as_ref()), Version::Http2, request).await?;
    let (head, body, trailers) = answer;
    read(head.status, &head.headers, trailers.as_ref(), body)
}

/// The opinion in an answer.
pub(crate) fn read(
    status: StatusCode,
    headers: &HeaderMap,
    trailers: Option<&HeaderMap>,
    body: Bytes,
) -> Result<Opinion, NoOpinion> {
    let message = message_of(status, headers, trailers, body)?;
    let answer = proto::CheckResponse::decode(message);
    opinion(answer.map_err(|error| NoOpinion::Nonsense(error.to_string()))?)
}

fn question(subject: &Subject<'_>, pack_as_bytes: bool) -> proto::CheckRequest {
    let tunnel = subject.tunnel;
    let source = Peer {
        address: Some(address(tunnel.downstream)),
        principal: tunnel.identity.to_string(),
        ..Peer::default()
    };
    let destination = Peer { address: Some(address(tunnel.target)), ..Peer::default() };
    let http = subject.head.map(|head| http_request(head, subject.body.as_ref(), pack_as_bytes));
    let attributes = proto::AttributeContext {
        source: Some(source),
        destination: Some(destination),
        request: Some(AskedRequest { time: Some(SystemTime::now().into()), http }),
        tls_session: subject.sni.map(|sni| TlsSession { sni: sni.to_owned() }),
    };
    proto::CheckRequest { attributes: Some(attributes) }
}

fn address(address: SocketAddr) -> proto::Address {
    let socket = proto::SocketAddress {
        address: address.ip().to_canonical().to_string(),
        port_value: address.port().into(),
    };
    proto::Address { socket_address: Some(socket) }
}

fn http_request(head: &Parts, body: Option<&Beginning>, pack_as_bytes: bool) -> HttpRequest {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let find = |name: &str| head.headers.get(name).map(text);
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in &head.headers {
        let value = text(value);
        let joined = headers.entry(name.as_str().to_owned());
        joined.and_modify(|all| *all = format!("{all},{value}")).or_insert(value);
    }
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let host = authority_of(head).to_owned();
    headers.remove("host");
    for (name, value) in [(":method", head.method.as_str()), (":path", &path), (":authority", &host)] {
        headers.insert(name.to_owned(), value.to_owned());
    }
    if let Some(body) = body {
        headers.insert("x-envoy-auth-partial-body".to_owned(), (!body.complete).to_string());
    }
    let bytes = body.map(|body| body.bytes.clone()).unwrap_or_default();
    let (body, raw_body) = match pack_as_bytes {
        true => (String::new(), bytes.to_vec()),
        false => (String::from_utf8_lossy(&bytes).into_owned(), Vec::new()),
    };
    HttpRequest {
        id: find("x-request-id").unwrap_or_default(),
        method: head.method.to_string(),
        path,
        host,
        scheme: "http".to_owned(),
        size: find(CONTENT_LENGTH.as_str()).and_then(|length| length.parse().ok()).unwrap_or(-1),
        protocol: protocol(head.version).to_owned(),
        headers,
        body,
        raw_body,
    }
}

fn protocol(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_10 => "HTTP/1.0",
        http::Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

fn opinion(answer: proto::CheckResponse) -> Result<Opinion, NoOpinion> {
    let Some(status) = answer.status else {
        return Err(NoOpinion::Nonsense("there is no status".to_owned()));
    };
    match (status.code, answer.http_response) {
        (0, Some(HttpResponse::OkResponse(ok))) => {
            let mut request = Edits::default();
            ok.headers_to_remove.iter().for_each(|name| request.remove(name));
            ok.headers.iter().for_each(|header| write(&mut request, header));
            let mut response = Edits::default();
            ok.response_headers_to_add.iter().for_each(|header| write(&mut response, header));
            Ok(Opinion::Consent(Changes { request, response }))
        }
        (0, _) => Ok(Opinion::Consent(Changes::default())),
        (_, Some(HttpResponse::DeniedResponse(denied))) => {
            let code = denied.status.map(|status| status.code).and_then(|code| u16::try_from(code).ok());
            let status = code.filter(|code| (200..600).contains(code)).map(StatusCode::from_u16);
            let mut edits = Edits::default();
            denied.headers.iter().for_each(|header| write(&mut edits, header));
            let mut headers = HeaderMap::new();
            edits.apply(&mut headers);
            let status = status.and_then(Result::ok).unwrap_or(StatusCode::FORBIDDEN);
            Ok(Opinion::Denial(Denied { status, headers, body: denied.body.into() }))
        }
        (..) => {
            let status = StatusCode::FORBIDDEN;
            Ok(Opinion::Denial(Denied { status, headers: HeaderMap::new(), body: Bytes::new() }))
        }
    }
}

/// Without a word about it, a header takes the place of what is there.
fn write(edits: &mut Edits, option: &proto::HeaderValueOption) {
    let Some(header) = &option.header else { return };
    let how = match (option.append, option.append_action()) {
        (Some(true), _) => How::Append,
        (_, HeaderAppendAction::AddIfAbsent) => How::OnlyIfAbsent,
        (_, HeaderAppendAction::OverwriteIfExists) => How::OnlyIfPresent,
        (_, HeaderAppendAction::OverwriteIfExistsOrAdd | HeaderAppendAction::AppendIfExistsOrAdd) => {
            How::Replace
        }
    };
    let value = if header.raw_value.is_empty() { header.value.as_bytes() } else { &header.raw_value };
    edits.write(how, &header.key, value);
}

#[cfg(test)]
mod tests;
