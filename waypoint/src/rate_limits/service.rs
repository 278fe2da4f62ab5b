//! Asking a service that counts for all, by `envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use mesh_model::{GlobalLimit, NamespacedHostname, RateQuota, RateUnit};
use mesh_proto::envoy::config::core::v3::HeaderValue;
use mesh_proto::envoy::extensions::common::ratelimit::v3 as descriptor;
use mesh_proto::envoy::service::ratelimit::v3 as proto;
use mesh_proto::envoy::r#type::v3::RateLimitUnit;
use prost::Message;
use proto::rate_limit_response::rate_limit::Unit;
use proto::rate_limit_response::{Code, DescriptorStatus};
use thiserror::Error;

use super::limit::{Facts, Limit};
use super::quotas::Quota;
use crate::http::{Edits, How, find_terms};
use crate::own_call::{CallError, exchange, fetch_callee, message_of};
use crate::own_request;
use crate::routes::Destination;
use crate::upstream::Version;

const METHOD: &str = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";

/// Who is asked, and what about.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) limit: GlobalLimit,
    destination: Option<Destination>,
    /// It could not be asked lately, and that has been said.
    complained: AtomicBool,
}

/// What was answered.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// One for each limit, in their order.
    pub(crate) counted: Vec<Counted>,
    /// Headers for the backend.
    pub(crate) request: Edits,
    /// Headers for the client.
    pub(crate) response: Edits,
    /// For the client, where the request is beyond a limit.
    pub(crate) body: Bytes,
}

/// What was answered about one limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) beyond: bool,
    /// Where the client stands, if that was said.
    pub(crate) quota: Option<Quota>,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub(crate) enum CannotAsk {
    #[error("there is no service to ask; the policy's status says why")]
    NoService,
    #[error("{0} has no endpoint that could be asked")]
    NoEndpoint(NamespacedHostname),
    #[error("it did not answer within {0:?}")]
    TooSlow(Duration),
    #[error("{0}")]
    Failed(#[from] CallError),
}

impl Asked {
    pub(super) fn new(limit: &GlobalLimit) -> Asked {
        let destination =
            limit.service.clone().map(|(service, port)| Destination::Service { service, port, subset: None });
        Asked { limit: limit.clone(), destination, complained: AtomicBool::new(false) }
    }

    /// One question can be about both.
    pub(crate) fn goes_with(&self, other: &Asked) -> bool {
        let of = |it: &GlobalLimit| (it.service.clone(), it.domain.clone(), it.timeout, it.fail_closed);
        of(&self.limit) == of(&other.limit)
    }
}

/// Asks whether a request is within limits that are all asked about in the same place, which counts it.
pub(crate) async fn ask(asked: &Asked, limits: &[&Limit], facts: &Facts<'_>) -> Result<Answer, CannotAsk> {
    let patience = asked.limit.timeout;
    let asking = tokio::time::timeout(patience, fetch(asked, limits, facts));
    let answer = asking.await.unwrap_or(Err(CannotAsk::TooSlow(patience)));
    let GlobalLimit { service, domain, fail_closed, .. } = &asked.limit;
    match &answer {
        Ok(_) => asked.complained.store(false, Ordering::Relaxed),
        Err(reason) if !asked.complained.swap(true, Ordering::Relaxed) => {
            let service = service.as_ref().map(|(service, port)| format!("{service}:{port}"));
            tracing::warn!(?service, %domain, %reason, passes = !fail_closed, "requests cannot be counted");
        }
        Err(_) => {}
    }
    answer
}

async fn fetch(asked: &Asked, limits: &[&Limit], facts: &Facts<'_>) -> Result<Answer, CannotAsk> {
    let (Some(destination), Some((service, _))) = (&asked.destination, &asked.limit.service) else {
        return Err(CannotAsk::NoService);
    };
    let tunnel = facts.tunnel;
    let chosen = fetch_callee(tunnel, destination).await;
    let chosen = chosen.ok_or_else(|| CannotAsk::NoEndpoint(service.clone()))?;
    let terms = find_terms(tunnel, destination);
    let question = proto::RateLimitRequest {
        domain: asked.limit.domain.to_string(),
        descriptors: limits.iter().map(|limit| describe(limit, facts)).collect(),
        hits_addend: 1,
    };
    let request = own_request::grpc(&service.hostname, METHOD, &question)
        .ok_or_else(|| CallError::Unreachable("its name is no authority".to_owned()))?;
    let (head, body, trailers) = exchange(tunnel, (&chosen, terms.as_ref()), Version::Http2, request).await?;
    let message = message_of(head.status, &head.headers, trailers.as_ref(), body)?;
    Ok(decode(message, limits.len())?)
}

fn describe(limit: &Limit, facts: &Facts<'_>) -> descriptor::RateLimitDescriptor {
    use descriptor::rate_limit_descriptor::{Entry, RateLimitOverride};
    let entries = limit.entries(facts).map(|(key, value)| Entry { key: key.to_owned(), value });
    let quota = limit.quota().map(|RateQuota { requests, unit }| RateLimitOverride {
        requests_per_unit: requests,
        unit: match unit {
            RateUnit::Second => RateLimitUnit::Second,
            RateUnit::Minute => RateLimitUnit::Minute,
            RateUnit::Hour => RateLimitUnit::Hour,
            RateUnit::Day => RateLimitUnit::Day,
        }
        .into(),
    });
    descriptor::RateLimitDescriptor { entries: entries.collect(), limit: quota }
}

/// The answer to a question about so many limits.
pub(crate) fn decode(message: Bytes, limits: usize) -> Result<Answer, CallError> {
    let nonsense = |reason: String| CallError::Nonsense(reason);
    let answer = proto::RateLimitResponse::decode(message).map_err(|error| nonsense(error.to_string()))?;
    let beyond = match answer.overall_code() {
        Code::Ok => false,
        Code::OverLimit => true,
        Code::Unknown => return Err(nonsense("it says neither yes nor no".to_owned())),
    };
    if answer.statuses.len() > limits {
        return Err(nonsense(format!("{} statuses about {limits} limits", answer.statuses.len())));
    }
    let mut counted: Vec<Counted> = answer.statuses.iter().map(counted).collect();
    counted.resize_with(limits, Counted::default);
    if !beyond {
        counted.iter_mut().for_each(|it| it.beyond = false);
    } else if !counted.iter().any(|it| it.beyond) {
        // It does not say beyond which, so it has to be taken for all.
        counted.iter_mut().for_each(|it| it.beyond = true);
    }
    Ok(Answer {
        counted,
        request: edits(&answer.request_headers_to_add),
        response: edits(&answer.response_headers_to_add),
        body: answer.raw_body.into(),
    })
}

fn counted(status: &DescriptorStatus) -> Counted {
    let reset = status.duration_until_reset.as_ref().map_or(0, |it| u64::try_from(it.seconds).unwrap_or(0));
    let quota = status.current_limit.as_ref().map(|limit| Quota {
        requests: limit.requests_per_unit.into(),
        window: match limit.unit() {
            Unit::Unknown => 0,
            Unit::Second => 1,
            Unit::Minute => 60,
            Unit::Hour => 3600,
            Unit::Day => 24 * 3600,
            Unit::Month => 30 * 24 * 3600,
            Unit::Year => 365 * 24 * 3600,
        },
        name: limit.name.clone(),
        remaining: status.limit_remaining.into(),
        reset,
    });
    Counted { beyond: status.code() == Code::OverLimit, quota }
}

/// Those that would change what a message is are passed over.
fn edits(headers: &[HeaderValue]) -> Edits {
    let mut edits = Edits::default();
    for header in headers {
        let value = if header.raw_value.is_empty() { header.value.as_bytes() } else { &header.raw_value };
        edits.write(How::Append, &header.key, value);
    }
    edits
}

#[cfg(test)]
mod tests;
