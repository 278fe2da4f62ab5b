//! The table: medians of the rounds, each beside its ratio to HAProxy's.

use std::fmt::Write;

use super::rounds::LOADS;
use super::routes::COUNTS;
use super::size::{ENDPOINTS, ROUTES, SERVICES};
use super::{PATHS, Path, Row, Subject};

type Value = fn(&Row) -> f64;

/// Markdown, so that it can be kept as it is.
pub(super) fn of(rows: &[Row]) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "| figure | {} |", PATHS.map(|path| format!("{path:?}")).join(" | "));
    let _ = writeln!(text, "|---|{}", "---|".repeat(PATHS.len()));
    for (version, at_once) in LOADS {
        let subject = Subject::Requests { version, at_once };
        let figures: [(&str, Value, &[Path]); 4] = [
            ("requests (k/s)", |row| row.measured.requests as f64 * 1e-3 / row.measured.seconds, &PATHS),
            ("p50 (µs)", |row| row.measured.p50_us, &PATHS),
            ("p99 (µs)", |row| row.measured.p99_us, &PATHS),
            ("CPU (µs/request)", |row| row.cpu_seconds * 1e6 / row.measured.requests as f64, &PATHS[1..]),
        ];
        for (name, value, paths) in figures {
            let cells = cells(rows, subject, value, paths);
            let _ = writeln!(text, "| {version:?}, {at_once} at once: {name} | {cells} |");
        }
    }
    let cells_of_memory = cells(rows, Subject::Idle, |row| row.resident_mib, &PATHS[1..]);
    let _ = writeln!(text, "| resident, idle (MiB) | {cells_of_memory} |");
    alone(&mut text, rows);
    text
}

/// What is measured of our waypoint only.
fn alone(text: &mut String, rows: &[Row]) {
    let many =
        format!("{SERVICES} services, {} endpoints, {} routes", SERVICES * ENDPOINTS, SERVICES * ROUTES);
    let mut line = |name: String, value: Option<f64>| {
        if let Some(value) = value {
            let _ = writeln!(text, "| {name} | – | {value:.1} | – | – | – |");
        }
    };
    for count in COUNTS {
        let value = median(rows, Path::Adit, Subject::Routes(count), |row| row.measured.p50_us);
        line(format!("p50, the last of {count} routes (µs)"), value);
        let cpu: Value = |row| row.cpu_seconds * 1e6 / row.measured.requests as f64;
        line(
            format!("CPU, the last of {count} routes (µs/request)"),
            median(rows, Path::Adit, Subject::Routes(count), cpu),
        );
    }
    let memory = |subject| median(rows, Path::Adit, subject, |row| row.resident_mib);
    line(format!("resident, {many} (MiB)"), memory(Subject::Crowd));
    let beside = format!("resident, {many}, and {} of one service (MiB)", COUNTS[1]);
    line(beside, memory(Subject::CrowdAndMany));
    let took = median(rows, Path::Adit, Subject::Change, |row| row.measured.p50_us * 1e-3);
    line(format!("a route change shows, {many} (ms)"), took);
}

fn cells(rows: &[Row], subject: Subject, value: Value, paths: &[Path]) -> String {
    let reference = median(rows, Path::Haproxy, subject, value);
    let cell = |path: Path| match (median(rows, path, subject, value), reference) {
        _ if !paths.contains(&path) => "–".to_owned(),
        (None, _) => "–".to_owned(),
        (Some(value), Some(reference)) if reference > 0.0 => {
            format!("{value:.1} (×{:.2})", value / reference)
        }
        (Some(value), _) => format!("{value:.1}"),
    };
    PATHS.map(cell).join(" | ")
}

fn median(rows: &[Row], path: Path, subject: Subject, value: Value) -> Option<f64> {
    let of_path = rows.iter().filter(|row| row.path == path && row.subject == subject);
    let mut values: Vec<f64> = of_path.map(value).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::Version;
    use crate::load::Measured;

    const SUBJECT: Subject = Subject::Requests { version: Version::Http1, at_once: 1 };

    fn row(path: Path, p50_us: f64) -> Row {
        let measured = Measured { p50_us, ..Measured::default() };
        Row { measured, ..Row::memory(path, SUBJECT, 0.0) }
    }

    #[test]
    fn ratios_are_to_haproxy_and_medians_of_one_path() {
        let rows = [
            row(Path::Adit, 10.0),
            row(Path::Adit, 90.0),
            row(Path::Adit, 30.0),
            row(Path::Haproxy, 20.0),
            row(Path::Direct, 5.0),
        ];
        let value: Value = |row| row.measured.p50_us;
        assert_eq!(cells(&rows, SUBJECT, value, &PATHS), "5.0 (×0.25) | 30.0 (×1.50) | – | 20.0 (×1.00) | –");
        assert_eq!(cells(&rows, SUBJECT, value, &PATHS[1..]), "– | 30.0 (×1.50) | – | 20.0 (×1.00) | –");
        assert_eq!(median(&rows, Path::Adit, Subject::Idle, value), None);
    }
}
