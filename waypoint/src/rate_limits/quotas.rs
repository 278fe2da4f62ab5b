//! What a client is told of its limits: the `x-ratelimit-*` headers of the third draft, as Envoy writes them.

use std::fmt::Write;

use crate::http::{Edits, How};

/// Where a client stands with one limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) requests: u64,
    /// In seconds; 0 if it is not known.
    pub(crate) window: u64,
    pub(crate) name: String,
    pub(crate) remaining: u64,
    /// In seconds.
    pub(crate) reset: u64,
}

/// Where a client stands with all of them.
#[derive(Debug, Default)]
pub(crate) struct Quotas(Vec<Quota>);

impl Quotas {
    pub(crate) fn add(&mut self, quota: Quota) {
        self.0.push(quota);
    }

    /// The limit that leaves least is told of; what the others are is said beside it.
    pub(crate) fn tell(&self, edits: &mut Edits) {
        let Some(tightest) = self.0.iter().min_by_key(|quota| quota.remaining) else { return };
        let mut limit = tightest.requests.to_string();
        for quota in self.0.iter().filter(|quota| quota.window > 0) {
            // Whoever writes into a text cannot fail.
            let _ = write!(limit, ", {};w={}", quota.requests, quota.window);
            let name: String =
                quota.name.chars().filter(|c| !c.is_control() && !"\"\\".contains(*c)).collect();
            if !name.is_empty() {
                let _ = write!(limit, ";name=\"{name}\"");
            }
        }
        let mut tell = |name: &str, value: &str| edits.write(How::Replace, name, value.as_bytes());
        tell("x-ratelimit-limit", &limit);
        tell("x-ratelimit-remaining", &tightest.remaining.to_string());
        tell("x-ratelimit-reset", &tightest.reset.to_string());
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn quota(requests: u64, window: u64, name: &str, remaining: u64, reset: u64) -> Quota {
        Quota { requests, window, name: name.to_owned(), remaining, reset }
    }

    fn told(quotas: Vec<Quota>) -> Vec<String> {
        let mut edits = Edits::default();
        Quotas(quotas).tell(&mut edits);
        let mut headers = HeaderMap::new();
        edits.apply(&mut headers);
        ["limit", "remaining", "reset"]
            .iter()
            .filter_map(|name| Some(headers.get(format!("x-ratelimit-{name}"))?.to_str().unwrap().to_owned()))
            .collect()
    }

    #[test]
    fn res_the_tightest_limit_is_told_and_all_are_listed() {
        let both = vec![quota(10, 1, "per-ip", 4, 1), quota(1000, 3600, "", 3, 1800)];
        assert_eq!(told(both), ["1000, 10;w=1;name=\"per-ip\", 1000;w=3600", "3", "1800"]);
        assert_eq!(told(vec![quota(5, 0, "x", 0, 7)]), ["5", "0", "7"]);
        assert_eq!(told(vec![quota(5, 1, "a\"b\n", 0, 7)]), ["5, 5;w=1;name=\"ab\"", "0", "7"]);
        assert_eq!(told(vec![]), Vec::<String>::new());
    }
}
