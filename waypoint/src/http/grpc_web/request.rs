//! The body of a client's request: as it comes, or what it says in base64.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use mesh_telemetry::RequestFlags;

use super::Form;
use super::text::Decoder;
use crate::http::body::BoxError;
use crate::http::reply::Reply;

/// The body of a request as backends are to read it.
#[derive(Debug)]
pub(crate) enum ClientBody {
    AsItIs(Incoming),
    Text { body: Incoming, decoder: Decoder, damage: Arc<AtomicBool> },
}

/// Whether a body could not be read.
#[derive(Debug)]
pub(crate) struct Damage(Option<Arc<AtomicBool>>);

impl ClientBody {
    /// What comes from a client that speaks gRPC-web in such a form, or something else.
    pub(crate) fn new(body: Incoming, form: Option<Form>) -> (ClientBody, Damage) {
        match form {
            Some(Form { text_question: true, .. }) => {
                let damage = Arc::<AtomicBool>::default();
                let told = Damage(Some(damage.clone()));
                (ClientBody::Text { body, decoder: Decoder::default(), damage }, told)
            }
            _ => (ClientBody::AsItIs(body), Damage(None)),
        }
    }
}

impl Damage {
    /// The answer to a request that failed: where its body was the reason, that is said.
    pub(crate) fn explain(&self, reply: Reply) -> Reply {
        if !self.0.as_ref().is_some_and(|damage| damage.load(Ordering::Relaxed)) {
            return reply;
        }
        let reply = Reply::new(StatusCode::BAD_REQUEST, "grpc_base_64_decode_failed");
        reply.flagged(RequestFlags::DOWNSTREAM_PROTOCOL_ERROR).with_body("the body is not base64")
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let (body, decoder, damage) = match self.get_mut() {
            ClientBody::AsItIs(body) => return Pin::new(body).poll_frame(cx).map_err(Into::into),
            ClientBody::Text { body, decoder, damage } => (body, decoder, damage),
        };
        let frame = match ready!(Pin::new(body).poll_frame(cx)).transpose()? {
            Some(frame) => frame,
            None => {
                return Poll::Ready(decoder.end().err().map(|error| {
                    damage.store(true, Ordering::Relaxed);
                    Err(error.into())
                }));
            }
        };
        let read = match frame.into_data() {
            Ok(text) => decoder.read(&text).map(Frame::data),
            Err(trailers) => decoder.end().map(|()| trailers),
        };
        Poll::Ready(Some(read.map_err(|error| {
            damage.store(true, Ordering::Relaxed);
            error.into()
        })))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ClientBody::AsItIs(body) => body.is_end_stream(),
            // What is unfinished is an error still to come.
            ClientBody::Text { body, decoder, .. } => body.is_end_stream() && decoder.end().is_ok(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ClientBody::AsItIs(body) => body.size_hint(),
            ClientBody::Text { .. } => SizeHint::default(),
        }
    }
}
