//! Waiting for what has to become true.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

/// Between looks.
const PAUSE: Duration = Duration::from_millis(250);

/// Looks until `check` succeeds; what it said last is the error when it never does.
pub async fn eventually<T>(patience: Duration, mut check: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let end = Instant::now() + patience;
    loop {
        match check().await {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() >= end => bail!("not within {patience:?}: {error:#}"),
            Err(_) => sleep(PAUSE).await,
        }
    }
}
