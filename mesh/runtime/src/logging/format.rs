//! One line per event: `time, level, scope[:span{fields}], message, key=value …` by tabs,
//! or an object. Whatever a value holds, the line stays one line.

use std::fmt::{self, Write};

use time::OffsetDateTime;
use time::macros::format_description;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use super::Format;
use super::levels::scope_of;

/// Longer values are cut.
const LONGEST_VALUE: usize = 16 * 1024;

/// Writes events.
pub(super) struct Lines(pub(super) Format);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let time = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
        let time = OffsetDateTime::now_utc().format(time).map_err(|_| fmt::Error)?;
        let level = level_name(*event.metadata().level());
        let mut scope = scope_of(event.metadata().target()).to_owned();
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            write!(scope, ":{}", span.name())?;
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>().filter(|f| !f.is_empty()) {
                write!(OneLine::new(&mut scope, self.0 == Format::Plain), "{{{fields}}}")?;
            }
        }
        let mut fields =
            Fields { json: self.0 == Format::Json, message: String::new(), others: String::new() };
        event.record(&mut fields);
        match self.0 {
            Format::Plain => {
                write!(out, "{time}\t{level}\t{scope}\t{}", fields.message)?;
                if !fields.others.is_empty() {
                    write!(out, "\t{}", fields.others.trim_start())?;
                }
            }
            Format::Json => {
                let message = if fields.message.is_empty() { "\"\"" } else { &fields.message };
                write!(out, "{{\"level\":\"{level}\",\"time\":\"{time}\",\"scope\":")?;
                write_json_text(&mut out, &scope)?;
                write!(out, ",\"message\":{message}{}}}", fields.others)?;
            }
        }
        writeln!(out)
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// An event's fields, written the way the line wants them.
struct Fields {
    json: bool,
    message: String,
    others: String,
}

impl Fields {
    /// A value whose plain and JSON forms are the same.
    fn add_bare(&mut self, field: &Field, value: impl fmt::Display) {
        // Writing to a string does not fail.
        let _ = match self.json {
            true => write!(self.others, ",\"{}\":{value}", field.name()),
            false => write!(self.others, " {}={value}", field.name()),
        };
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        let _ = write!(OneLine::new(&mut text, !self.json), "{value:?}");
        if self.json {
            let mut quoted = String::new();
            let _ = write_json_text(&mut quoted, &text);
            text = quoted;
        }
        match field.name() {
            "message" => self.message = text,
            _ => self.add_bare(field, text),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match (field.name(), self.json) {
            ("message", _) | (_, true) => self.record_debug(field, &format_args!("{value}")),
            // In quotes, so that a reader cannot take a part of it for another field.
            (_, false) => self.record_debug(field, &value),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add_bare(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add_bare(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add_bare(field, value);
    }
}

fn write_json_text(out: &mut impl Write, text: &str) -> fmt::Result {
    out.write_str(&serde_json::to_string(text).map_err(|_| fmt::Error)?)
}

/// Cuts what is too long and, unless JSON does it later, escapes what would end the line or its column.
struct OneLine<'a> {
    out: &'a mut String,
    escape: bool,
    left: usize,
    cut: bool,
}

impl<'a> OneLine<'a> {
    fn new(out: &'a mut String, escape: bool) -> Self {
        OneLine { out, escape, left: LONGEST_VALUE, cut: false }
    }
}

impl Write for OneLine<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match self.left.checked_sub(character.len_utf8()) {
                _ if self.cut => return Ok(()),
                None => {
                    self.out.push('…');
                    self.cut = true;
                    return Ok(());
                }
                Some(left) => self.left = left,
            }
            if self.escape && character.is_control() {
                self.out.extend(character.escape_default());
            } else {
                self.out.push(character);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
