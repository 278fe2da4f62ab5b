//! Bodies of responses on their way to the client: a backend's as it comes, or
//! one made here. The end of the body is the end of the exchange.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use mesh_telemetry::RequestFlags;
use tokio::time::{Instant, Sleep, sleep_until};

use super::body::BoxError;
use super::grpc_web::Form;
use super::report::Exchange;
use crate::upstream::Lease;

/// The body of a response.
pub(crate) struct ResponseBody {
    content: Content,
    exchange: Option<Exchange>,
    /// The request's time is up here, whatever has been sent by then (RES-19).
    deadline: Option<Pin<Box<Sleep>>>,
    ended: bool,
    /// The client does not speak the backend's gRPC.
    grpc_web: Option<Form>,
}

enum Content {
    Backend(
        Incoming,
        #[expect(dead_code, reason = "dropped with the body, it gives the connection back")] Lease,
    ),
    Local(Full<Bytes>),
}

impl ResponseBody {
    /// What a backend sends.
    pub(crate) fn backend(
        body: Incoming,
        lease: Lease,
        exchange: Exchange,
        deadline: Option<Instant>,
    ) -> Self {
        let deadline = deadline.map(|deadline| Box::pin(sleep_until(deadline)));
        ResponseBody {
            content: Content::Backend(body, lease),
            exchange: Some(exchange),
            deadline,
            ended: false,
            grpc_web: None,
        }
    }

    /// The same for a client that speaks gRPC-web, if it does.
    pub(crate) fn told_in(mut self, form: Option<Form>) -> Self {
        self.grpc_web = form;
        self
    }

    /// What is made here.
    pub(crate) fn local(body: Full<Bytes>, exchange: Exchange) -> Self {
        ResponseBody {
            content: Content::Local(body),
            exchange: Some(exchange),
            deadline: None,
            ended: false,
            grpc_web: None,
        }
    }

    /// Nothing follows the head, and the exchange goes on elsewhere.
    pub(crate) fn none() -> Self {
        ResponseBody {
            content: Content::Local(Full::default()),
            exchange: None,
            deadline: None,
            ended: true,
            grpc_web: None,
        }
    }
}

impl ResponseBody {
    fn is_over(&self) -> bool {
        self.ended || self.is_end_stream()
    }

    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            if let Some(exchange) = &mut self.exchange {
                exchange.flag(RequestFlags::UPSTREAM_TIMEOUT);
            }
            return Poll::Ready(Some(Err("the request took too long".into())));
        }
        match &mut self.content {
            Content::Local(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Content::Backend(body, _) => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                if let (Some(Err(_)), Some(exchange)) = (&frame, &mut self.exchange) {
                    exchange.flag(RequestFlags::UPSTREAM_RESET);
                }
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if this.ended && this.grpc_web.is_some() {
            // The trailers went as data, and whoever reads data asks for more.
            return Poll::Ready(None);
        }
        let mut frame = ready!(this.poll_content(cx));
        this.ended = !matches!(&frame, Some(Ok(frame)) if frame.is_data());
        if let (Some(Ok(frame)), Some(exchange)) = (&frame, &mut this.exchange)
            && let Some(trailers) = frame.trailers_ref()
        {
            exchange.read_grpc_status(trailers);
        }
        if let Some(form) = this.grpc_web {
            frame = frame.map(|frame| frame.map(|frame| form.translate(frame)));
        }
        if let (Some(Ok(frame)), Some(exchange)) = (&frame, &mut this.exchange)
            && let Some(data) = frame.data_ref()
        {
            exchange.count_sent(data.len());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Backend(body, _) => body.is_end_stream(),
            Content::Local(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Backend(..) if self.grpc_web.is_some() => SizeHint::default(),
            Content::Backend(body, _) => body.size_hint(),
            Content::Local(body) => body.size_hint(),
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        let over = self.is_over();
        if let Some(exchange) = self.exchange.as_mut().filter(|_| !over) {
            exchange.flag(RequestFlags::DOWNSTREAM_CLOSED);
        }
    }
}
