//! What a trace is told of one request.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::HeaderMap;

use crate::trace_context::{span_text, trace_state, trace_text};
use crate::{Party, RequestDetails, RequestEnd, TraceParent, span_tags};

/// A span that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Its trace and its own id.
    pub ids: TraceParent,
    /// The span it was asked by, if it was told of one.
    pub parent: Option<u64>,
    /// What others have written about the trace.
    pub trace_state: String,
    /// What was done.
    pub name: Arc<str>,
    /// When it began.
    pub start: SystemTime,
    /// How long it took.
    pub duration: Duration,
    /// What it says of itself.
    pub tags: Vec<(Cow<'static, str>, String)>,
    /// It went wrong on the side of the server.
    pub failed: bool,
}

impl Span {
    /// The trace's id, 16 or 32 digits.
    pub fn trace_text(&self) -> String {
        trace_text(self.ids.trace())
    }

    /// An id of a span, 16 digits.
    pub fn id_text(id: u64) -> String {
        span_text(id)
    }
}

/// A span that goes on, until the report it belongs to ends.
pub struct OpenSpan {
    ids: TraceParent,
    parent: Option<u64>,
    trace_state: String,
    name: Arc<str>,
    tags: Vec<(Cow<'static, str>, String)>,
    report: Box<dyn FnOnce(Span) + Send>,
}

impl OpenSpan {
    /// A span of a request with these headers. It says `tags` beside what is known of every request, and goes to `report`
    /// when it has ended.
    pub fn new(
        ids: TraceParent,
        parent: Option<TraceParent>,
        headers: &HeaderMap,
        name: Arc<str>,
        tags: Vec<(Cow<'static, str>, String)>,
        report: impl FnOnce(Span) + Send + 'static,
    ) -> OpenSpan {
        // Without a trace to belong to, it says nothing.
        let trace_state = parent.map(|_| trace_state(headers)).unwrap_or_default();
        let report = Box::new(report);
        OpenSpan { ids, parent: parent.map(TraceParent::span), trace_state, name, tags, report }
    }

    pub(crate) fn close(
        self,
        details: &RequestDetails,
        end: &RequestEnd,
        duration: Duration,
        (source, destination): (&Party, &Party),
    ) {
        let OpenSpan { ids, parent, trace_state, name, mut tags, report } = self;
        let failed = span_tags::is_failure(end);
        span_tags::add_request(&mut tags, details, end);
        span_tags::add_party(&mut tags, "source", source);
        span_tags::add_party(&mut tags, "destination", destination);
        if failed {
            tags.push(("error".into(), "true".to_owned()));
        }
        report(Span { ids, parent, trace_state, name, start: details.start, duration, tags, failed });
    }
}
