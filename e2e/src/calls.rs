//! What `adit echo call --json` has printed: one answer a line.

use serde_json::Value;

/// An answer, or why there was none.
#[derive(Clone, Debug)]
pub struct Answer(Value);

/// The answers of one run of calls, or of several.
#[derive(Clone, Debug, Default)]
pub struct Calls(Vec<Answer>);

impl Answer {
    /// The status of HTTP.
    pub fn status(&self) -> Option<u64> {
        self.0["status"].as_u64()
    }

    /// The status of gRPC.
    pub fn grpc_status(&self) -> Option<u64> {
        self.0["grpcStatus"].as_u64()
    }

    /// Why there was no answer.
    pub fn error(&self) -> Option<&str> {
        self.0["error"].as_str()
    }

    /// A field of what the echo says of the request, such as `pod` or `source`.
    pub fn field(&self, name: &str) -> &str {
        self.0["answer"][name].as_str().unwrap_or_default()
    }

    /// A header of the request, as it has arrived.
    pub fn request_header(&self, name: &str) -> Option<&str> {
        self.0["answer"]["headers"][name].as_str()
    }

    /// The name that was asked for by TLS, where the request came so.
    pub fn tls_name(&self) -> Option<&str> {
        self.0["answer"]["tls"]["serverName"].as_str()
    }

    /// A header of the answer.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.0["headers"][name].as_str()
    }

    /// The body, where it is text (of TCP: the lines).
    pub fn text(&self) -> &str {
        self.0["answer"].as_str().unwrap_or_default()
    }

    /// It went through an L7 proxy, which gives every request an id.
    pub fn is_l7(&self) -> bool {
        self.request_header("x-request-id").is_some()
    }

    /// Something answered as it should: HTTP 200, gRPC 0, or TCP at all.
    pub fn is_ok(&self) -> bool {
        self.error().is_none()
            && self.status().is_none_or(|status| status == 200)
            && self.grpc_status().is_none_or(|status| status == 0)
    }
}

impl Calls {
    /// More of them.
    pub(crate) fn append(&mut self, more: Calls) {
        self.0.extend(more.0);
    }

    /// Of the lines of a log, those that are answers.
    pub fn read(text: &str) -> Self {
        Calls(text.lines().filter_map(|line| serde_json::from_str(line).ok().map(Answer)).collect())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Answer> {
        self.0.iter()
    }

    /// All of them, as they were printed.
    pub fn values(&self) -> Vec<Value> {
        self.0.iter().map(|answer| answer.0.clone()).collect()
    }

    /// Those that are not as they should be.
    pub fn failures(&self) -> Vec<&Answer> {
        self.0.iter().filter(|answer| !answer.is_ok()).collect()
    }

    /// All are as they should be.
    pub fn all_ok(&self) -> bool {
        self.failures().is_empty()
    }

    /// How many have this in a field of the answer.
    pub fn count(&self, field: &str, value: &str) -> usize {
        self.0.iter().filter(|answer| answer.field(field) == value).count()
    }
}
