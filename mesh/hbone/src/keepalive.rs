//! Finding out that a peer is gone although its connection is not (HB-18).

use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::{sleep, timeout};

use crate::settings::Settings;

/// Asks for ever; ends, with the time waited, when the peer did not answer.
pub(crate) async fn peer_silent(ping_pong: Option<PingPong>, settings: &Settings) -> Duration {
    let Some(mut ping_pong) = ping_pong else { return std::future::pending().await };
    loop {
        sleep(settings.ping_interval).await;
        match timeout(settings.ping_timeout, ping_pong.ping(Ping::opaque())).await {
            Ok(Ok(_)) => {}
            // The connection is ending; whoever drives it will see that itself.
            Ok(Err(_)) => std::future::pending().await,
            Err(_) => return settings.ping_timeout,
        }
    }
}
