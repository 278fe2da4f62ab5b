//! Reading, applying and deleting one object.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use kube::Client;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::Value;
use tokio::time::timeout;

use super::live::Live;
use super::part::Key;

const FIELD_MANAGER: &str = "adit.io/waypoint";
/// How long the API server may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How the API server begins when a field is none that it knows; it says so as if that were its own mistake.
const UNTYPED: &str = "failed to create typed patch object";

/// Why the API server did not do it.
#[derive(Debug)]
pub(super) enum WriteError {
    /// What the object says is not valid.
    Invalid(String),
    /// It may not be there: a quota, a permission, a policy.
    Forbidden(String),
    /// Anything that may be different next time.
    Passing(String),
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (WriteError::Invalid(text) | WriteError::Forbidden(text) | WriteError::Passing(text)) = self;
        f.write_str(text)
    }
}

impl From<kube::Error> for WriteError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => match status.code {
                400 | 422 => WriteError::Invalid(status.message.clone()),
                500 if status.message.starts_with(UNTYPED) => WriteError::Invalid(status.message.clone()),
                403 => WriteError::Forbidden(status.message.clone()),
                _ => WriteError::Passing(status.message.clone()),
            },
            error => WriteError::Passing(error.to_string()),
        }
    }
}

/// The object as it is, if it is there.
pub(super) async fn find(client: &Client, key: &Key) -> Result<Option<Live>, WriteError> {
    let api = key.api(client);
    let get = async {
        match api.get(&key.name).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            found => found.map(Some),
        }
    };
    Ok(within_patience(get).await?.map(Live::new))
}

/// Has the object say this, whoever said something else; what it is then.
pub(super) async fn apply(client: &Client, key: &Key, value: &Value) -> Result<Live, WriteError> {
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let api = key.api(client);
    within_patience(api.patch(&key.name, &params, &Patch::Apply(value))).await.map(Live::new)
}

/// Deletes the object unless it has changed.
pub(super) async fn delete(client: &Client, key: &Key, live: &Live) -> Result<(), WriteError> {
    let params = DeleteParams {
        preconditions: Some(Preconditions { uid: live.uid.clone(), resource_version: live.version.clone() }),
        ..DeleteParams::background()
    };
    within_patience(key.api(client).delete(&key.name, &params)).await.map(drop)
}

async fn within_patience<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, WriteError> {
    match timeout(PATIENCE, request).await {
        Ok(result) => result.map_err(WriteError::from),
        Err(_) => Err(WriteError::Passing("no answer from the API server".to_owned())),
    }
}
