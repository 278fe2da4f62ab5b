//! Whether a request is within its limits. Those that are counted here come first, since asking costs time; the
//! client is told where it stands.

use std::sync::Arc;

use http::StatusCode;
use http::header::{HeaderName, HeaderValue};
use http::request::Parts;
use mesh_telemetry::RequestFlags;

use super::edits::Edits;
use super::reply::Reply;
use crate::rate_limits::{Answer, Asked, Counting, Facts, Limit, Quota, Quotas, ask};
use crate::security::Guards;
use crate::tunnel::Tunnel;

/// By it, proxies on the way back know better than to try again.
const RATE_LIMITED: HeaderName = HeaderName::from_static("x-envoy-ratelimited");

/// Counts a request that a rule takes, and lets it pass if it is within all limits that are about it.
pub(super) async fn admit(
    tunnel: &Tunnel,
    guards: &Guards,
    (head, rule): (&mut Parts, &Arc<str>),
    edits: &mut Edits,
) -> Result<(), Reply> {
    if guards.limits().next().is_none() {
        return Ok(());
    }
    let facts = Facts { tunnel, head, rule };
    let concerned: Vec<&Limit> = guards.limits().filter(|limit| limit.concerns(&facts)).collect();
    let mut quotas = Quotas::default();
    let here = count_here(&concerned, &facts, &mut quotas);
    // Its own allocation: most requests never get so far, and all would carry its size.
    let there = match here {
        Ok(()) => Box::pin(count_there(&concerned, &facts, &mut quotas, edits)).await,
        Err(reply) => Err(reply),
    };
    quotas.tell(edits);
    for changes in there? {
        changes.apply(&mut head.headers);
    }
    Ok(())
}

fn count_here(concerned: &[&Limit], facts: &Facts<'_>, quotas: &mut Quotas) -> Result<(), Reply> {
    for limit in concerned {
        let Counting::Here { counter, requests, window } = &limit.counting else { continue };
        let drawn = limit.draw(counter, facts);
        if !limit.shadow {
            quotas.add(Quota {
                requests: *requests,
                window: *window,
                name: limit.name.to_string(),
                remaining: drawn.remaining,
                reset: drawn.reset.as_nanos().div_ceil(1_000_000_000).try_into().unwrap_or(u64::MAX),
            });
        }
        if judge(limit, drawn.admitted) {
            let refusal = refusal(limit, "local_rate_limited");
            return Err(refusal.with_body("local_rate_limited"));
        }
    }
    Ok(())
}

/// What is to change in the request's headers.
async fn count_there(
    concerned: &[&Limit],
    facts: &Facts<'_>,
    quotas: &mut Quotas,
    edits: &mut Edits,
) -> Result<Vec<Edits>, Reply> {
    let mut changes = Vec::new();
    for (asked, limits) in questions(concerned) {
        let Answer { counted, request, response, body } = match ask(asked, &limits, facts).await {
            Ok(answer) => answer,
            Err(reason) => {
                for limit in &limits {
                    limit.metrics.unasked.inc();
                }
                let (limit, closed) = (&limits[0].name, asked.limit.fail_closed);
                tracing::debug!(%limit, %reason, passes = !closed, "a request could not be counted");
                if closed && limits.iter().any(|limit| !limit.shadow) {
                    let reply = Reply::new(StatusCode::INTERNAL_SERVER_ERROR, "rate_limiter_error");
                    return Err(reply.flagged(RequestFlags::RATE_LIMIT_ERROR));
                }
                continue;
            }
        };
        edits.extend(response);
        let mut beyond = None;
        for (limit, counted) in limits.iter().zip(counted) {
            if let Some(quota) = counted.quota.filter(|_| !limit.shadow) {
                quotas.add(quota);
            }
            if judge(limit, !counted.beyond) {
                beyond.get_or_insert(*limit);
            }
        }
        if let Some(limit) = beyond {
            return Err(refusal(limit, "request_rate_limited").with_body(body));
        }
        changes.push(request);
    }
    Ok(changes)
}

/// The limits that others count, by the question that is asked about them.
fn questions<'l>(concerned: &[&'l Limit]) -> Vec<(&'l Asked, Vec<&'l Limit>)> {
    let mut questions: Vec<(&Asked, Vec<&Limit>)> = Vec::new();
    for limit in concerned {
        let Counting::There(asked) = &limit.counting else { continue };
        match questions.iter_mut().find(|(known, _)| known.goes_with(asked)) {
            Some((_, limits)) => limits.push(limit),
            None => questions.push((asked, vec![limit])),
        }
    }
    questions
}

/// Whether a request is refused for a limit that it is within or beyond.
fn judge(limit: &Limit, within: bool) -> bool {
    let metrics = &limit.metrics;
    match (within, limit.shadow) {
        (true, _) => metrics.within.inc(),
        (false, true) => metrics.shadowed.inc(),
        (false, false) => metrics.refused.inc(),
    };
    !within && !limit.shadow
}

fn refusal(limit: &Limit, details: &'static str) -> Reply {
    let status = StatusCode::from_u16(limit.status).unwrap_or(StatusCode::TOO_MANY_REQUESTS);
    let reply = Reply::new(status, details).flagged(RequestFlags::RATE_LIMITED);
    reply.with_header(RATE_LIMITED, HeaderValue::from_static("true"))
}
