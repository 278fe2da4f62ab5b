//! Taking over the traffic of one pod, inside its own network namespace, and
//! letting go of it.

pub(crate) mod nft;
mod routes;
pub mod rules;

use std::io;

use mesh_net::namespace::Namespace;
pub use rules::Settings;

/// Why capture is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// `nft` did not take the rules; the ones before are still in place.
    #[error("rules: {0}")]
    Rules(io::Error),
    /// The kernel did not take the routes.
    #[error("routes: {0}")]
    Routes(io::Error),
}

/// Captures the pod's traffic as `settings` say. Rules that are there already are
/// replaced in one step, and established connections are not disturbed.
pub async fn apply(namespace: &Namespace, settings: &Settings) -> Result<(), CaptureError> {
    // Routes first: without a rule that marks packets they match nothing.
    routes::add(namespace).await.map_err(CaptureError::Routes)?;
    nft::run(namespace, &rules::ruleset(settings)).await.map_err(CaptureError::Rules)
}

/// Lets go of the pod's traffic; a pod that is not captured stays as it is.
pub async fn remove(namespace: &Namespace) -> Result<(), CaptureError> {
    nft::run(namespace, &rules::removal()).await.map_err(CaptureError::Rules)?;
    routes::remove(namespace).await.map_err(CaptureError::Routes)
}
