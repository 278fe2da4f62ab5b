//! An API server in memory for tests: it stores objects by path, with versions and conflicts, or
//! answers as a test wants.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tonic::codegen::Service;

/// A request, read.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: Value,
}

type Answer = (u16, Value);

/// A client whose every request is answered by `answer`.
pub(crate) fn client<F, R>(answer: F) -> Client
where
    F: Fn(Call) -> R + Send + Sync + 'static,
    R: Future<Output = Answer> + Send + 'static,
{
    Client::new(Answering(Arc::new(move |call| answer(call).boxed())), "default")
}

struct Answering(Arc<dyn Fn(Call) -> BoxFuture<'static, Answer> + Send + Sync>);

impl Service<Request<Body>> for Answering {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answer = self.0.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let call = Call {
                method: head.method,
                path: head.uri.path().to_owned(),
                query: head.uri.query().unwrap_or_default().to_owned(),
                body: serde_json::from_slice(&body).unwrap_or_default(),
            };
            let (status, value) = answer(call).await;
            let body = Full::new(value.to_string().into());
            Ok(Response::builder().status(status).body(body).unwrap())
        }
        .boxed()
    }
}

/// What an API server answers when something is wrong.
pub(crate) fn failure(code: u16, message: &str) -> Answer {
    // The client goes by the reason, not by the code.
    let reason = match code {
        404 => "NotFound",
        409 => "Conflict",
        _ => "Failed",
    };
    (
        code,
        json!({ "kind": "Status", "status": "Failure", "code": code, "message": message, "reason": reason }),
    )
}

/// Objects by path.
#[derive(Clone, Default)]
pub(crate) struct Objects {
    stored: Arc<Mutex<BTreeMap<String, Value>>>,
}

impl Objects {
    pub(crate) fn client(&self) -> Client {
        let objects = self.clone();
        client(move |call| std::future::ready(objects.answer(call)))
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.stored.lock().unwrap().get(path).cloned()
    }

    /// Stores it as somebody else, in a new version.
    pub(crate) fn put(&self, path: &str, value: Value) {
        store(&mut self.stored.lock().unwrap(), path.to_owned(), value);
    }

    pub(crate) fn remove(&self, path: &str) {
        self.stored.lock().unwrap().remove(path);
    }

    /// The objects whose path begins so.
    pub(crate) fn count(&self, prefix: &str) -> usize {
        self.stored.lock().unwrap().keys().filter(|path| path.starts_with(prefix)).count()
    }

    pub(crate) fn answer(&self, call: Call) -> Answer {
        let mut stored = self.stored.lock().unwrap();
        let found = stored.get(&call.path).cloned();
        match (call.method, found) {
            (Method::GET, Some(found)) => (200, found),
            (Method::GET | Method::PUT, None) => failure(404, "not found"),
            (Method::POST, _) => {
                let name = call.body["metadata"]["name"].as_str().unwrap();
                let path = format!("{}/{name}", call.path);
                if stored.contains_key(&path) {
                    return failure(409, "already exists");
                }
                (201, store(&mut stored, path, call.body))
            }
            (Method::PUT, Some(found)) => {
                let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
                match version(&found) == version(&call.body) {
                    true => (200, store(&mut stored, call.path, call.body)),
                    false => failure(409, "the object has been modified"),
                }
            }
            (Method::PATCH, _) => (200, store(&mut stored, call.path, call.body)),
            _ => failure(405, "not possible"),
        }
    }
}

fn store(stored: &mut BTreeMap<String, Value>, path: String, mut value: Value) -> Value {
    let version = stored.get(&path).and_then(|old| old["metadata"]["resourceVersion"].as_str()?.parse().ok());
    value["metadata"]["resourceVersion"] = (version.unwrap_or(0_u64) + 1).to_string().into();
    stored.insert(path, value.clone());
    value
}
