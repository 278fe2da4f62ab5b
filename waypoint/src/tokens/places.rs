//! Where tokens are in requests: headers, parameters of the query, cookies.

use std::borrow::Cow;
use std::sync::Arc;

use http::header::{AUTHORIZATION, COOKIE, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use mesh_model::TokenRule;
use percent_encoding::percent_decode_str;

/// One place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A header, and what stands before the token in it.
    Header(HeaderName, Arc<str>),
    /// A parameter of the query.
    Param(Arc<str>),
    Cookie(Arc<str>),
}

/// Where a rule looks for tokens (api.md §3.6).
pub(super) fn of(rule: &TokenRule) -> Vec<Place> {
    let header = |(name, prefix): &(Arc<str>, Arc<str>)| {
        // The codec takes legal names only.
        name.parse().ok().map(|name| Place::Header(name, prefix.clone()))
    };
    let headers = rule.from_headers.iter().filter_map(header);
    let params = rule.from_params.iter().cloned().map(Place::Param);
    let cookies = rule.from_cookies.iter().cloned().map(Place::Cookie);
    let places: Vec<Place> = headers.chain(params).chain(cookies).collect();
    match places.is_empty() {
        false => places,
        true => vec![Place::Header(AUTHORIZATION, "Bearer ".into()), Place::Param("access_token".into())],
    }
}

impl Place {
    /// What is there; of several values, all. Nothing is none: an empty place is as good as none.
    pub(super) fn find<'h>(&self, head: &'h Parts) -> Vec<Cow<'h, str>> {
        match self {
            Place::Header(name, prefix) => {
                let lines = head.headers.get_all(name).iter();
                let texts = lines.map(|line| String::from_utf8_lossy(line.as_bytes()));
                texts.filter_map(|text| after(&text, prefix)).map(Cow::Owned).collect()
            }
            Place::Param(name) => {
                let named =
                    pairs(head.uri.query().unwrap_or_default(), '&').filter(|(key, _)| is_named(key, name));
                let values = named.map(|(_, value)| percent_decode_str(value).decode_utf8_lossy());
                values.filter(|value| !value.is_empty()).collect()
            }
            Place::Cookie(name) => {
                let lines = head.headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
                let cookies = lines.flat_map(|line| pairs(line, ';'));
                let named = cookies.filter(|(key, value)| *key == &**name && !value.is_empty());
                named.map(|(_, value)| Cow::Borrowed(value.trim_matches('"'))).collect()
            }
        }
    }

    /// Takes away what is there.
    pub(super) fn remove(&self, head: &mut Parts) {
        match self {
            Place::Header(name, _) => {
                head.headers.remove(name);
            }
            Place::Param(name) => {
                let left = pieces(head.uri.query().unwrap_or_default(), '&')
                    .filter(|piece| !is_named(split(piece).0, name))
                    .collect::<Vec<_>>()
                    .join("&");
                let path = head.uri.path();
                let target = if left.is_empty() { path.to_owned() } else { format!("{path}?{left}") };
                // Parts of what was a target are one.
                if let Ok(target) = PathAndQuery::try_from(target) {
                    head.uri = target.into();
                }
            }
            Place::Cookie(name) => {
                let lines = head.headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
                let left: Vec<&str> = lines
                    .flat_map(|line| pieces(line, ';'))
                    .map(str::trim)
                    .filter(|piece| split(piece).0 != &**name)
                    .collect();
                let left = HeaderValue::from_str(&left.join("; ")).ok().filter(|it| !it.is_empty());
                head.headers.remove(COOKIE);
                if let Some(left) = left {
                    head.headers.insert(COOKIE, left);
                }
            }
        }
    }
}

/// What follows the prefix, up to where the token ends. Schemes of authorization are words without case.
fn after(text: &str, prefix: &str) -> Option<String> {
    let rest = match text.get(..prefix.len()) {
        Some(start) if start.eq_ignore_ascii_case(prefix) => &text[prefix.len()..],
        // A prefix may stand further on, as in `Scheme token=…`.
        _ => text.split_once(prefix).map(|(_, rest)| rest)?,
    };
    let in_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.=+/".contains(&byte);
    let rest = rest.trim();
    let end = rest.bytes().position(|byte| !in_token(byte)).unwrap_or(rest.len());
    (!rest.is_empty()).then(|| if end == 0 { rest.to_owned() } else { rest[..end].to_owned() })
}

fn pieces(text: &str, separator: char) -> impl Iterator<Item = &str> {
    text.split(separator).filter(|piece| !piece.trim().is_empty())
}

fn pairs(text: &str, separator: char) -> impl Iterator<Item = (&str, &str)> {
    pieces(text, separator).map(split)
}

fn split(piece: &str) -> (&str, &str) {
    let (name, value) = piece.trim().split_once('=').unwrap_or((piece.trim(), ""));
    (name.trim(), value.trim())
}

fn is_named(key: &str, name: &str) -> bool {
    percent_decode_str(key).decode_utf8_lossy() == name
}
