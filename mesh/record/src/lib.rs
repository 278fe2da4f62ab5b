//! TLS 1.3 records of our own: rustls makes the handshake and hands over the
//! traffic keys, then records are sealed and opened in place, without a copy
//! through anybody's buffer. What TLS asks for besides is here, too: key
//! updates, session tickets, alerts, the limits of RFC 8446 §5.

mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
mod handshake;
mod incoming;
mod keys;
mod open;
mod seal;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod wire;

pub use error::RecordError;
pub use handshake::{Session, accept, connect};
pub use open::{Opened, Opener};
pub use rustls::AlertDescription;
pub use seal::Sealer;
pub use wire::{HEADER, LARGEST_PAYLOAD, LARGEST_RECORD, TRAILER, find_record};
