//! How long a connection may be there, and how long it may be silent.

use std::future::pending;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mesh_model::TcpLimits;
use mesh_net::copy::Transferred;
use tokio::time::sleep;

/// How often silence is looked for, in shares of how long it may last.
const LOOKS: u32 = 8;

/// Why a connection is not to go on, once it has been silent, or there, for as long as it may.
pub(super) async fn expired(limits: TcpLimits, counters: &Transferred) -> String {
    tokio::select! {
        limit = silence(limits.idle_timeout, counters) => {
            format!("nothing was sent for {limit:?}, which is all that idleTimeout allows")
        }
        limit = age(limits.max_connection_duration) => {
            format!("it was there for {limit:?}, which is all that maxConnectionDuration allows")
        }
    }
}

/// Ends when nothing has been moved for that long.
async fn silence(limit: Option<Duration>, counters: &Transferred) -> Duration {
    let Some(limit) = limit else { return pending().await };
    let moved = || [&counters.sent, &counters.received].map(|count| count.load(Ordering::Relaxed));
    let (mut before, mut silent) = (moved(), 0);
    while silent < LOOKS {
        sleep(limit / LOOKS).await;
        let now = moved();
        silent = if now == before { silent + 1 } else { 0 };
        before = now;
    }
    limit
}

async fn age(limit: Option<Duration>) -> Duration {
    let Some(limit) = limit else { return pending().await };
    sleep(limit).await;
    limit
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::{Instant, timeout};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn limits(idle: Option<Duration>, age: Option<Duration>) -> TcpLimits {
        TcpLimits { idle_timeout: idle, max_connection_duration: age, ..TcpLimits::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn without_limits_it_goes_on() {
        let counters = Transferred::default();
        let forever = expired(limits(None, None), &counters);
        assert!(timeout(1000 * HOUR, forever).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_it_and_bytes_do_not() {
        let counters = Arc::new(Transferred::default());
        let (meter, begin) = (counters.clone(), Instant::now());
        let talking = tokio::spawn(async move {
            for _ in 0..10 {
                sleep(HOUR / 2).await;
                meter.received.fetch_add(1, Ordering::Relaxed);
            }
        });
        let reason = expired(limits(Some(HOUR), None), &counters).await;
        assert!(talking.is_finished() && reason.contains("idleTimeout"), "{reason}");
        assert!(begin.elapsed() >= 6 * HOUR && begin.elapsed() <= 6 * HOUR + HOUR / 4);
    }

    #[tokio::test(start_paused = true)]
    async fn age_ends_it_whatever_is_said() {
        let begin = Instant::now();
        let reason = expired(limits(Some(2 * HOUR), Some(HOUR)), &Transferred::default()).await;
        assert!(reason.contains("maxConnectionDuration"), "{reason}");
        assert_eq!(begin.elapsed(), HOUR);
    }
}
