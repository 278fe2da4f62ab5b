//! Endpoints that are left out because they say, or show by silence, that they are not well, as far as somebody asks
//! them: what all workers know of that, and what follows from it together with what outlier detection has found.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use mesh_model::{HealthCheck, NamespacedHostname, OutlierDetection, Uid};

use super::outlier::is_panic;
use super::record::Record;

/// By service, whatever the port: an endpoint is well or it is not.
#[derive(Debug, Default)]
pub(super) struct Unwell(Mutex<HashMap<NamespacedHostname, Arc<HashSet<Uid>>>>);

impl Unwell {
    /// Those of a service, in place of what was said before.
    pub(super) fn put(&self, service: &NamespacedHostname, unwell: HashSet<Uid>) {
        let mut services = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match unwell.is_empty() {
            true => services.remove(service),
            false => services.insert(service.clone(), Arc::new(unwell)),
        };
    }

    pub(super) fn of(&self, service: &NamespacedHostname) -> Arc<HashSet<Uid>> {
        let services = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        services.get(service).cloned().unwrap_or_default()
    }
}

/// Says of members that come with whether they are ejected, whether they are left out: those too and those who are not
/// well, unless so few are left that others are taken back.
pub(super) fn leave_out(
    members: &mut [(Arc<Record>, bool)],
    detection: Option<&OutlierDetection>,
    check: Option<(&HealthCheck, &HashSet<Uid>)>,
) {
    let is_unwell = |record: &Record| check.is_some_and(|(_, unwell)| unwell.contains(&record.uid));
    let (left, all) =
        (members.iter().filter(|(it, is_out)| !is_out && !is_unwell(it)).count(), members.len());
    let keeps_up = |(check, _): (&HealthCheck, _)| check.panic_percent > 0;
    let all_are_used =
        check.filter(|it| keeps_up(*it)).is_some_and(|(check, _)| is_panic(left, all, check.panic_percent));
    let ejected_are_used =
        all_are_used || detection.is_some_and(|detection| is_panic(left, all, detection.min_health_percent));
    for (record, is_out) in members {
        *is_out = (*is_out && !ejected_are_used) || (is_unwell(record) && !all_are_used);
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use mesh_model::Probe;
    use tokio::time::Instant;

    use super::*;

    /// Members `e0` and so on; `+` is well, `-` unwell, `x` ejected, `X` both. Who is left out then.
    fn left_out(members: &str, panic_percent: u32, min_health_percent: u32) -> String {
        let record = |at: usize| {
            let address = SocketAddr::from(([10, 0, 0, at as u8], 80));
            Arc::new(Record::new(Uid::from(&*format!("e{at}")), address, Instant::now()))
        };
        let mut all: Vec<_> =
            members.chars().enumerate().map(|(at, it)| (record(at), matches!(it, 'x' | 'X'))).collect();
        let unwell = members.chars().enumerate().filter(|(_, it)| matches!(it, '-' | 'X'));
        let unwell: HashSet<Uid> = unwell.map(|(at, _)| Uid::from(&*format!("e{at}"))).collect();
        let check = HealthCheck {
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            healthy_threshold: 1,
            unhealthy_threshold: 1,
            panic_percent,
            port: 80,
            probe: Probe::Tcp,
        };
        let detection = OutlierDetection {
            interval: Duration::from_secs(1),
            base_ejection_time: Duration::from_secs(1),
            max_ejection_percent: 100,
            min_health_percent,
            consecutive_gateway_errors: None,
            consecutive_errors: Some(1),
            consecutive_local_origin_failures: None,
            split_local_origin_errors: false,
            error_codes: Vec::new(),
        };
        leave_out(&mut all, Some(&detection), Some((&check, &unwell)));
        all.iter().map(|(_, is_out)| if *is_out { 'o' } else { '.' }).collect()
    }

    #[test]
    fn who_is_unwell_or_ejected_is_left_out_until_too_few_are_left() {
        for (members, panic, min_health, expected) in [
            ("++++", 50, 0, "...."),
            ("-+++", 50, 0, "o..."),
            ("--++", 50, 0, "oo.."),
            ("---+", 50, 0, "...."),
            ("---+", 0, 0, "ooo."),
            ("----", 50, 0, "...."),
            ("----", 1, 0, "...."),
            ("----", 0, 0, "oooo"),
            ("x-++", 50, 0, "oo.."),
            ("xx-+", 50, 0, "...."),
            // Only those who are ejected come back where nobody is left and checks decide to the end.
            ("xx--", 0, 0, "..oo"),
            ("xX--", 0, 0, ".ooo"),
            ("x-++", 0, 60, ".o.."),
            ("", 50, 0, ""),
        ] {
            assert_eq!(left_out(members, panic, min_health), expected, "{members} {panic}% {min_health}%");
        }
    }
}
