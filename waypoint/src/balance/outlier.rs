//! When an endpoint is left out, and for how long (RES-20): the rules of Envoy's outlier detection, without
//! clocks and locks.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use mesh_model::OutlierDetection;
use tokio::time::Instant;

use super::outcome::Outcome;

/// The longest time that endpoints are left out for, unless already the first is longer.
const LONGEST_EJECTION: Duration = Duration::from_secs(300);

/// Why an endpoint is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Errors,
    GatewayErrors,
    LocalOriginFailures,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Errors => "consecutive errors",
            Reason::GatewayErrors => "consecutive gateway errors",
            Reason::LocalOriginFailures => "consecutive local origin failures",
        })
    }
}

/// How many outcomes of a kind there were in a row.
#[derive(Debug, Default)]
pub(super) struct Streaks {
    errors: AtomicU32,
    gateway_errors: AtomicU32,
    local_origin_failures: AtomicU32,
}

impl Streaks {
    /// Counts an outcome. If that makes a streak as long as is allowed, it says which, and that streak begins
    /// anew.
    pub(super) fn count(&self, outcome: Outcome, detection: &OutlierDetection) -> Option<Reason> {
        let (code, local) = match outcome {
            Outcome::Answered(code) => (code, false),
            Outcome::Failed => (503, true),
            Outcome::TimedOut => (504, true),
        };
        if local && detection.split_local_origin_errors {
            let reached = lengthen(&self.local_origin_failures, detection.consecutive_local_origin_failures);
            return reached.then_some(Reason::LocalOriginFailures);
        }
        end(&self.local_origin_failures);
        if !local && !is_error(code, &detection.error_codes) {
            end(&self.errors);
            end(&self.gateway_errors);
            return None;
        }
        let gateway_errors = if matches!(code, 502..=504) {
            lengthen(&self.gateway_errors, detection.consecutive_gateway_errors)
        } else {
            end(&self.gateway_errors);
            false
        };
        if lengthen(&self.errors, detection.consecutive_errors) {
            return Some(Reason::Errors);
        }
        gateway_errors.then_some(Reason::GatewayErrors)
    }
}

fn is_error(code: u16, codes: &[u16]) -> bool {
    if codes.is_empty() { (500..600).contains(&code) } else { codes.contains(&code) }
}

/// Whether the streak is as long as is allowed now.
fn lengthen(streak: &AtomicU32, allowed: Option<u32>) -> bool {
    let length = streak.fetch_add(1, Relaxed).saturating_add(1);
    let reached = allowed.is_some_and(|allowed| allowed > 0 && length >= allowed);
    if reached {
        streak.store(0, Relaxed);
    }
    reached
}

/// Writes only where there is a streak: healthy endpoints are looked at by all workers.
fn end(streak: &AtomicU32) {
    if streak.load(Relaxed) > 0 {
        streak.store(0, Relaxed);
    }
}

/// Whether one more may be left out, where so many of all are already. One always may.
pub(super) fn may_eject(out: usize, all: usize, detection: &OutlierDetection) -> bool {
    out == 0 || (out + 1) as u64 * 100 <= u64::from(detection.max_ejection_percent) * all as u64
}

/// Whether so few are healthy that nobody is left out: none, or a share less than is asked for.
pub(super) fn is_panic(healthy: usize, all: usize, min_percent: u32) -> bool {
    healthy == 0 || (healthy as u64) * 100 < u64::from(min_percent) * all as u64
}

/// That an endpoint is left out now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ejection {
    pub(super) until: Instant,
    pub(super) reason: Reason,
}

/// How often an endpoint was left out so far.
#[derive(Debug, Default)]
pub(super) struct History {
    times: u32,
    out: Option<Ejection>,
    back_since: Option<Instant>,
}

impl History {
    pub(super) fn out(&self) -> Option<Ejection> {
        self.out
    }

    /// Leaves it out from now on, and says until when: each time as much longer, unless it was well for some
    /// intervals. Those left out are looked at in intervals from `began` on.
    pub(super) fn eject(
        &mut self,
        detection: &OutlierDetection,
        reason: Reason,
        began: Instant,
        now: Instant,
    ) -> Instant {
        let well_for = self.back_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let forgiven = intervals(well_for, detection.interval);
        self.times = self.times.saturating_sub(forgiven).saturating_add(1);
        let longest = LONGEST_EJECTION.max(detection.base_ejection_time);
        let time = detection.base_ejection_time.saturating_mul(self.times).min(longest);
        let until = next_look(now.saturating_duration_since(began) + time, detection.interval);
        let until = began.checked_add(until).unwrap_or(now + longest);
        self.out = Some(Ejection { until, reason });
        until
    }

    /// Takes it back.
    pub(super) fn take_back(&mut self, now: Instant) {
        self.out = None;
        self.back_since = Some(now);
    }
}

/// How many whole intervals there are in a time.
fn intervals(time: Duration, interval: Duration) -> u32 {
    let count = time.as_nanos().checked_div(interval.as_nanos()).unwrap_or(0);
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// The first look that is not before a time.
fn next_look(time: Duration, interval: Duration) -> Duration {
    let passed = interval.saturating_mul(intervals(time, interval));
    if passed < time && !interval.is_zero() { passed.saturating_add(interval) } else { time }
}

#[cfg(test)]
mod tests;
