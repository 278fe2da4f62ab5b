//! The format of `pprof`: <https://github.com/google/pprof/blob/main/proto/profile.proto>.
//! Every text is an index into a table, every function and place is written once.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use prost::Message;

/// What was sampled.
pub(super) struct Profile {
    pub(super) samples: Vec<Sample>,
    /// Samples in each second of CPU time.
    pub(super) frequency: i64,
    pub(super) began: SystemTime,
    pub(super) lasted: Duration,
}

/// One stack, and how often it was met.
pub(super) struct Sample {
    pub(super) thread: String,
    /// The innermost call first; of a call with inlined ones in it, the innermost of these.
    pub(super) calls: Vec<Vec<Frame>>,
    pub(super) count: i64,
}

/// A place in a function.
pub(super) struct Frame {
    /// As its author wrote it.
    pub(super) function: String,
    /// As the linker knows it.
    pub(super) symbol: String,
    pub(super) file: String,
    pub(super) line: i64,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub(super) struct ValueType {
    #[prost(int64, tag = "1")]
    pub(super) kind: i64,
    #[prost(int64, tag = "2")]
    pub(super) unit: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WireProfile {
    #[prost(message, repeated, tag = "1")]
    pub(super) sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    pub(super) sample: Vec<WireSample>,
    #[prost(message, repeated, tag = "4")]
    pub(super) location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    pub(super) function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    pub(super) string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    pub(super) time_nanos: i64,
    #[prost(int64, tag = "10")]
    pub(super) duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    pub(super) period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    pub(super) period: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WireSample {
    #[prost(uint64, repeated, tag = "1")]
    pub(super) location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    pub(super) value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    pub(super) label: Vec<Label>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub(super) struct Label {
    #[prost(int64, tag = "1")]
    pub(super) key: i64,
    #[prost(int64, tag = "2")]
    pub(super) text: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Location {
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    #[prost(message, repeated, tag = "4")]
    pub(super) line: Vec<Line>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub(super) struct Line {
    #[prost(uint64, tag = "1")]
    pub(super) function_id: u64,
    #[prost(int64, tag = "2")]
    pub(super) line: i64,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub(super) struct Function {
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    #[prost(int64, tag = "2")]
    pub(super) name: i64,
    #[prost(int64, tag = "3")]
    pub(super) system_name: i64,
    #[prost(int64, tag = "4")]
    pub(super) filename: i64,
}

/// Numbers what is written once.
#[derive(Default)]
struct Tables {
    texts: HashMap<String, i64>,
    functions: HashMap<(i64, i64, i64), u64>,
    locations: HashMap<Vec<Line>, u64>,
    wire: WireProfile,
}

impl Profile {
    /// As it is sent.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut tables = Tables::default();
        // The first text has to be empty.
        tables.text("");
        let counted = ValueType { kind: tables.text("samples"), unit: tables.text("count") };
        let timed = ValueType { kind: tables.text("cpu"), unit: tables.text("nanoseconds") };
        let period = 1_000_000_000 / self.frequency.max(1);
        for sample in &self.samples {
            let location_id = sample.calls.iter().map(|call| tables.location(call)).collect();
            let label = Label { key: tables.text("thread"), text: tables.text(&sample.thread) };
            let value = vec![sample.count, sample.count.saturating_mul(period)];
            tables.wire.sample.push(WireSample { location_id, value, label: vec![label] });
        }
        let nanos = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        let wire = WireProfile {
            sample_type: vec![counted, timed],
            time_nanos: self.began.duration_since(SystemTime::UNIX_EPOCH).map_or(0, nanos),
            duration_nanos: nanos(self.lasted),
            period_type: Some(timed),
            period,
            ..tables.wire
        };
        wire.encode_to_vec()
    }
}

impl Tables {
    fn text(&mut self, text: &str) -> i64 {
        if let Some(index) = self.texts.get(text) {
            return *index;
        }
        // As long as the table, which no address space lets outgrow the type.
        let index = self.wire.string_table.len() as i64;
        self.wire.string_table.push(text.to_owned());
        self.texts.insert(text.to_owned(), index);
        index
    }

    fn location(&mut self, call: &[Frame]) -> u64 {
        let line: Vec<Line> = call.iter().map(|frame| self.line(frame)).collect();
        // Numbers begin with one: zero is none.
        let id = self.locations.len() as u64 + 1;
        if let Some(known) = self.locations.get(&line) {
            return *known;
        }
        self.wire.location.push(Location { id, line: line.clone() });
        self.locations.insert(line, id);
        id
    }

    fn line(&mut self, frame: &Frame) -> Line {
        let (name, system_name) = (self.text(&frame.function), self.text(&frame.symbol));
        let filename = self.text(&frame.file);
        let id = self.functions.len() as u64 + 1;
        let known = *self.functions.entry((name, system_name, filename)).or_insert(id);
        if known == id {
            self.wire.function.push(Function { id, name, system_name, filename });
        }
        Line { function_id: known, line: frame.line }
    }
}
