//! Frames of HTTP/2 (RFC 9113) and the header blocks in them (RFC 7541), as far
//! as tunnels need them: CONNECT, DATA and what keeps a connection in order.
//! Nothing here does I/O: bytes go in as they came, frames come out.

mod head;
mod hpack;
mod read;
mod reason;
mod write;

pub use head::{HEAD, Head, Kind, PREFACE};
pub use hpack::{Decoder, HpackError, encode_field, encode_status};
pub use read::{Frame, FrameReader, Limits, Setting};
pub use reason::{ProtocolError, Reason};
pub use write::{data_head, go_away, headers, ping, pong, reset, settings, settings_ack, window_update};
