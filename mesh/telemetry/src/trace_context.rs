//! Which trace a request belongs to, as its headers say, and how a backend is told of it: W3C's `traceparent`, and B3 in
//! its two forms. Headers that nobody can read are as good as none.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use mesh_model::TraceHeaders;

use crate::TraceParent;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// All in one header: `<trace>-<span>-<sampled>-<parent>`, or the decision alone.
const B3: HeaderName = HeaderName::from_static("b3");
const B3_TRACE: HeaderName = HeaderName::from_static("x-b3-traceid");
const B3_SPAN: HeaderName = HeaderName::from_static("x-b3-spanid");
const B3_PARENT: HeaderName = HeaderName::from_static("x-b3-parentspanid");
const B3_SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
const B3_FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");

/// What a request says of its trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace, and the span that sent the request.
    pub parent: Option<TraceParent>,
    /// Whether spans are kept, if somebody has decided.
    pub sampled: Option<bool>,
    b3: Option<B3Form>,
}

/// The forms of B3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum B3Form {
    Single,
    Several,
}

impl TraceContext {
    /// What headers say; where they say two things, the form of `preferred` counts.
    pub fn of(headers: &HeaderMap, preferred: TraceHeaders) -> TraceContext {
        let b3 = read_b3(headers);
        let w3c = read_w3c(headers);
        let chosen = match preferred {
            TraceHeaders::W3c => w3c.or(b3),
            TraceHeaders::B3 | TraceHeaders::B3AndW3c => b3.or(w3c),
        };
        TraceContext { b3: b3.and_then(|it| it.b3), ..chosen.unwrap_or_default() }
    }

    /// Tells a backend of a span of ours, in the form in which the client has told us at least.
    pub fn tell(&self, headers: &mut HeaderMap, own: TraceParent, how: TraceHeaders) {
        if how != TraceHeaders::B3 {
            insert(headers, TRACEPARENT, own.to_string());
        }
        let form = match (how, self.b3) {
            (TraceHeaders::W3c, None) => return,
            (_, form) => form.unwrap_or(B3Form::Several),
        };
        let (trace, span) = (trace_text(own.trace()), span_text(own.span()));
        let parent = self.parent.map(|parent| span_text(parent.span()));
        let sampled = if own.is_sampled() { "1" } else { "0" };
        match form {
            B3Form::Single => {
                let parent = parent.map(|parent| format!("-{parent}")).unwrap_or_default();
                insert(headers, B3, format!("{trace}-{span}-{sampled}{parent}"));
            }
            B3Form::Several => {
                headers.remove(B3_PARENT);
                insert(headers, B3_TRACE, trace);
                insert(headers, B3_SPAN, span);
                insert(headers, B3_SAMPLED, sampled.to_owned());
                if let Some(parent) = parent {
                    insert(headers, B3_PARENT, parent);
                }
            }
        }
    }
}

/// What others have written about a trace beside its ids.
pub(crate) fn trace_state(headers: &HeaderMap) -> String {
    text(headers, &TRACESTATE).unwrap_or_default().to_owned()
}

fn read_w3c(headers: &HeaderMap) -> Option<TraceContext> {
    let parent = TraceParent::parse(text(headers, &TRACEPARENT)?)?;
    Some(TraceContext { parent: Some(parent), sampled: Some(parent.is_sampled()), b3: None })
}

fn read_b3(headers: &HeaderMap) -> Option<TraceContext> {
    if let Some(single) = text(headers, &B3) {
        return read_single(single);
    }
    let sampled = match (text(headers, &B3_FLAGS), text(headers, &B3_SAMPLED)) {
        (Some("1"), _) => Some(true),
        (_, Some(text)) => decision(text),
        _ => None,
    };
    let ids = text(headers, &B3_TRACE).zip(text(headers, &B3_SPAN));
    let parent = ids.and_then(|(trace, span)| parent_of(trace, span, sampled));
    (parent.is_some() || sampled.is_some()).then_some(TraceContext {
        parent,
        sampled,
        b3: Some(B3Form::Several),
    })
}

fn read_single(text: &str) -> Option<TraceContext> {
    let mut parts = text.split('-');
    let (first, span) = (parts.next()?, parts.next());
    let (parent, sampled) = match span {
        None => (None, Some(decision(first)?)),
        Some(span) => {
            let sampled = parts.next().and_then(decision);
            (Some(parent_of(first, span, sampled)?), sampled)
        }
    };
    Some(TraceContext { parent, sampled, b3: Some(B3Form::Single) })
}

fn parent_of(trace: &str, span: &str, sampled: Option<bool>) -> Option<TraceParent> {
    let is_id = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if ![16, 32].contains(&trace.len()) || span.len() != 16 || !is_id(trace) || !is_id(span) {
        return None;
    }
    let trace = u128::from_str_radix(trace, 16).ok().filter(|id| *id != 0)?;
    let span = u64::from_str_radix(span, 16).ok().filter(|id| *id != 0)?;
    Some(TraceParent::new(trace, span, sampled.unwrap_or(false)))
}

/// `d` stands for a span that somebody wants to see at any price.
fn decision(text: &str) -> Option<bool> {
    match text {
        "1" | "d" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    }
}

/// Traces with ids of 64 bits are told as such.
pub(crate) fn trace_text(trace: u128) -> String {
    match u64::try_from(trace) {
        Ok(short) => span_text(short),
        Err(_) => format!("{trace:032x}"),
    }
}

pub(crate) fn span_text(span: u64) -> String {
    format!("{span:016x}")
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: String) {
    // Digits and dashes are always a value.
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests;
