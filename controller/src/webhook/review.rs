//! An AdmissionReview and the answer to it: a denial where it is certain that the object cannot work,
//! a warning where it is not.

use controller_translate::objects::{Kind, KindError, Object, find_unknown_fields, validate};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";
/// A denial is read by people.
const MAX_MESSAGE: usize = 8 << 10;

/// Why a request is no review.
#[derive(Debug, Error)]
pub(crate) enum NoReview {
    #[error("this is no AdmissionReview: {0}")]
    Json(#[from] serde_json::Error),
    #[error("this is {kind:?} of {api_version:?}; send AdmissionReview of {API_VERSION}")]
    Kind { api_version: String, kind: String },
    #[error("the AdmissionReview has no request")]
    Empty,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    api_version: String,
    kind: String,
    request: Option<Asked>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    uid: String,
    operation: String,
    sub_resource: Option<String>,
    object: Option<Value>,
    old_object: Option<Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    api_version: &'a str,
    kind: &'a str,
    response: Response,
}

#[derive(Serialize)]
struct Response {
    uid: String,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Denial>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Denial {
    code: u16,
    reason: &'static str,
    message: String,
}

#[derive(Default)]
struct Verdict {
    /// What cannot work; one is enough for a denial.
    problems: Vec<String>,
    warnings: Vec<String>,
}

/// The answer to a review, as JSON.
pub(crate) fn review(body: &[u8]) -> Result<Vec<u8>, NoReview> {
    let Review { api_version, kind, request } = serde_json::from_slice(body)?;
    if api_version != API_VERSION || kind != KIND {
        return Err(NoReview::Kind { api_version, kind });
    }
    let asked = request.ok_or(NoReview::Empty)?;
    let uid = asked.uid.clone();
    let Verdict { problems, warnings } = judge(asked);
    let status = (!problems.is_empty()).then(|| Denial {
        code: 422,
        reason: "Invalid",
        message: shortened(problems.join("; ")),
    });
    let response = Response { uid, allowed: status.is_none(), status, warnings };
    Ok(serde_json::to_vec(&Answer { api_version: API_VERSION, kind: KIND, response })?)
}

fn judge(asked: Asked) -> Verdict {
    let changes = matches!(asked.operation.as_str(), "CREATE" | "UPDATE");
    let is_whole = asked.sub_resource.as_deref().unwrap_or_default().is_empty();
    let Some(object) = asked.object.filter(|_| changes && is_whole) else { return Verdict::default() };
    // Whatever is wrong with an object, it must be possible to get rid of it.
    if !object["metadata"]["deletionTimestamp"].is_null() {
        return Verdict::default();
    }
    let mut verdict = check(object);
    if let Some(old) = asked.old_object.filter(|old| !old.is_null()) {
        // Stored before there was a webhook: labels and finalizers can still be changed.
        let old = check(old).problems;
        let (known, new) = verdict.problems.into_iter().partition(|problem| old.contains(problem));
        verdict.problems = new;
        let known: Vec<String> = known;
        verdict.warnings.extend(known.into_iter().map(|problem| format!("still wrong: {problem}")));
    }
    verdict
}

fn check(document: Value) -> Verdict {
    let field = |name: &str| document[name].as_str().unwrap_or_default();
    let kind = match Kind::find(field("apiVersion"), field("kind")) {
        Ok(kind) => kind,
        Err(KindError::Unused { .. }) => return Verdict::default(),
        Err(error) => return warn(format!("not checked by the mesh: {error}")),
    };
    let mut track = serde_path_to_error::Track::new();
    let deserializer = serde_path_to_error::Deserializer::new(document.clone(), &mut track);
    // The CRD's schema let it through, so it may be of a newer release than this program.
    let object = match Object::deserialize_as(kind, deserializer) {
        Ok(object) => object,
        Err(error) => {
            let error: serde_json::Error = error;
            let path = track.path();
            return warn(format!(
                "this release of the mesh cannot read it and leaves it out: {path}: {error}"
            ));
        }
    };
    // Metadata the API server checks itself, and knows that a name may still be generated.
    let problems = validate(&object).into_iter().filter(|problem| !problem.field.starts_with("metadata"));
    let unknown = find_unknown_fields(&document, &object).into_iter();
    let unknown = unknown.filter(|path| !path.starts_with("metadata") && !path.starts_with("status"));
    Verdict {
        problems: problems.map(|problem| problem.to_string()).collect(),
        warnings: unknown.map(|path| format!("{path} is not known to this release of the mesh")).collect(),
    }
}

fn warn(message: String) -> Verdict {
    Verdict { problems: Vec::new(), warnings: vec![shortened(message)] }
}

fn shortened(mut message: String) -> String {
    if message.len() > MAX_MESSAGE {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE));
        message.push('…');
    }
    message
}

#[cfg(test)]
mod tests;
