//! Connections to the pod: tunnels from other proxies on the HBONE port, and
//! plain connections.

mod admission;
mod checks;
mod describe;
mod guard;
mod hbone;
mod plaintext;
mod request;

pub(crate) use hbone::{MOST_HANDSHAKES, serve_hbone};
pub(crate) use plaintext::serve_plaintext;
