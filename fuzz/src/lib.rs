//! What several targets need: a request's head out of a text, a connection in
//! memory, time that stands still, one authority for all certificates, handshakes with it.

pub mod authority;
pub mod frames;
pub mod head;
pub mod runtime;
pub mod tls;
pub mod wire;
