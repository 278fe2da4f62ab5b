//! How a request wants to be answered, read from its query and its `x-echo-<name>` headers.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use percent_encoding::percent_decode_str;

use super::url::Url;
use crate::duration;

/// Longest wait a request may ask for.
const MAX_DELAY: Duration = Duration::from_secs(300);
/// Most URLs one request may have called.
const MAX_CALLS: usize = 16;
const HEADER_PREFIX: &str = "x-echo-";

/// The wishes of one request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Behaviour {
    /// The status; for gRPC the grpc-status.
    pub(super) status: Option<u16>,
    pub(super) delay: Duration,
    /// Fail the first so many requests of the key.
    pub(super) fail: u32,
    /// The key, if it is not the request's id.
    pub(super) key: Option<String>,
    /// The status of those failures.
    pub(super) code: Option<u16>,
    /// Close the connection instead of answering (or of failing).
    pub(super) close: bool,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) calls: Vec<Url>,
    pub(super) text: bool,
}

impl Behaviour {
    /// The wishes of a request; the error says which is not understood.
    pub(super) fn of(uri: &Uri, headers: &HeaderMap) -> Result<Self, String> {
        let mut behaviour = Behaviour::default();
        for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            behaviour.wish(&decoded(name)?, &decoded(value)?)?;
        }
        for (name, value) in headers {
            if let Some(name) = name.as_str().strip_prefix(HEADER_PREFIX) {
                behaviour.wish(name, value.to_str().map_err(|_| format!("x-echo-{name} is not text"))?)?;
            }
        }
        Ok(behaviour)
    }

    /// Other names belong to whoever wrote the URL, and are none of ours.
    fn wish(&mut self, name: &str, value: &str) -> Result<(), String> {
        let wrong = |expected: &str| format!("{name}={value} is not understood: expected {expected}");
        match name {
            "status" => self.status = Some(value.parse().map_err(|_| wrong("a number"))?),
            "code" => self.code = Some(value.parse().map_err(|_| wrong("a number"))?),
            "fail" => self.fail = value.parse().map_err(|_| wrong("a number"))?,
            "key" => self.key = Some(value.to_owned()),
            "close" => self.close = value.parse().map_err(|_| wrong("true or false"))?,
            "delay" => {
                let delay = duration::parse(value).map_err(|error| error.to_string())?;
                self.delay = if delay <= MAX_DELAY { delay } else { return Err(wrong("at most 300s")) };
            }
            "header" => {
                let (name, value) = value.split_once(':').ok_or_else(|| wrong("name:value"))?;
                let name = name.trim().parse().map_err(|_| wrong("a header's name"))?;
                self.headers.push((name, value.trim().parse().map_err(|_| wrong("a header's value"))?));
            }
            "call" if self.calls.len() == MAX_CALLS => return Err(wrong("at most 16 calls")),
            "call" => {
                self.calls.push(value.parse().map_err(|error: super::url::InvalidUrl| error.to_string())?);
            }
            "format" => self.text = value == "text",
            _ => {}
        }
        Ok(())
    }

    /// The HTTP status of a plain answer.
    pub(super) fn http_status(&self) -> Result<StatusCode, String> {
        status(self.status.unwrap_or(200))
    }

    /// The HTTP status of a wanted failure.
    pub(super) fn failure_status(&self) -> Result<StatusCode, String> {
        status(self.code.unwrap_or(503))
    }
}

/// 1xx would leave the client waiting for the answer proper.
fn status(code: u16) -> Result<StatusCode, String> {
    StatusCode::from_u16(code)
        .ok()
        .filter(|status| !status.is_informational())
        .ok_or_else(|| format!("{code} is not a status of an answer: expected 200 to 999"))
}

fn decoded(text: &str) -> Result<String, String> {
    let text = text.replace('+', " ");
    percent_decode_str(&text).decode_utf8().map(Into::into).map_err(|_| format!("{text:?} is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(uri: &str, headers: &[(&'static str, &'static str)]) -> Result<Behaviour, String> {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        Behaviour::of(&uri.parse().unwrap(), &headers.collect())
    }

    #[test]
    fn wishes_stand_in_query_and_headers() {
        let behaviour = of(
            "/x?status=418&delay=20ms&header=x-a:b%20c&call=http%3A%2F%2Fdetails%3A9080%2F&other=1",
            &[("x-echo-fail", "2"), ("x-echo-key", "k"), ("x-echo-code", "500"), ("user-agent", "t")],
        )
        .unwrap();
        assert_eq!(behaviour.http_status(), Ok(StatusCode::IM_A_TEAPOT));
        assert_eq!(behaviour.delay, Duration::from_millis(20));
        assert_eq!(behaviour.headers, [("x-a".parse().unwrap(), "b c".parse().unwrap())]);
        assert_eq!(behaviour.calls[0].host, "details");
        assert_eq!((behaviour.fail, behaviour.key.as_deref()), (2, Some("k")));
        assert_eq!(behaviour.failure_status(), Ok(StatusCode::INTERNAL_SERVER_ERROR));
    }

    #[test]
    fn a_wish_that_is_not_understood_is_named() {
        for (uri, reason) in [
            ("/?status=x", "status=x"),
            ("/?delay=5", "\"5\" is not a duration"),
            ("/?delay=1h", "at most 300s"),
            ("/?header=x", "name:value"),
            ("/?call=ftp://x", "none of http"),
            ("/?key=%ff", "not UTF-8"),
        ] {
            let error = of(uri, &[]).unwrap_err();
            assert!(error.contains(reason), "{uri}: {error}");
        }
        assert!(of("/?status=101", &[]).unwrap().http_status().is_err());
    }
}
