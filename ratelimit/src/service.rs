//! `envoy.service.ratelimit.v3.RateLimitService`: counts in fixed windows.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use mesh_proto::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use mesh_proto::envoy::service::ratelimit::v3::rate_limit_response::rate_limit::Unit as WireUnit;
use mesh_proto::envoy::service::ratelimit::v3::rate_limit_response::{Code, DescriptorStatus, RateLimit};
use mesh_proto::envoy::service::ratelimit::v3::rate_limit_service_server::RateLimitService;
use mesh_proto::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use mesh_proto::envoy::r#type::v3::RateLimitUnit;
use tonic::{Request, Response, Status};

use crate::counts::{CannotCount, Counts, Hit};
use crate::files::LimitFiles;
use crate::limits::{Limit, Limits, Unit};
use crate::metrics::{Metrics, RedisFailure, Verdict};

/// No question that means well is about more.
const MOST_DESCRIPTORS: usize = 64;
/// In case the clocks of those who count differ.
const GRACE: u64 = 5;

/// Answers whether requests are within their limits.
#[derive(Clone)]
pub struct LimitService {
    limits: LimitFiles,
    counts: Counts,
    metrics: Arc<Metrics>,
}

/// A limit, and the window of its that a request falls in.
struct Window {
    limit: Limit,
    /// So many seconds are left of it.
    rest: u64,
    /// Absent where nothing has to be counted.
    hit: Option<Hit>,
}

impl LimitService {
    /// Limits from files or from the question, counted there.
    pub fn new(limits: LimitFiles, counts: Counts) -> LimitService {
        LimitService { limits, counts, metrics: Arc::default() }
    }

    /// What is told of its answers.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.metrics.clone()
    }

    /// The answer to a question that is asked at a time, in seconds since 1970.
    async fn answer(&self, question: &RateLimitRequest, now: u64) -> Result<RateLimitResponse, Status> {
        check(question)?;
        let limits = self.limits.current();
        let windows: Vec<_> =
            question.descriptors.iter().map(|it| find_window(&limits, question, it, now)).collect();
        let hits: Vec<Hit> = windows.iter().flatten().filter_map(|window| window.hit.clone()).collect();
        let counted = match self.counts.add(&hits).await {
            Ok(counted) => counted,
            Err(error) => {
                self.metrics.decided(&question.domain, windows.iter().map(|_| Verdict::Error));
                self.metrics.redis_failed(match error {
                    CannotCount::Redis(_) => RedisFailure::Refused,
                    CannotCount::TooSlow => RedisFailure::TooSlow,
                });
                return Err(Status::unavailable(error.to_string()));
            }
        };
        let mut counted = counted.into_iter();
        let judged = windows.into_iter().map(|window| judge(window, &mut counted));
        let (verdicts, statuses): (Vec<_>, Vec<_>) = judged.unzip();
        self.metrics.decided(&question.domain, verdicts);
        let is_over = statuses.iter().any(|status| status.code() == Code::OverLimit);
        let overall = if is_over { Code::OverLimit } else { Code::Ok };
        Ok(RateLimitResponse { overall_code: overall.into(), statuses, ..RateLimitResponse::default() })
    }
}

#[tonic::async_trait]
impl RateLimitService for LimitService {
    async fn should_rate_limit(
        &self,
        request: Request<RateLimitRequest>,
    ) -> Result<Response<RateLimitResponse>, Status> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let begin = Instant::now();
        let answer = self.answer(request.get_ref(), now).await;
        self.metrics.answered(begin.elapsed());
        answer.map(Response::new)
    }
}

fn check(question: &RateLimitRequest) -> Result<(), Status> {
    let invalid = |message: String| Err(Status::invalid_argument(message));
    if question.domain.is_empty() {
        return invalid("the question has no domain".to_owned());
    }
    match question.descriptors.len() {
        0 => invalid("the question has no descriptors".to_owned()),
        1..=MOST_DESCRIPTORS => Ok(()),
        number => invalid(format!("{number} descriptors are too many; at most {MOST_DESCRIPTORS} are taken")),
    }
}

/// What a question brings with it goes before what is configured.
fn find_window(
    limits: &Limits,
    question: &RateLimitRequest,
    descriptor: &RateLimitDescriptor,
    now: u64,
) -> Option<Window> {
    let entries = || descriptor.entries.iter().map(|entry| (entry.key.as_str(), entry.value.as_str()));
    let limit = brought(descriptor).or_else(|| limits.find(&question.domain, entries()).cloned())?;
    let seconds = limit.unit.seconds();
    let begin = now - now % seconds;
    let hit = limit.requests.map(|_| {
        // With their lengths, so that no text can be taken for several.
        let mut key = format!("adit:{}:{}", question.domain.len(), question.domain);
        for (name, value) in entries() {
            key.push_str(&format!(":{}:{name}:{}:{value}", name.len(), value.len()));
        }
        key.push_str(&format!(":{seconds}:{begin}"));
        Hit { key, hits: question.hits_addend.max(1), lives: seconds + GRACE }
    });
    Some(Window { limit, rest: begin + seconds - now, hit })
}

fn brought(descriptor: &RateLimitDescriptor) -> Option<Limit> {
    let limit = descriptor.limit?;
    let unit = match limit.unit() {
        RateLimitUnit::Unknown => return None,
        RateLimitUnit::Second => Unit::Second,
        RateLimitUnit::Minute => Unit::Minute,
        RateLimitUnit::Hour => Unit::Hour,
        RateLimitUnit::Day => Unit::Day,
    };
    Some(Limit { name: String::new(), requests: Some(limit.requests_per_unit), unit, shadow: false })
}

/// Where there is no limit, anything is within it.
fn judge(window: Option<Window>, counted: &mut impl Iterator<Item = u64>) -> (Verdict, DescriptorStatus) {
    let ok = DescriptorStatus { code: Code::Ok.into(), ..DescriptorStatus::default() };
    let Some(Window { limit, rest, hit }) = window else { return (Verdict::Unlimited, ok) };
    let (Some(requests), Some(count)) = (limit.requests, hit.and_then(|_| counted.next())) else {
        return (Verdict::Unlimited, DescriptorStatus { limit_remaining: u32::MAX, ..ok });
    };
    let (verdict, code) = match count <= requests.into() {
        true => (Verdict::Within, Code::Ok),
        false if limit.shadow => (Verdict::Shadowed, Code::Ok),
        false => (Verdict::OverLimit, Code::OverLimit),
    };
    let unit = match limit.unit {
        Unit::Second => WireUnit::Second,
        Unit::Minute => WireUnit::Minute,
        Unit::Hour => WireUnit::Hour,
        Unit::Day => WireUnit::Day,
        Unit::Month => WireUnit::Month,
        Unit::Year => WireUnit::Year,
    };
    let left = u64::from(requests).saturating_sub(count);
    let status = DescriptorStatus {
        code: code.into(),
        current_limit: Some(RateLimit { requests_per_unit: requests, unit: unit.into(), name: limit.name }),
        limit_remaining: u32::try_from(left).unwrap_or(u32::MAX),
        duration_until_reset: Some(prost_types::Duration {
            seconds: i64::try_from(rest).unwrap_or(i64::MAX),
            nanos: 0,
        }),
    };
    (verdict, status)
}

#[cfg(test)]
mod tests {
    use mesh_proto::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::{
        Entry, RateLimitOverride,
    };

    use super::*;

    fn question(entries: &[(&str, &str)], quota: Option<(u32, RateLimitUnit)>) -> RateLimitRequest {
        let entry = |(key, value): &(&str, &str)| Entry { key: (*key).into(), value: (*value).into() };
        let limit =
            quota.map(|(requests_per_unit, unit)| RateLimitOverride { requests_per_unit, unit: unit.into() });
        let descriptor = RateLimitDescriptor { entries: entries.iter().map(entry).collect(), limit };
        RateLimitRequest { domain: "d".into(), descriptors: vec![descriptor], hits_addend: 0 }
    }

    fn window(question: &RateLimitRequest, now: u64) -> Option<Window> {
        let mut limits = Limits::default();
        limits
            .add("{ domain: d, descriptors: [{ key: k, rate_limit: { unit: hour, requests_per_unit: 7 } }] }")
            .unwrap();
        find_window(&limits, question, &question.descriptors[0], now)
    }

    #[test]
    fn windows_begin_where_the_unit_does_and_texts_cannot_pass_for_others() {
        let first = window(&question(&[("k", "v")], None), 3600 * 5 + 1).unwrap();
        assert_eq!((first.rest, first.limit.requests), (3599, Some(7)));
        let hit = first.hit.unwrap();
        assert_eq!(hit, Hit { key: "adit:1:d:1:k:1:v:3600:18000".into(), hits: 1, lives: 3605 });
        let key = |entries: &[(&str, &str)], now| {
            let quota = Some((1, RateLimitUnit::Second));
            window(&question(entries, quota), now).unwrap().hit.unwrap().key
        };
        assert_ne!(key(&[("k", "v"), ("l", "w")], 9), key(&[("k", "v:1:l:1:w")], 9));
        assert_ne!(key(&[("k", "v")], 9), key(&[("k", "v")], 10));
    }

    #[test]
    fn what_a_question_brings_goes_before_what_is_configured() {
        let brought = window(&question(&[("k", "v")], Some((3, RateLimitUnit::Minute))), 0).unwrap();
        assert_eq!((brought.limit.requests, brought.limit.unit), (Some(3), Unit::Minute));
        let unknown = window(&question(&[("k", "v")], Some((3, RateLimitUnit::Unknown))), 0).unwrap();
        assert_eq!(unknown.limit.requests, Some(7));
        assert!(window(&question(&[("other", "v")], None), 0).is_none());
    }

    #[test]
    fn questions_that_are_none_are_refused_in_words() {
        let good = question(&[("k", "v")], None);
        assert!(check(&good).is_ok());
        let many = RateLimitRequest { descriptors: vec![Default::default(); 65], ..good.clone() };
        let none = RateLimitRequest { descriptors: vec![], ..good.clone() };
        let nowhere = RateLimitRequest { domain: String::new(), ..good };
        for (question, expected) in [
            (many, "65 descriptors are too many; at most 64 are taken"),
            (none, "the question has no descriptors"),
            (nowhere, "the question has no domain"),
        ] {
            assert_eq!(check(&question).unwrap_err().message(), expected);
        }
    }
}
