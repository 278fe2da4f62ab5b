//! Lines of ztunnel's access log.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

use anyhow::Result;

use super::shop::wait;

/// The fields of one line.
pub(super) type Line = BTreeMap<String, String>;

/// Waits for a line for which `is_it` holds, and returns its fields.
pub(super) fn wait_line(log: &mut File, what: &str, is_it: impl Fn(&Line) -> bool) -> Result<Line> {
    let mut text = String::new();
    wait(what, || {
        log.read_to_string(&mut text)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let found = text[..whole].lines().map(fields).find(|line| is_it(line));
        text.drain(..whole);
        Ok(found)
    })
}

/// `name="value"` or `name=value`, separated by spaces; what else stands in the line is not looked at.
fn fields(line: &str) -> Line {
    let mut fields = Line::new();
    let mut rest = line;
    while let Some(at) = rest.find('=') {
        let name = rest[..at].rsplit([' ', '\t']).next().unwrap_or_default();
        let after = &rest[at + 1..];
        let (value, following) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(' ').unwrap_or((after, "")),
        };
        fields.insert(name.to_owned(), value.to_owned());
        rest = following;
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_in_a_line() {
        let line = "2026\tinfo\taccess\tconnection complete\tsrc.addr=1.2.3.4:5 src.identity=\"spiffe://a\" error=\"a = b\" n=1";
        let fields = fields(line);
        assert_eq!(fields["src.addr"], "1.2.3.4:5");
        assert_eq!(fields["src.identity"], "spiffe://a");
        assert_eq!(fields["error"], "a = b");
        assert_eq!(fields["n"], "1");
    }
}
