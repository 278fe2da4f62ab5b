//! A small HTTP server for operators: config dumps, levels, metrics, readiness.
//! Bounded in connections, header and body sizes and time, for it also hears garbage (SEC-03, SEC-13).

mod handlers;
mod server;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode, header};
use http_body_util::Full;

pub use handlers::{logging_handler, quit_handler, readiness_router};
pub use server::serve;

/// A request with its whole body.
pub type Request = http::Request<Bytes>;
/// An answer.
pub type Response = http::Response<Full<Bytes>>;
/// An answer that may take its time.
pub type Reply = Pin<Box<dyn Future<Output = Response> + Send>>;
/// What answers; it must not block.
pub type Handler = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

/// Which path is answered by what.
#[derive(Clone, Default)]
pub struct Router {
    routes: BTreeMap<String, Vec<(Option<Method>, Handler)>>,
}

impl Router {
    /// A router that knows no path.
    pub fn new() -> Self {
        Router::default()
    }

    /// Answers one method on a path.
    pub fn route<H>(self, method: Method, path: &str, handler: H) -> Self
    where
        H: Fn(&Request) -> Response + Send + Sync + 'static,
    {
        self.add(Some(method), path, at_once(handler))
    }

    /// Answers one method on a path, in its own time.
    pub fn route_later<H, F>(self, method: Method, path: &str, handler: H) -> Self
    where
        H: Fn(&Request) -> F + Send + Sync + 'static,
        F: Future<Output = Response> + Send + 'static,
    {
        self.add(Some(method), path, Arc::new(move |request| Box::pin(handler(request))))
    }

    /// Answers every method on a path.
    pub fn route_any<H>(self, path: &str, handler: H) -> Self
    where
        H: Fn(&Request) -> Response + Send + Sync + 'static,
    {
        self.add(None, path, at_once(handler))
    }

    /// Answers `GET /` with a page that lists the paths added so far.
    pub fn index(self, title: &str) -> Self {
        let rows: String =
            self.routes.keys().map(|path| format!("<li><a href=\"{path}\">{path}</a></li>")).collect();
        let page = format!("<!doctype html><title>{title}</title><h1>{title}</h1><ul>{rows}</ul>\n");
        self.route(Method::GET, "/", move |_| {
            answer(StatusCode::OK, "text/html; charset=utf-8", page.clone())
        })
    }

    fn add(mut self, method: Option<Method>, path: &str, handler: Handler) -> Self {
        self.routes.entry(path.to_owned()).or_default().push((method, handler));
        self
    }

    /// The answer to a request; 404 for an unknown path, 405 for another method.
    pub async fn respond(&self, request: &Request) -> Response {
        let Some(handlers) = self.routes.get(request.uri().path()) else {
            return text(StatusCode::NOT_FOUND, "not found\n");
        };
        let fits = |method: &Option<Method>| method.as_ref().is_none_or(|method| method == request.method());
        match handlers.iter().find(|(method, _)| fits(method)) {
            Some((_, handler)) => handler(request).await,
            None => text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n"),
        }
    }
}

fn at_once<H>(handler: H) -> Handler
where
    H: Fn(&Request) -> Response + Send + Sync + 'static,
{
    Arc::new(move |request| Box::pin(std::future::ready(handler(request))))
}

/// An answer of plain text.
pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Response {
    answer(status, "text/plain; charset=utf-8", body)
}

/// An answer of JSON that is already written out.
pub fn json(body: impl Into<Bytes>) -> Response {
    answer(StatusCode::OK, "application/json", body)
}

/// An answer of some content type.
pub fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response {
    let mut response = http::Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests;
