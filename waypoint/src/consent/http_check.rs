//! Asking by a request like the client's: what answers 200 lets it pass.

use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Request, StatusCode};
use mesh_model::{HttpCheck, Pattern};

use super::edits::{How, editable};
use super::{Authorizer, Changes, Denied, NoOpinion, Opinion, Subject, whole};
use crate::http::{request_for, version_for};

/// By which an answer has headers taken from the client's request.
const TO_REMOVE: &str = "x-envoy-auth-headers-to-remove";
const PARTIAL_BODY: HeaderName = HeaderName::from_static("x-envoy-auth-partial-body");

pub(super) async fn ask(
    authorizer: &Authorizer,
    check: &HttpCheck,
    subject: &Subject<'_>,
) -> Result<Opinion, NoOpinion> {
    let head = subject.head.ok_or(NoOpinion::NoRequest)?;
    let chosen = authorizer.choose(subject.tunnel)?;
    let version = version_for(chosen.app_protocol, http::Version::HTTP_11, false, false);
    let mut asked = question(check, head);
    let mut body = whole(Default::default());
    if let Some(told) = &subject.body {
        asked.headers.insert(PARTIAL_BODY, told_partially(told.complete));
        body = whole(told.bytes.clone());
    }
    let request: Option<Request<_>> = request_for(&asked, body, version, 1);
    let request =
        request.ok_or_else(|| NoOpinion::Unreachable("the request's host is no authority".to_owned()))?;
    let (answer, body, _) = authorizer.exchange(subject.tunnel, &chosen, version, request).await?;
    match answer.status {
        StatusCode::OK => Ok(Opinion::Consent(changes(check, &answer.headers))),
        status if status.is_server_error() => {
            Err(NoOpinion::Unreachable(format!("it answers with HTTP status {status}")))
        }
        status => {
            let headers = denial_headers(check, &answer.headers);
            Ok(Opinion::Denial(Denied { status, headers, body }))
        }
    }
}

fn told_partially(complete: bool) -> HeaderValue {
    HeaderValue::from_static(if complete { "false" } else { "true" })
}

/// The client's request, reduced to what is to be told.
fn question(check: &HttpCheck, head: &Parts) -> Parts {
    let (mut asked, ()) = Request::new(()).into_parts();
    asked.method = head.method.clone();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    // What is no path together is asked about without what goes in front.
    asked.uri = format!("{}{path}", check.path_prefix).parse().unwrap_or_else(|_| head.uri.clone());
    for (name, value) in &head.headers {
        let always = [HOST, AUTHORIZATION].contains(name);
        // How it is framed is the question's own business.
        let wanted = || editable(name.as_str()).is_some() && is_one_of(name, &check.request_headers);
        if always || wanted() {
            asked.headers.append(name, value.clone());
        }
    }
    for (name, value) in &check.additional_headers {
        if let (Some(name), Ok(value)) = (editable(name), HeaderValue::from_str(value)) {
            asked.headers.insert(name, value);
        }
    }
    asked
}

fn changes(check: &HttpCheck, answer: &HeaderMap) -> Changes {
    let mut changes = Changes::default();
    let removed = answer.get_all(TO_REMOVE).iter().filter_map(|names| names.to_str().ok());
    for name in removed.flat_map(|names| names.split(',')) {
        changes.request.remove(name.trim());
    }
    for name in answer.keys() {
        let upstream = is_one_of(name, &check.upstream_headers);
        let downstream = is_one_of(name, &check.downstream_headers_on_allow);
        for (at, value) in answer.get_all(name).iter().enumerate() {
            if upstream {
                let how = if at == 0 { How::Replace } else { How::Append };
                changes.request.write(how, name.as_str(), value.as_bytes());
            }
            if downstream {
                changes.response.write(How::Append, name.as_str(), value.as_bytes());
            }
        }
    }
    changes
}

fn denial_headers(check: &HttpCheck, answer: &HeaderMap) -> HeaderMap {
    let wanted = &check.downstream_headers_on_deny;
    let told = answer.iter().filter(|(name, _)| {
        editable(name.as_str()).is_some() && (wanted.is_empty() || is_one_of(name, wanted))
    });
    told.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn is_one_of(name: &HeaderName, patterns: &[Pattern]) -> bool {
    let name = name.as_str();
    patterns.iter().any(|pattern| match pattern {
        Pattern::Exact(text) => name == &**text,
        Pattern::Prefix(text) => name.starts_with(&**text),
        Pattern::Suffix(text) => name.ends_with(&**text),
        _ => false,
    })
}
