//! An API server for tests: answers every request as a test wants, over a real connection.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A request, read.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) is_watch: bool,
    pub(crate) body: Value,
}

/// A client of a server that answers so.
pub(crate) async fn client<F, R>(answer: F) -> kube::Client
where
    F: Fn(Call) -> R + Send + Sync + 'static,
    R: Future<Output = (u16, Value)> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            let service = service_fn(move |request| respond(request, answer.clone()));
            let served = hyper::server::conn::http1::Builder::new();
            tokio::spawn(served.serve_connection(TokioIo::new(stream), service));
        }
    });
    kube::Client::try_from(kube::Config::new(url)).unwrap()
}

async fn respond<F, R>(
    request: Request<Incoming>,
    answer: Arc<F>,
) -> Result<Response<Full<Bytes>>, Infallible>
where
    F: Fn(Call) -> R,
    R: Future<Output = (u16, Value)>,
{
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let call = Call {
        method: head.method,
        path: head.uri.path().to_owned(),
        is_watch: head.uri.query().is_some_and(|query| query.contains("watch=true")),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    let (status, value) = answer(call).await;
    let response = Response::builder().status(status).header("content-type", "application/json");
    Ok(response.body(Full::new(value.to_string().into())).unwrap())
}

/// What an API server answers to a write of something that has changed meanwhile.
pub(crate) fn conflict() -> (u16, Value) {
    let message = "the object has been modified";
    (
        409,
        json!({ "kind": "Status", "status": "Failure", "code": 409, "reason": "Conflict", "message": message }),
    )
}
