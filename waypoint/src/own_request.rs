//! Requests that the waypoint makes of its own accord, to whoever decides about or collects something.

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HOST, HeaderValue, TE};
use http::{Method, Request, Uri};
use http_body_util::Full;
use prost::Message;

use crate::http::{ClientBody, RequestBody};
use crate::upstream::Version;

/// As the pool takes them.
pub(crate) type OwnRequest = Request<RequestBody<ClientBody>>;

/// A POST with a body; none if the host is no authority, or the path no path.
pub(crate) fn post(
    version: Version,
    host: &str,
    path: &str,
    content_type: HeaderValue,
    body: Bytes,
) -> Option<OwnRequest> {
    let mut request = Request::new(RequestBody::Whole(Full::new(body)));
    *request.method_mut() = Method::POST;
    match version {
        Version::Http1 => {
            *request.uri_mut() = path.parse().ok()?;
            request.headers_mut().insert(HOST, host.parse().ok()?);
        }
        Version::Http2 => {
            let uri = Uri::builder().scheme("http").authority(host).path_and_query(path);
            *request.uri_mut() = uri.build().ok()?;
            *request.version_mut() = http::Version::HTTP_2;
        }
    }
    request.headers_mut().insert(CONTENT_TYPE, content_type);
    Some(request)
}

/// A call of a method of gRPC with one message.
pub(crate) fn grpc(host: &str, method: &str, message: &impl Message) -> Option<OwnRequest> {
    let mut frame = BytesMut::with_capacity(5 + message.encoded_len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.encoded_len()).ok()?);
    message.encode(&mut frame).ok()?;
    let kind = HeaderValue::from_static("application/grpc");
    let mut request = post(Version::Http2, host, method, kind, frame.freeze())?;
    request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
    Some(request)
}
