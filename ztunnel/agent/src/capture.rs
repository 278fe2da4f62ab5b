//! Taking over the traffic of one pod, inside its own network namespace, and
//! letting go of it.

mod connections;
pub(crate) mod nft;
mod routes;
pub mod rules;
mod steering;
mod sysctl;

use std::io;

use mesh_net::namespace::Namespace;
pub use rules::{Settings, Way};
use steering::Network;
use tracing::info;

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

/// Captures the pod's traffic as `settings` say, and tells how. Rules that are there already
/// are replaced in one step, and established connections are not disturbed: a pod that
/// has any which are not captured is not steered.
pub async fn apply(namespace: &Namespace, settings: &Settings) -> Result<Way, CaptureError> {
    // Routes of marks first: without a rule that marks packets they match nothing.
    routes::add(namespace).await.map_err(CaptureError::Routes)?;
    let steered = routes::is_steered(namespace).await.map_err(CaptureError::Routes)?;
    match steering::prepare(namespace, steered) {
        Some(network) => match steer(namespace, settings, &network).await {
            Err(error) if !steered => {
                info!("a pod cannot be steered, and is captured by translation: {error}");
                // Also what was prepared: nobody would find it once the pod is let go.
                unsteer(namespace).await?;
            }
            result => return result.map(|()| Way::Steered),
        },
        // Its connections know no other way.
        None if steered => return renew(namespace, settings).await.map(|()| Way::Steered),
        None => {}
    }
    let ruleset = rules::ruleset(settings, Way::Translated);
    nft::run(namespace, &ruleset).await.map_err(CaptureError::Rules)?;
    Ok(Way::Translated)
}

/// Rules between the routes of what they mark and those that bring connections, which have to be awaited.
async fn steer(namespace: &Namespace, settings: &Settings, network: &Network) -> Result<(), CaptureError> {
    routes::expect_marks(namespace).await.map_err(CaptureError::Routes)?;
    let ruleset = rules::ruleset(settings, Way::Steered);
    nft::run(namespace, &ruleset).await.map_err(CaptureError::Rules)?;
    routes::steer(namespace, network).await.map_err(CaptureError::Routes)?;
    routes::steer_names(namespace, settings.dns).await.map_err(CaptureError::Routes)
}

/// What depends on the settings alone.
async fn renew(namespace: &Namespace, settings: &Settings) -> Result<(), CaptureError> {
    let ruleset = rules::ruleset(settings, Way::Steered);
    nft::run(namespace, &ruleset).await.map_err(CaptureError::Rules)?;
    routes::steer_names(namespace, settings.dns).await.map_err(CaptureError::Routes)
}

async fn unsteer(namespace: &Namespace) -> Result<(), CaptureError> {
    routes::unsteer(namespace).await.map_err(CaptureError::Routes)?;
    sysctl::switch_off(namespace).map_err(CaptureError::Routes)
}

/// Lets go of the pod's traffic; a pod that is not captured stays as it is.
pub async fn remove(namespace: &Namespace) -> Result<(), CaptureError> {
    if routes::is_steered(namespace).await.map_err(CaptureError::Routes)? {
        unsteer(namespace).await?;
    }
    nft::run(namespace, &rules::removal()).await.map_err(CaptureError::Rules)?;
    routes::remove(namespace).await.map_err(CaptureError::Routes)
}
