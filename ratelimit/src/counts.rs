//! The counts, in Redis: one number for each window of each descriptor, which Redis forgets when the window is over.

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, RedisError};
use thiserror::Error;

/// Whoever asks waits for less; a connection that is dead is found out here.
const PATIENCE: Duration = Duration::from_millis(500);
/// Between two attempts to connect again, at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Where the counts are.
#[derive(Clone)]
pub struct Counts {
    connection: ConnectionManager,
}

/// Something to add to a count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) key: String,
    pub(crate) hits: u32,
    /// The count is of no use after so many seconds.
    pub(crate) lives: u64,
}

/// Why a request could not be counted.
#[derive(Debug, Error)]
pub enum CannotCount {
    /// Redis cannot be reached, or refuses.
    #[error("the counts cannot be reached: {0}")]
    Redis(#[from] RedisError),
    /// Redis does not answer.
    #[error("the counts cannot be reached: no answer within {PATIENCE:?}")]
    TooSlow,
}

impl Counts {
    /// Connects as soon as something is to be counted, and again whenever the connection is lost. The address is like
    /// `redis://[user:password@]host:port[/database]`.
    pub fn open(address: &str) -> Result<Counts, CannotCount> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE))
            .set_max_delay(LONGEST_PAUSE);
        let connection = ConnectionManager::new_lazy_with_config(Client::open(address)?, config)?;
        Ok(Counts { connection })
    }

    /// Adds to several counts at once; what they are then.
    pub(crate) async fn add(&self, hits: &[Hit]) -> Result<Vec<u64>, CannotCount> {
        if hits.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipe = redis::pipe();
        // Never a count that nobody forgets.
        pipe.atomic();
        for hit in hits {
            pipe.cmd("INCRBY").arg(&hit.key).arg(hit.hits);
            pipe.cmd("EXPIRE").arg(&hit.key).arg(hit.lives).ignore();
        }
        let mut connection = self.connection.clone();
        let adding = pipe.query_async(&mut connection);
        Ok(tokio::time::timeout(PATIENCE, adding).await.map_err(|_| CannotCount::TooSlow)??)
    }
}
