//! New endpoints get their share step by step, so that they can fill their caches first.

use std::time::Duration;

use mesh_model::Warmup;

/// A weight of 1, in the parts that warming endpoints get less of.
pub(super) const WHOLE: u64 = 1000;
/// How many steps there are, unless that were many a second.
const STEPS: u32 = 50;
const SHORTEST_STEP: Duration = Duration::from_millis(100);

/// The weight that an endpoint has at an age, in parts of [`WHOLE`].
pub(super) fn weight_at(warmup: &Warmup, weight: u64, age: Duration) -> u64 {
    let whole = weight.saturating_mul(WHOLE);
    if is_over(warmup, age) {
        return whole;
    }
    let passed = age.as_secs_f64() / warmup.duration.as_secs_f64();
    let aggression = if warmup.aggression > 0.0 { warmup.aggression } else { 1.0 };
    let least = (warmup.minimum_percent / 100.0).clamp(0.0, 1.0);
    let share = passed.powf(1.0 / aggression).max(least);
    // A share of at most 1, so it fits; nobody is without any.
    ((whole as f64 * share).round() as u64).clamp(1, whole.max(1))
}

/// Whether an endpoint of this age is no longer new.
pub(super) fn is_over(warmup: &Warmup, age: Duration) -> bool {
    age >= warmup.duration
}

/// How long weights may stay as they are.
pub(super) fn step(warmup: &Warmup) -> Duration {
    (warmup.duration / STEPS).max(SHORTEST_STEP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_grows_from_the_minimum_to_all() {
        let warmup = |minimum_percent, aggression| Warmup {
            duration: Duration::from_secs(100),
            minimum_percent,
            aggression,
        };
        for (minimum, aggression, seconds, expected) in [
            (10.0, 1.0, 0, 200),
            (10.0, 1.0, 5, 200),
            (10.0, 1.0, 50, 1000),
            (10.0, 1.0, 99, 1980),
            (10.0, 1.0, 100, 2000),
            (10.0, 1.0, 9999, 2000),
            (10.0, 2.0, 25, 1000),
            (0.0, 0.5, 50, 500),
            (0.0, 1.0, 0, 1),
            (0.0, -3.0, 50, 1000),
            (100.0, 1.0, 0, 2000),
        ] {
            let weight = weight_at(&warmup(minimum, aggression), 2, Duration::from_secs(seconds));
            assert_eq!(weight, expected, "{minimum} % ^ 1/{aggression} after {seconds} s");
        }
        let none = Warmup { duration: Duration::ZERO, ..warmup(10.0, 1.0) };
        assert_eq!(weight_at(&none, 3, Duration::ZERO), 3000);
        assert_eq!(step(&warmup(10.0, 1.0)), Duration::from_secs(2));
    }
}
