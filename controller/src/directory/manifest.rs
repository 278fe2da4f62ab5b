//! One file of manifests: text in, objects and problems out; pure.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use controller_translate::objects::{find_unknown_fields, validate};
use controller_translate::{Kind, KindError, Object, ObjectKey};
use serde_json::Value;
use serde_saphyr::{Options, UserMessageFormatter};

use super::located::Located;
use super::problem::{Problem, Severity};

/// No file is larger; who reads one for [`read`] refuses more.
pub const MAX_FILE: u64 = 8 << 20;
/// No document is larger.
const MAX_DOCUMENT: usize = 1 << 20;
/// After so many problems a file's other documents are not looked at.
const MAX_PROBLEMS: usize = 20;

/// An object as it was found.
#[derive(Debug, PartialEq)]
pub struct Found {
    /// Its name.
    pub key: ObjectKey,
    /// The whole document.
    pub value: Value,
    /// Where it was found.
    pub file: Arc<PathBuf>,
    /// The line it begins on.
    pub line: u64,
}

/// What a file holds.
#[derive(Debug, Default)]
pub struct Manifest {
    /// What can be used of it.
    pub objects: Vec<Arc<Found>>,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
}

impl Manifest {
    /// Whether something that should be an object is none.
    pub fn is_broken(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Broken)
    }

    /// A file that cannot be read at all.
    pub(super) fn unreadable(file: &Arc<PathBuf>, message: String) -> Self {
        let mut manifest = Manifest::default();
        manifest.report(Severity::Broken, file, None, String::new(), message);
        manifest
    }

    fn report(
        &mut self,
        severity: Severity,
        file: &Arc<PathBuf>,
        line: Option<u64>,
        field: String,
        message: String,
    ) {
        self.problems.push(Problem { severity, file: file.clone(), line, field, message });
    }
}

/// Reads a file's text.
pub fn read(file: &Arc<PathBuf>, text: &str) -> Manifest {
    let mut reading = Reading { manifest: Manifest::default(), file: file.clone(), offset: 0 };
    for (offset, range) in documents(text) {
        if reading.manifest.problems.len() >= MAX_PROBLEMS {
            reading.broken(
                1,
                String::new(),
                "too many problems; the rest of the file was not looked at".into(),
            );
            break;
        }
        reading.offset = offset;
        reading.document(&text[range]);
    }
    reading.manifest
}

/// The documents of a file: the number of lines before each and where it is.
/// Only a line that begins with `---` separates them (a block scalar is indented).
fn documents(text: &str) -> Vec<(u64, Range<usize>)> {
    let mut documents = Vec::new();
    let (mut start, mut first_line, mut position) = (0, 0, 0);
    for (line, content) in (0..).zip(text.split_inclusive('\n')) {
        let separates = content
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_whitespace()));
        if separates && position > start {
            documents.push((first_line, start..position));
            (start, first_line) = (position, line);
        }
        position += content.len();
    }
    documents.push((first_line, start..position));
    documents
}

struct Reading {
    manifest: Manifest,
    file: Arc<PathBuf>,
    /// Lines before the document.
    offset: u64,
}

impl Reading {
    fn document(&mut self, text: &str) {
        let nothing = |line: &str| {
            let line = line.trim();
            line.is_empty() || line == "---" || line.starts_with(['#', '%'])
        };
        if text.lines().all(nothing) {
            return;
        }
        if text.len() > MAX_DOCUMENT {
            let size = text.len();
            let message = format!("a document of {size} bytes; at most {MAX_DOCUMENT} are read, so split it");
            return self.broken(1, String::new(), message);
        }
        let located = match serde_saphyr::from_str_with_options::<Located>(text, options()) {
            Ok(located) => located,
            Err(error) => {
                let error = error.without_snippet();
                let line = error.location().map_or(1, |location| location.line().max(1));
                return self.broken(line, String::new(), describe(error));
            }
        };
        self.value(&located, located.to_value(), String::new());
    }

    /// One object, or a list of them. `path` leads to it from the document's root.
    fn value(&mut self, located: &Located, mut value: Value, path: String) {
        let line = located.find_line(&path);
        let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let (Some(version), Some(kind)) = (text(&value, "apiVersion"), text(&value, "kind")) else {
            let message = "apiVersion or kind is missing or not a text; every object needs both";
            return self.broken(line, path, message.into());
        };
        if kind.ends_with("List")
            && let Some(Value::Array(items)) = value.get_mut("items").map(Value::take)
        {
            if !path.is_empty() {
                return self.broken(line, path, "a list inside a list".into());
            }
            for (index, mut item) in items.into_iter().enumerate() {
                inherit_kind(&mut item, &version, &kind);
                self.value(located, item, format!("items[{index}]"));
            }
            return;
        }
        match Kind::find(&version, &kind) {
            Ok(kind) => self.object(located, kind, value, &path),
            Err(error @ KindError::Unused { .. }) => {
                self.report(Severity::Notice, line, String::new(), error.to_string())
            }
            Err(error) => self.report(Severity::Skipped, line, String::new(), error.to_string()),
        }
    }

    fn object(&mut self, located: &Located, kind: Kind, value: Value, path: &str) {
        let at = |field: &str| match (path, field) {
            (path, "" | ".") => path.to_owned(),
            ("", field) => field.to_owned(),
            (path, field) => format!("{path}.{field}"),
        };
        let object = match parse(kind, &value) {
            Ok(object) => object,
            Err((field, message)) => {
                let field = at(&field);
                return self.broken(located.find_line(&field), field, message);
            }
        };
        if object.metadata().name.as_deref().unwrap_or_default().is_empty() {
            let field = at("metadata.name");
            return self.broken(
                located.find_line(&field),
                field,
                "is missing; every object needs a name".into(),
            );
        }
        let invalid = validate(&object);
        for invalid in &invalid {
            let field = at(&invalid.field);
            self.broken(located.find_line(&field), field, invalid.reason.clone());
        }
        if !invalid.is_empty() {
            return;
        }
        for field in find_unknown_fields(&value, &object) {
            let field = at(&field);
            let message = format!("{kind} has no such field; it is ignored");
            self.report(Severity::Notice, located.find_line(&field), field, message);
        }
        let (file, line) = (self.file.clone(), self.offset + located.find_line(path));
        self.manifest.objects.push(Arc::new(Found { key: object.key(), value, file, line }));
    }

    fn broken(&mut self, line: u64, field: String, message: String) {
        self.report(Severity::Broken, line, field, message);
    }

    fn report(&mut self, severity: Severity, line: u64, field: String, message: String) {
        let file = self.file.clone();
        self.manifest.report(severity, &file, Some(self.offset + line), field, message);
    }
}

/// The object in a value, or the field that prevents it and why.
pub(crate) fn parse(kind: Kind, value: &Value) -> Result<Object, (String, String)> {
    let mut track = serde_path_to_error::Track::new();
    let deserializer = serde_path_to_error::Deserializer::new(value.clone(), &mut track);
    Object::deserialize_as(kind, deserializer).map_err(|error| {
        let error: serde_json::Error = error;
        (track.path().to_string(), error.to_string())
    })
}

/// In a `PodList` the items need not say that they are Pods; in a `List` they do.
fn inherit_kind(item: &mut Value, version: &str, list_kind: &str) {
    let kind = list_kind.strip_suffix("List").filter(|kind| !kind.is_empty());
    if let (Value::Object(fields), Some(kind)) = (item, kind) {
        fields.entry("apiVersion").or_insert_with(|| version.into());
        fields.entry("kind").or_insert_with(|| kind.into());
    }
}

/// Aliases may not blow a document up, and nothing may nest or count beyond reason.
fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_documents: 1,
            max_events: 400_000,
            max_nodes: 200_000,
            max_depth: 48,
            max_anchors: 256,
            max_aliases: 4096,
            max_recorded_anchor_events: 100_000,
            max_recorded_anchor_bytes: MAX_DOCUMENT,
            max_total_scalar_bytes: 4 * MAX_DOCUMENT,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 100_000,
            max_replay_stack_depth: 16,
            max_alias_expansions_per_anchor: 1024,
        },
        legacy_octal_numbers: true,
        with_snippet: false,
    }
}

fn describe(error: &serde_saphyr::Error) -> String {
    let text = error.render_with_formatter(&UserMessageFormatter);
    // The place is reported on its own.
    let text = text.lines().next().unwrap_or_default();
    let text = text.split(" at line ").next().unwrap_or(text);
    if text.contains("too large or too complex") || text.contains("recursion limit") {
        return "too many or too deeply nested values; split the document or write its aliases out"
            .to_owned();
    }
    text.to_owned()
}

#[cfg(test)]
mod tests;
