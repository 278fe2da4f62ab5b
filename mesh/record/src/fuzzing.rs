//! What the fuzz targets reach of this crate: an opener without a handshake before
//! it, and somebody who has its keys and seals what he likes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::ConnectionTrafficSecrets;
use rustls::crypto::cipher::{AeadKey, Iv};

use crate::keys::{Key, Schedule, Secrets};
use crate::wire::{HEADER, TAG};
use crate::{Opener, RecordError, Sealer};

/// Seals anything under the key that the opener expects at that time.
pub struct Forger {
    sealer: Sealer,
    schedule: Schedule,
    /// The number of the key that `sealer` has.
    generation: u64,
    /// The number of the key that the opener has.
    expected: Arc<AtomicU64>,
}

/// An opener, and who has its keys.
#[expect(clippy::expect_used, reason = "a target that cannot start has to say so")]
pub fn pair() -> (Forger, Opener) {
    let expected = Arc::new(AtomicU64::new(0));
    let schedule = Schedule::new(Known { opening: Arc::clone(&expected), sealing: 0 });
    let key = || Key::new(0, &secrets(0)).expect("a key");
    let sealer = Sealer::new(key(), schedule.clone());
    let opener = Opener::new(key(), schedule.clone());
    (Forger { sealer, schedule, generation: 0, expected }, opener)
}

impl Forger {
    /// A record with this between header and tag, 2^16 bytes at most with the tag.
    pub fn seal(&mut self, inner: &[u8]) -> Result<Vec<u8>, RecordError> {
        while self.generation < self.expected.load(Ordering::Relaxed) {
            self.generation += 1;
            self.sealer = Sealer::new(self.schedule.next_sealing()?, self.schedule.clone());
        }
        let mut record = [&[0; HEADER], inner, &[0; TAG]].concat();
        self.sealer.seal_inner(&mut record)?;
        Ok(record)
    }
}

/// Keys in a row, the same in both directions.
struct Known {
    opening: Arc<AtomicU64>,
    sealing: u64,
}

impl Secrets for Known {
    fn next_sealing(&mut self) -> Result<ConnectionTrafficSecrets, rustls::Error> {
        self.sealing += 1;
        Ok(secrets(self.sealing))
    }

    fn next_opening(&mut self) -> Result<ConnectionTrafficSecrets, rustls::Error> {
        Ok(secrets(self.opening.fetch_add(1, Ordering::Relaxed) + 1))
    }

    fn keep_ticket(&mut self, _: &[u8]) -> Result<(), RecordError> {
        Ok(())
    }
}

fn secrets(generation: u64) -> ConnectionTrafficSecrets {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&generation.to_be_bytes());
    ConnectionTrafficSecrets::Aes256Gcm { key: AeadKey::from(key), iv: Iv::from([7; 12]) }
}
