//! Events in, lines out.

use std::io;
use std::sync::{Arc, Mutex};

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

use super::*;

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Captured;

    fn make_writer(&'a self) -> Captured {
        self.clone()
    }
}

fn lines(format: Format, events: impl FnOnce()) -> Vec<String> {
    let captured = Captured::default();
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .event_format(Lines(format))
        .with_writer(captured.clone());
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), events);
    let bytes = captured.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
}

fn without_time(line: &str) -> &str {
    let (time, rest) = line.split_once('\t').unwrap();
    assert_eq!(time.len(), "2026-01-01T00:00:00.000000Z".len(), "{time}");
    assert!(time.ends_with('Z') && time.as_bytes()[10] == b'T', "{time}");
    rest
}

#[test]
fn tel_11_plain_line() {
    let lines = lines(Format::Plain, || {
        let address = "10.0.0.1:80";
        tracing::event!(target: "access", Level::INFO, src.addr = %address, src.workload = "web v1", bytes_sent = 11, "connection complete");
        tracing::warn!(target: "ztunnel::inbound::accept", "nothing else");
    });
    assert_eq!(
        without_time(&lines[0]),
        "info\taccess\tconnection complete\tsrc.addr=10.0.0.1:80 src.workload=\"web v1\" bytes_sent=11"
    );
    assert_eq!(without_time(&lines[1]), "warn\tinbound::accept\tnothing else");
}

#[test]
fn tel_11_span_stands_behind_the_scope() {
    let lines = lines(Format::Plain, || {
        let span = tracing::info_span!("pod", uid = 7);
        let _entered = span.enter();
        tracing::error!(target: "mesh_xds::client", "lost");
    });
    assert_eq!(without_time(&lines[0]), "error\txds::client:pod{uid=7}\tlost");
}

#[test]
fn tel_23_json_line() {
    let lines = lines(Format::Json, || {
        tracing::debug!(target: "access", error = "a \"quoted\" text", open = true, n = -3, took = ?"x", "hello\tyou");
    });
    let value: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    for (key, expected) in [
        ("level", serde_json::json!("debug")),
        ("scope", serde_json::json!("access")),
        ("message", serde_json::json!("hello\tyou")),
        ("error", serde_json::json!("a \"quoted\" text")),
        ("open", serde_json::json!(true)),
        ("n", serde_json::json!(-3)),
        ("took", serde_json::json!("\"x\"")),
    ] {
        assert_eq!(value[key], expected, "{key}");
    }
    assert!(value["time"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn sec_no_value_starts_a_line_of_its_own() {
    let evil = "a\nfake\tinfo\r\u{1b}[31m";
    for format in [Format::Plain, Format::Json] {
        let lines = lines(format, || tracing::info!(path = %evil, other = evil, "{evil}"));
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(!lines[0].contains('\u{1b}') && !lines[0].contains('\r'));
    }
}

#[test]
fn sec_a_value_without_end_is_cut() {
    let long = "x".repeat(10 * LONGEST_VALUE);
    let lines = lines(Format::Plain, || tracing::info!(path = %long, "m"));
    assert!(lines[0].len() < LONGEST_VALUE + 100);
    assert!(lines[0].ends_with('…'));
}
