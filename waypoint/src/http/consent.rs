//! The consent of those whom CUSTOM policies ask about a request. It comes before tokens are looked at, since whoever
//! is asked may bring them (wire.md §11).

use http::StatusCode;
use http::request::Parts;
use mesh_authz::{Consent, questions};
use mesh_telemetry::RequestFlags;

use super::authorize::call_of;
use super::body::{Beginning, BodySource, BoxError};
use super::edits::Edits;
use super::grpc_web::ClientBody;
use super::normalise::Kind;
use super::reply::Reply;
use crate::consent::{Authorizer, Denied, NoOpinion, Opinion, Subject};
use crate::security::Guards;
use crate::tunnel::Tunnel;

/// Asks everybody who has to be asked, one after the other, and makes the changes to the request that they want; those
/// to the response go to `edits`.
pub(super) async fn obtain(
    tunnel: &Tunnel,
    guards: &Guards,
    (head, body, kind): (&mut Parts, &BodySource<ClientBody>, Kind),
    edits: &mut Edits,
) -> Result<Consent, Reply> {
    let mut questions = questions(guards.policies(), &call_of(tunnel, head, None));
    while let Some(question) = questions.next() {
        let (policy, provider) = (question.policy, question.provider);
        let Some(authorizer) = guards.find_authorizer(provider) else {
            tracing::debug!(target: "rbac", %policy, %provider, "a request was denied: nobody knows who that is");
            return Err(refusal(StatusCode::FORBIDDEN, "ext_authz_error").with_body("RBAC: access denied"));
        };
        let asked = async {
            let body = told_body(authorizer, body, kind).await?;
            let subject = Subject { tunnel, head: Some(head), body, sni: None };
            Ok::<_, Reply>(authorizer.ask(&subject).await)
        };
        // Few requests are asked about, and all would carry the room that it takes.
        match Box::pin(asked).await? {
            Ok(Opinion::Consent(changes)) => {
                changes.request.apply(&mut head.headers);
                edits.extend(changes.response);
            }
            Ok(Opinion::Denial(denied)) => {
                tracing::debug!(target: "rbac", %policy, %provider, "a request was denied");
                return Err(denial(denied));
            }
            Err(reason) => without_opinion(authorizer, &reason)?,
        }
        questions.consented();
    }
    questions
        .close()
        .map_err(|not| refusal(StatusCode::FORBIDDEN, "ext_authz_error").with_body(not.to_string()))
}

/// What is told of the request's body; a request with more in it than may be told is refused.
async fn told_body(
    authorizer: &Authorizer,
    body: &BodySource<ClientBody>,
    kind: Kind,
) -> Result<Option<Beginning>, Reply> {
    let Some((wanted, limit)) = authorizer.wants_body().filter(|_| !kind.websocket) else { return Ok(None) };
    let broken = |_: BoxError| Reply::new(StatusCode::BAD_REQUEST, "downstream_body_broke_off");
    let beginning = body.beginning(limit).await.map_err(broken)?;
    if !beginning.complete && !wanted.allow_partial {
        let reply = Reply::new(StatusCode::PAYLOAD_TOO_LARGE, "request_payload_too_large");
        return Err(reply.with_body("Payload Too Large"));
    }
    Ok(Some(beginning))
}

fn without_opinion(authorizer: &Authorizer, reason: &NoOpinion) -> Result<(), Reply> {
    let service = &authorizer.service;
    let (provider, passes) = (&service.provider, service.fail_open);
    tracing::warn!(target: "rbac", %provider, %reason, passes, "a request could not be asked about");
    if passes {
        return Ok(());
    }
    let status = StatusCode::from_u16(service.status_on_error).unwrap_or(StatusCode::FORBIDDEN);
    Err(refusal(status, "ext_authz_error"))
}

fn denial(Denied { status, headers, body }: Denied) -> Reply {
    let reply = refusal(status, "ext_authz_denied").with_body(body);
    headers.iter().fold(reply, |reply, (name, value)| reply.with_header(name.clone(), value.clone()))
}

fn refusal(status: StatusCode, details: &'static str) -> Reply {
    Reply::new(status, details).flagged(RequestFlags::DENIED)
}
