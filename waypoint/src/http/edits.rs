//! Changes of headers that are made as a request is carried out; those that would change what a message is are not made.

use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};

use super::headers::is_framing;

/// Changes, in their order.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Edits(Vec<Edit>);

#[derive(Debug, PartialEq)]
enum Edit {
    Remove(HeaderName),
    Write(How, HeaderName, HeaderValue),
}

/// What becomes of the values that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Append,
    Replace,
    OnlyIfAbsent,
    OnlyIfPresent,
}

impl Edits {
    /// Names and values that are none are passed over, and so are the host and how messages are framed.
    pub(crate) fn write(&mut self, how: How, name: &str, value: &[u8]) {
        let value = HeaderValue::from_bytes(value).ok();
        if let (Some(name), Some(value)) = (editable(name), value) {
            self.0.push(Edit::Write(how, name, value));
        }
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.0.extend(editable(name).map(Edit::Remove));
    }

    /// Those of another come after.
    pub(crate) fn extend(&mut self, later: Edits) {
        self.0.extend(later.0);
    }

    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        for edit in &self.0 {
            match edit {
                Edit::Remove(name) => drop(headers.remove(name)),
                Edit::Write(How::OnlyIfAbsent, name, _) if headers.contains_key(name) => {}
                Edit::Write(How::OnlyIfPresent, name, _) if !headers.contains_key(name) => {}
                Edit::Write(How::Append, name, value) => drop(headers.append(name, value.clone())),
                Edit::Write(_, name, value) => drop(headers.insert(name, value.clone())),
            }
        }
    }
}

/// Pseudo-headers are no names of headers, so nobody changes them either.
pub(crate) fn editable(name: &str) -> Option<HeaderName> {
    let name: HeaderName = name.parse().ok()?;
    (name != HOST && !is_framing(&name)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(edits: &Edits, before: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut headers: HeaderMap = HeaderMap::new();
        for (name, value) in before {
            headers.append(*name, HeaderValue::from_static(value));
        }
        edits.apply(&mut headers);
        let mut all: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap())).collect();
        all.sort();
        all
    }

    #[test]
    fn az_each_way_to_write_a_header() {
        for (how, with, without) in [
            (How::Append, &["x=new", "x=old"][..], &["x=new"][..]),
            (How::Replace, &["x=new"], &["x=new"]),
            (How::OnlyIfAbsent, &["x=old"], &["x=new"]),
            (How::OnlyIfPresent, &["x=new"], &[]),
        ] {
            let mut edits = Edits::default();
            edits.write(how, "X", b"new");
            assert_eq!(after(&edits, &[("x", "old")]), with, "{how:?}");
            assert_eq!(after(&edits, &[]), without, "{how:?}");
        }
    }

    #[test]
    fn sec_what_a_message_is_cannot_be_changed() {
        let mut edits = Edits::default();
        for name in ["host", ":authority", ":path", "content-length", "transfer-encoding", "te", "a b", ""] {
            edits.write(How::Replace, name, b"x");
            edits.remove(name);
        }
        edits.write(How::Replace, "x-broken", b"a\nb");
        assert_eq!(edits, Edits::default());
    }
}
