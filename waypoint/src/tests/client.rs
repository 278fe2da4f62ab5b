//! An application that speaks HTTP through a tunnel.

use bytes::Bytes;
use http::{HeaderMap, Request, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use tokio::io::{AsyncRead, AsyncWrite};

pub(super) type ClientBody = BoxBody<Bytes, Infallible>;

/// One connection.
pub(super) enum Client {
    Http1(http1::SendRequest<ClientBody>),
    Http2(http2::SendRequest<ClientBody>),
}

/// What it was answered.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) version: Version,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
    pub(super) trailers: Option<HeaderMap>,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

impl Client {
    pub(super) async fn http1(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Client {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        Client::Http1(sender)
    }

    pub(super) async fn http2(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Client {
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Client::Http2(sender)
    }

    /// A GET with the host `reviews`.
    pub(super) async fn get(&mut self, path: &str) -> Reply {
        self.send(request("GET", path)).await
    }

    pub(super) async fn send(&mut self, request: Request<ClientBody>) -> Reply {
        self.try_send(request).await.unwrap()
    }

    /// The whole answer, or that there is none.
    pub(super) async fn try_send(&mut self, request: Request<ClientBody>) -> Result<Reply, hyper::Error> {
        let (head, body) = self.begin(request).await?.into_parts();
        let body = body.collect().await?;
        let trailers = body.trailers().cloned();
        let text = String::from_utf8(body.to_bytes().to_vec()).unwrap();
        Ok(Reply {
            status: head.status.as_u16(),
            version: head.version,
            headers: head.headers,
            body: text,
            trailers,
        })
    }

    /// The head of the answer.
    pub(super) async fn begin(
        &mut self,
        mut request: Request<ClientBody>,
    ) -> Result<http::Response<hyper::body::Incoming>, hyper::Error> {
        match self {
            Client::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Client::Http2(sender) => {
                let host = request.headers_mut().remove("host").unwrap();
                let uri = format!("http://{}{}", host.to_str().unwrap(), request.uri());
                *request.uri_mut() = uri.parse().unwrap();
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }
}

/// A request without a body.
pub(super) fn request(method: &str, path: &str) -> Request<ClientBody> {
    let builder = Request::builder().method(method).uri(path).header("host", "reviews");
    builder.body(Empty::new().boxed()).unwrap()
}

/// A request with a body.
pub(super) fn post(path: &str, body: impl Into<Bytes>) -> Request<ClientBody> {
    let builder = Request::builder().method("POST").uri(path).header("host", "reviews");
    builder.body(Full::new(body.into()).boxed()).unwrap()
}

/// The same with one more header.
pub(super) fn with(mut request: Request<ClientBody>, name: &'static str, value: &str) -> Request<ClientBody> {
    request.headers_mut().append(name, value.parse().unwrap());
    request
}
