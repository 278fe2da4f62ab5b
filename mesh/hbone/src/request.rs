//! The head of a CONNECT request: what stands in it and how it is written (wire.md §2.1).
//! Reading is pure and bounded, whatever a peer sends.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use mesh_frames::encode_field;

use crate::target::{InvalidTarget, Target};

const BAGGAGE: HeaderName = HeaderName::from_static("baggage");
const FORWARDED: HeaderName = HeaderName::from_static("forwarded");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const FORWARDED_NETWORK: HeaderName = HeaderName::from_static("x-forwarded-network");
const SOURCE_KIND: HeaderName = HeaderName::from_static("x-istio-source");

/// More lines of baggage than any workload has keys.
const MOST_BAGGAGE: usize = 32;

/// Why a request is not a CONNECT we take; the peer is told 400 (HB-04).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    /// Only tunnels are served here.
    #[error("the method is {0}; only CONNECT is served")]
    Method(Method),
    /// The authority is missing or no target.
    #[error("cannot connect to {authority:?}: {reason}")]
    Authority {
        /// As it was sent.
        authority: String,
        /// What is wrong with it.
        reason: InvalidTarget,
    },
}

/// A request for a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectRequest {
    /// Where to.
    pub target: Target,
    /// Every `baggage` header in order; describes the source workload.
    pub baggage: Vec<String>,
    /// `forwarded`: the client's address and the service it called.
    pub forwarded: Option<String>,
    /// `traceparent`, unparsed.
    pub traceparent: Option<String>,
    /// `x-forwarded-network`: the network the connection came from.
    pub forwarded_network: Option<String>,
    /// `x-istio-source`: `waypoint`, `gateway` or `sidecar`.
    pub source_kind: Option<String>,
}

impl ConnectRequest {
    /// A request without headers.
    pub fn new(target: Target) -> Self {
        ConnectRequest {
            target,
            baggage: Vec::new(),
            forwarded: None,
            traceparent: None,
            forwarded_network: None,
            source_kind: None,
        }
    }

    /// Reads the head of a request. Headers that are not text are as good as absent.
    pub fn read(
        method: &Method,
        authority: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<Self, InvalidRequest> {
        if method != Method::CONNECT {
            return Err(InvalidRequest::Method(method.clone()));
        }
        let authority = authority.unwrap_or_default();
        let target = authority.parse().map_err(|reason| InvalidRequest::Authority {
            authority: authority.chars().take(256).collect(),
            reason,
        })?;
        let first = |name: HeaderName| headers.get(name).and_then(text);
        Ok(ConnectRequest {
            target,
            baggage: read_baggage(headers),
            forwarded: first(FORWARDED),
            traceparent: first(TRACEPARENT),
            forwarded_network: first(FORWARDED_NETWORK),
            source_kind: first(SOURCE_KIND),
        })
    }

    /// The header block to send. Values no header can hold are left out: they only describe.
    pub(crate) fn to_block(&self) -> Vec<u8> {
        let mut block = Vec::with_capacity(256);
        encode_field(&mut block, b":method", b"CONNECT");
        encode_field(&mut block, b":authority", self.target.to_string().as_bytes());
        if self.baggage.is_empty() {
            encode_field(&mut block, b"baggage", b"");
        }
        for line in &self.baggage {
            append(&mut block, &BAGGAGE, line);
        }
        let optional = [
            (FORWARDED, &self.forwarded),
            (TRACEPARENT, &self.traceparent),
            (FORWARDED_NETWORK, &self.forwarded_network),
            (SOURCE_KIND, &self.source_kind),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                append(&mut block, &name, value);
            }
        }
        block
    }
}

/// Every line of baggage that is text, up to a bound.
pub(crate) fn read_baggage(headers: &HeaderMap) -> Vec<String> {
    headers.get_all(BAGGAGE).iter().take(MOST_BAGGAGE).filter_map(text).collect()
}

fn append(block: &mut Vec<u8>, name: &HeaderName, value: &str) {
    if HeaderValue::from_str(value).is_ok() {
        encode_field(block, name.as_str().as_bytes(), value.as_bytes());
    }
}

fn text(value: &HeaderValue) -> Option<String> {
    value.to_str().ok().map(str::to_owned)
}

#[cfg(test)]
mod tests;
