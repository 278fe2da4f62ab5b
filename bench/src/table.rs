//! The table: medians over the rounds, each beside its ratio to the direct path
//! or, for cost, to the plain forwarder.

use std::fmt::Write;

use crate::load::Kind;
use crate::plan::{FIGURES, HELD, PATHS, Path, Row};

/// Markdown, so that it can be kept as it is.
pub(crate) fn of(rows: &[Row]) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "| figure | {} |", PATHS.map(|path| format!("{path:?}")).join(" | "));
    let _ = writeln!(text, "|---|{}", "---|".repeat(PATHS.len()));
    for (kind, connections, pairs) in FIGURES {
        let of = if pairs == 1 { String::new() } else { format!(" of {pairs} pairs") };
        for (name, unit, value) in figures(kind) {
            let values = PATHS.map(|path| median(rows, path, (kind, connections, pairs), value));
            let _ = writeln!(
                text,
                "| {name}, {connections} connections{of} ({unit}) | {} |",
                cells(values, name)
            );
        }
    }
    for held in [1, HELD] {
        let values = PATHS.map(|path| median(rows, path, (Kind::Hold, held, 1), |row| row.resident_mib));
        let name = if held == 1 { "idle".to_owned() } else { format!("{held} connections") };
        let _ =
            writeln!(text, "| resident, {name} (MiB, larger of the two) | {} |", cells(values, "resident"));
    }
    text
}

type Figure = (&'static str, &'static str, fn(&Row) -> f64);

fn figures(kind: Kind) -> Vec<Figure> {
    match kind {
        Kind::Stream => vec![
            ("throughput", "Gbit/s", |row| row.measured.bytes as f64 * 8e-9 / row.measured.seconds),
            ("CPU", "s/GB", |row| row.cpu_seconds * 1e9 / row.measured.bytes as f64),
        ],
        Kind::Requests => vec![
            ("requests", "k/s", |row| row.measured.requests as f64 * 1e-3 / row.measured.seconds),
            ("p50", "µs", |row| row.measured.p50_us),
            ("p99", "µs", |row| row.measured.p99_us),
            ("CPU", "µs/request", |row| row.cpu_seconds * 1e6 / row.measured.requests as f64),
        ],
        Kind::Connections => vec![
            ("new connections", "k/s", |row| row.measured.requests as f64 * 1e-3 / row.measured.seconds),
            ("CPU", "µs each", |row| row.cpu_seconds * 1e6 / row.measured.requests as f64),
            ("failed", "count", |row| row.measured.failed as f64),
        ],
        Kind::Hold => vec![],
    }
}

fn median(rows: &[Row], path: Path, figure: (Kind, usize, usize), value: fn(&Row) -> f64) -> Option<f64> {
    let of_figure = |row: &&Row| row.path == path && (row.kind, row.connections, row.pairs) == figure;
    let mut values: Vec<f64> = rows.iter().filter(of_figure).map(value).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// The direct path uses no proxy: it has no cost to compare with, the forwarder has.
fn cells(values: [Option<f64>; 4], name: &str) -> String {
    let cost = matches!(name, "CPU" | "resident");
    let reference = values[usize::from(cost)];
    let cell = |(index, value): (usize, Option<f64>)| match (value, reference) {
        (None, _) => "–".to_owned(),
        (Some(_), _) if cost && index == 0 => "–".to_owned(),
        (Some(value), Some(reference)) if reference > 0.0 => {
            format!("{value:.2} (×{:.2})", value / reference)
        }
        (Some(value), _) => format!("{value:.2}"),
    };
    values.into_iter().enumerate().map(cell).collect::<Vec<_>>().join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Measured;

    #[test]
    fn ratios_are_to_the_direct_path_and_costs_to_the_forwarder() {
        assert_eq!(
            cells([Some(10.0), Some(5.0), Some(4.0), None], "throughput"),
            "10.00 (×1.00) | 5.00 (×0.50) | 4.00 (×0.40) | –"
        );
        assert_eq!(
            cells([Some(0.0), Some(2.0), Some(1.0), None], "CPU"),
            "– | 2.00 (×1.00) | 1.00 (×0.50) | –"
        );
    }

    #[test]
    fn the_median_is_of_the_rounds_of_one_path() {
        let row = |path, bytes| Row {
            round: 1,
            path,
            kind: Kind::Stream,
            connections: 1,
            pairs: 1,
            cpu_seconds: 0.0,
            resident_mib: 0.0,
            measured: Measured { seconds: 1.0, bytes, ..Measured::default() },
        };
        let rows = [row(Path::Adit, 1), row(Path::Adit, 9), row(Path::Adit, 5), row(Path::Direct, 100)];
        let bytes: fn(&Row) -> f64 = |row| row.measured.bytes as f64;
        assert_eq!(median(&rows, Path::Adit, (Kind::Stream, 1, 1), bytes), Some(5.0));
        assert_eq!(median(&rows, Path::Adit, (Kind::Stream, 4, 1), bytes), None);
    }
}
