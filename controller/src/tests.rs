//! What tests share, and the controller as a whole.

mod end_to_end;
mod running;

use std::sync::Arc;

use crate::admission::{Proven, ProvenPod, TokenAuthenticator, TokenError};
use crate::directory::read_objects;
use crate::source::Event;

/// The objects in a text of manifests, as events.
pub(crate) fn objects(text: &str) -> impl Iterator<Item = Event> {
    read_objects(Arc::new("test.yaml".into()), text)
        .into_iter()
        .map(|object| Event::Applied(Box::new(object)))
}

/// Tokens are `namespace/account/pod/uid`.
pub(crate) struct Spoken;

#[tonic::async_trait]
impl TokenAuthenticator for Spoken {
    async fn authenticate(&self, token: &str) -> Result<Proven, TokenError> {
        let parts: Vec<&str> = token.split('/').collect();
        let [namespace, account, rest @ ..] = parts.as_slice() else {
            return Err(TokenError::Invalid("too short".into()));
        };
        let pod = match rest {
            [name, uid] => Some(ProvenPod { name: (*name).into(), uid: (*uid).into() }),
            _ => None,
        };
        Ok(Proven { namespace: (*namespace).into(), service_account: (*account).into(), pod })
    }
}
