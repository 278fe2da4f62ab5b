//! Answers made here, because no backend's is to be had.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use mesh_telemetry::RequestFlags;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::headers::HeaderEdit;
use super::normalise::Kind;
use super::report::Exchange;
use super::response::ResponseBody;

/// What a gRPC message must not hold as it is.
const NOT_IN_MESSAGE: &AsciiSet = &CONTROLS.add(b'%');
/// The statuses of gRPC that are used here, and where they stand.
pub(crate) mod grpc {
    use http::HeaderMap;
    use http::header::HeaderName;

    pub(crate) const STATUS: HeaderName = HeaderName::from_static("grpc-status");

    /// The status in headers or trailers.
    pub(crate) fn status_in(headers: &HeaderMap) -> Option<u32> {
        headers.get(STATUS)?.to_str().ok()?.parse().ok()
    }

    pub(crate) const CANCELLED: u32 = 1;
    pub(crate) const UNKNOWN: u32 = 2;
    pub(crate) const DEADLINE_EXCEEDED: u32 = 4;
    pub(crate) const PERMISSION_DENIED: u32 = 7;
    pub(crate) const RESOURCE_EXHAUSTED: u32 = 8;
    pub(crate) const UNIMPLEMENTED: u32 = 12;
    pub(crate) const INTERNAL: u32 = 13;
    pub(crate) const UNAVAILABLE: u32 = 14;
    pub(crate) const UNAUTHENTICATED: u32 = 16;
}

/// An answer made here.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    /// For access logs, in the words of Envoy.
    pub(crate) details: Cow<'static, str>,
    pub(crate) flags: RequestFlags,
    grpc_status: Option<u32>,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

impl Reply {
    pub(crate) fn new(status: StatusCode, details: impl Into<Cow<'static, str>>) -> Reply {
        Reply {
            status,
            details: details.into(),
            flags: RequestFlags::NONE,
            grpc_status: None,
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    pub(crate) fn flagged(self, flags: RequestFlags) -> Reply {
        Reply { flags, ..self }
    }

    pub(crate) fn with_body(self, body: impl Into<Bytes>) -> Reply {
        Reply { body: body.into(), ..self }
    }

    /// What a gRPC client is told, where the HTTP status does not say it.
    pub(crate) fn with_grpc_status(self, status: u32) -> Reply {
        Reply { grpc_status: Some(status), ..self }
    }

    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Reply {
        self.headers.push((name, value));
        self
    }

    /// As the client understands it: gRPC clients want 200 and the status in a header (RES-02).
    pub(crate) fn into_response(self, to_grpc: bool) -> Response<Full<Bytes>> {
        let (status, body) = (self.status, self.body);
        let mut headers = HeaderMap::from_iter(self.headers);
        if to_grpc && !status.is_redirection() {
            let grpc_status = self.grpc_status.unwrap_or_else(|| grpc_status_of(status));
            let message = utf8_percent_encode(&String::from_utf8_lossy(&body), NOT_IN_MESSAGE).to_string();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert(grpc::STATUS, HeaderValue::from(grpc_status));
            headers.extend(
                HeaderValue::try_from(message).ok().map(|m| (HeaderName::from_static("grpc-message"), m)),
            );
            return with_headers(StatusCode::OK, headers, Bytes::new());
        }
        if !body.is_empty() && !headers.contains_key(CONTENT_TYPE) {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        }
        with_headers(status, headers, body)
    }
}

/// Answers a request with a reply, changed as a rule says if one took it.
pub(crate) fn respond(
    reply: Reply,
    kind: Kind,
    changes: Option<&HeaderEdit>,
    mut exchange: Exchange,
) -> Response<ResponseBody> {
    exchange.replied(&reply);
    let mut response = reply.into_response(kind.grpc);
    if let Some(changes) = changes {
        changes.apply(response.headers_mut());
    }
    exchange.answered(response.status(), response.headers(), None);
    if let Some(form) = kind.grpc_web {
        // Its status is in the head, and nothing follows.
        form.answer(response.headers_mut());
    }
    response.map(|body| ResponseBody::local(body, exchange))
}

fn with_headers(status: StatusCode, headers: HeaderMap, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// The gRPC status that stands for a status of HTTP.
fn grpc_status_of(status: StatusCode) -> u32 {
    match status.as_u16() {
        200 => 0,
        400 => grpc::INTERNAL,
        401 => grpc::UNAUTHENTICATED,
        403 => grpc::PERMISSION_DENIED,
        404 => grpc::UNIMPLEMENTED,
        429 | 502 | 503 | 504 => grpc::UNAVAILABLE,
        _ => grpc::UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn header<'a>(response: &'a Response<Full<Bytes>>, name: &str) -> &'a str {
        response.headers().get(name).map(|value| value.to_str().unwrap()).unwrap_or("")
    }

    #[tokio::test]
    async fn gw_32_grpc_clients_are_told_in_their_own_terms() {
        for (status, given, expected) in [
            (404, None, "12"),
            (503, None, "14"),
            (504, Some(grpc::DEADLINE_EXCEEDED), "4"),
            (418, None, "2"),
            (403, None, "7"),
            (400, None, "13"),
        ] {
            let mut reply = Reply::new(StatusCode::from_u16(status).unwrap(), "").with_body("50% no\nroute");
            reply.grpc_status = given;
            let response = reply.into_response(true);
            assert_eq!(response.status(), 200);
            assert_eq!(header(&response, "grpc-status"), expected);
            assert_eq!(header(&response, "grpc-message"), "50%25 no%0Aroute");
            assert_eq!(header(&response, "content-type"), "application/grpc");
            assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
        }
    }

    #[tokio::test]
    async fn others_get_the_status_and_the_text() {
        let reply = Reply::new(StatusCode::IM_A_TEAPOT, "").with_body("fault filter abort");
        let response = reply.into_response(false);
        assert_eq!((response.status().as_u16(), header(&response, "content-type")), (418, "text/plain"));
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "fault filter abort");
    }
}
