//! Claims of tokens in the matches of a VirtualService: `@request.auth.claims.a.b`, or with brackets where a name has
//! dots, `@request.auth.claims[a.b][c]` (L7-28).

use std::sync::Arc;

const PREFIX: &str = "@request.auth.claims";

/// The way to the claim that a name of a header stands for, or why it stands for none; nothing if it is a header's.
pub(super) fn read(name: &str) -> Option<Result<Vec<Arc<str>>, String>> {
    let (prefix, rest) = name.split_at_checked(PREFIX.len())?;
    if !prefix.eq_ignore_ascii_case(PREFIX) {
        return None;
    }
    let in_brackets = rest.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let path: Option<Vec<Arc<str>>> = match (in_brackets, rest.strip_prefix('.')) {
        (Some(inside), _) => inside.split("][").map(part).collect(),
        (None, Some(rest)) => rest.split('.').map(part).collect(),
        (None, None) => None,
    };
    let usage =
        || format!("names no claim; write for instance {PREFIX}.group.name or {PREFIX}[group][na.me]");
    Some(path.ok_or_else(usage))
}

fn part(text: &str) -> Option<Arc<str>> {
    (!text.is_empty() && !text.contains(['[', ']'])).then(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l7_28_dots_and_brackets() {
        for (name, expected) in [
            ("@request.auth.claims.sub", Some(Some(&["sub"][..]))),
            ("@request.auth.claims.a.B", Some(Some(&["a", "B"]))),
            ("@Request.Auth.Claims.sub", Some(Some(&["sub"]))),
            ("@request.auth.claims[a]", Some(Some(&["a"]))),
            ("@request.auth.claims[example.com/a][b]", Some(Some(&["example.com/a", "b"]))),
            ("@request.auth.claims", Some(None)),
            ("@request.auth.claims.", Some(None)),
            ("@request.auth.claims.a..b", Some(None)),
            ("@request.auth.claims[]", Some(None)),
            ("@request.auth.claims[a]b", Some(None)),
            ("@request.auth.claims[a].b", Some(None)),
            ("@request.auth.claimsa", Some(None)),
            ("@request.auth.principal", None),
            ("x-claims", None),
        ] {
            let read = read(name).map(Result::ok);
            let shown =
                read.as_ref().map(|it| it.as_ref().map(|it| it.iter().map(|it| &**it).collect::<Vec<_>>()));
            assert_eq!(shown, expected.map(|it| it.map(<[&str]>::to_vec)), "{name}");
        }
    }
}
