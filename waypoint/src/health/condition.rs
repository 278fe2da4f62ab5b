//! How an endpoint is, by the answers it has given: without clocks and locks.

use std::fmt;

use mesh_model::HealthCheck;

/// How an endpoint is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Health {
    /// It has not been asked yet, and is used as if it were well.
    #[default]
    Unchecked,
    Healthy,
    Unhealthy,
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Health::Unchecked => "unchecked",
            Health::Healthy => "healthy",
            Health::Unhealthy => "unhealthy",
        })
    }
}

/// How an endpoint is, and how many answers in a row speak against that.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Condition {
    pub(super) health: Health,
    contrary: u32,
}

impl Condition {
    /// Counts an answer, and says whether the endpoint is in another condition by it. The first answer decides alone:
    /// nothing is known that it could contradict.
    pub(super) fn count(&mut self, good: bool, check: &HealthCheck) -> bool {
        let (agrees, threshold) = match self.health {
            Health::Unchecked => (false, 1),
            Health::Healthy => (good, check.unhealthy_threshold),
            Health::Unhealthy => (!good, check.healthy_threshold),
        };
        if agrees {
            self.contrary = 0;
            return false;
        }
        self.contrary = self.contrary.saturating_add(1);
        let changes = self.contrary >= threshold;
        if changes {
            let health = if good { Health::Healthy } else { Health::Unhealthy };
            *self = Condition { health, contrary: 0 };
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mesh_model::Probe;

    use super::*;

    /// How an endpoint is after each answer, `+` being a good one.
    fn course(answers: &str, healthy_threshold: u32, unhealthy_threshold: u32) -> String {
        let check = HealthCheck {
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            healthy_threshold,
            unhealthy_threshold,
            panic_percent: 50,
            port: 80,
            probe: Probe::Tcp,
        };
        let mut condition = Condition::default();
        let after = answers.chars().map(|answer| {
            let before = condition.health;
            let changed = condition.count(answer == '+', &check);
            assert_eq!(changed, condition.health != before);
            if condition.health == Health::Healthy { 'h' } else { 'u' }
        });
        after.collect()
    }

    #[test]
    fn the_first_answer_decides_and_then_thresholds_do() {
        for (answers, healthy, unhealthy, expected) in [
            ("+", 3, 3, "h"),
            ("-", 3, 3, "u"),
            ("+---+++", 1, 3, "hhhuhhh"),
            ("+--+--+---", 1, 3, "hhhhhhhhhu"),
            ("-+-++-", 2, 1, "uuuuhu"),
            ("+-+-+-", 1, 1, "huhuhu"),
        ] {
            assert_eq!(course(answers, healthy, unhealthy), expected, "{answers} {healthy} {unhealthy}");
        }
    }
}
