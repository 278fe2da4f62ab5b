//! Cross-origin resource sharing (Fetch, "CORS protocol"): what pages of other origins are told they may do.

use std::sync::Arc;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderName, HeaderValue, ORIGIN,
};
use http::request::Parts;
use http::{Method, StatusCode};

use super::edits::{Edits, How};
use super::reply::Reply;
use crate::routes::Pattern;

/// A compiled policy.
#[derive(Debug)]
pub(crate) struct Cors {
    origins: Vec<Pattern>,
    methods: Names,
    headers: Names,
    exposed_headers: Names,
    max_age: Option<HeaderValue>,
    credentials: bool,
    forwards_unmatched_preflights: bool,
}

#[derive(Debug, PartialEq)]
enum Names {
    None,
    /// `*`
    All,
    Listed(HeaderValue),
}

impl Cors {
    /// What cannot be compiled allows nobody anything.
    pub(crate) fn compile(cors: &mesh_model::Cors, problems: &mut Vec<String>) -> Cors {
        let mut origins = Vec::new();
        for origin in &cors.origins {
            match Pattern::compile(origin) {
                Ok(pattern) => origins.push(pattern),
                Err(error) => problems.push(format!("an origin is not a pattern: {error}")),
            }
        }
        Cors {
            origins,
            methods: Names::compile(&cors.methods, problems),
            headers: Names::compile(&cors.headers, problems),
            exposed_headers: Names::compile(&cors.exposed_headers, problems),
            max_age: cors.max_age.map(|age| HeaderValue::from(age.as_secs())),
            credentials: cors.credentials,
            forwards_unmatched_preflights: cors.forwards_unmatched_preflights,
        }
    }

    /// Tells a page what it may do: an answer to a preflight request, or else what goes to `edits`.
    pub(crate) fn share(&self, head: &Parts, edits: &mut Edits) -> Result<(), Reply> {
        let Some(origin) = head.headers.get(ORIGIN) else { return Ok(()) };
        let allowed = self.allows(origin);
        let asked_method = head.headers.get(ACCESS_CONTROL_REQUEST_METHOD);
        let Some(method) = asked_method.filter(|_| head.method == Method::OPTIONS) else {
            if allowed {
                self.tell_origin(origin, &mut |name, value| {
                    edits.write(How::Replace, name.as_str(), value.as_bytes())
                });
                self.tell_exposed(edits);
            }
            return Ok(());
        };
        if allowed {
            return Err(self.preflight(origin, method, head.headers.get(ACCESS_CONTROL_REQUEST_HEADERS)));
        }
        match self.forwards_unmatched_preflights {
            true => Ok(()),
            false => Err(answer()),
        }
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        origin.to_str().is_ok_and(|origin| self.origins.iter().any(|pattern| pattern.matches(origin)))
    }

    fn preflight(&self, origin: &HeaderValue, method: &HeaderValue, headers: Option<&HeaderValue>) -> Reply {
        let mut told = Vec::new();
        self.tell_origin(origin, &mut |name, value| told.push((name, value)));
        let methods = self.methods.tell(self.credentials, Some(method));
        let headers = self.headers.tell(self.credentials, headers);
        told.extend(methods.map(|value| (ACCESS_CONTROL_ALLOW_METHODS, value)));
        told.extend(headers.map(|value| (ACCESS_CONTROL_ALLOW_HEADERS, value)));
        told.extend(self.max_age.clone().map(|age| (ACCESS_CONTROL_MAX_AGE, age)));
        told.into_iter().fold(answer(), |reply, (name, value)| reply.with_header(name, value))
    }

    fn tell_origin(&self, origin: &HeaderValue, tell: &mut dyn FnMut(HeaderName, HeaderValue)) {
        // With credentials a browser does not take "*" for an answer.
        let any = !self.credentials && self.origins.iter().any(|it| matches!(it, Pattern::Presence));
        tell(ACCESS_CONTROL_ALLOW_ORIGIN, if any { HeaderValue::from_static("*") } else { origin.clone() });
        if self.credentials {
            tell(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }

    fn tell_exposed(&self, edits: &mut Edits) {
        if let Some(value) = self.exposed_headers.tell(false, None) {
            edits.write(How::Replace, ACCESS_CONTROL_EXPOSE_HEADERS.as_str(), value.as_bytes());
        }
    }
}

impl Names {
    fn compile(names: &[Arc<str>], problems: &mut Vec<String>) -> Names {
        if names.is_empty() {
            return Names::None;
        }
        if names.iter().any(|name| &**name == "*") {
            return Names::All;
        }
        match HeaderValue::from_str(&names.join(",")) {
            Ok(value) => Names::Listed(value),
            Err(_) => {
                problems.push(format!("{names:?} cannot be told in a header"));
                Names::None
            }
        }
    }

    /// With credentials `*` means nothing to browsers, so they are told what they have asked for.
    fn tell(&self, credentials: bool, asked: Option<&HeaderValue>) -> Option<HeaderValue> {
        match self {
            Names::None => None,
            Names::All if credentials => asked.cloned(),
            Names::All => Some(HeaderValue::from_static("*")),
            Names::Listed(value) => Some(value.clone()),
        }
    }
}

fn answer() -> Reply {
    Reply::new(StatusCode::OK, "cors")
}

#[cfg(test)]
mod tests;
