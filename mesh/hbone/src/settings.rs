//! What both ends of a tunnel keep to (wire.md §2).

use std::time::Duration;

/// Limits and times of HBONE connections. Windows are limits, not allocations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bytes a peer may send on one stream before we take them (`HTTP2_STREAM_WINDOW_SIZE`).
    pub stream_window: u32,
    /// Bytes a peer may send on one connection before we take them
    /// (`HTTP2_CONNECTION_WINDOW_SIZE`): some times the stream's, so that one
    /// stalled stream does not starve the others (HB-19).
    pub connection_window: u32,
    /// The largest frame we take (`HTTP2_FRAME_SIZE`).
    pub frame_size: u32,
    /// Streams a peer may have open on a connection to us.
    pub accepted_streams: u32,
    /// Bytes of headers in a request to us.
    pub accepted_headers: u32,
    /// Bytes of headers in an answer to us.
    pub answer_headers: u32,
    /// Streams we open on one connection (`POOL_MAX_STREAMS_PER_CONNECTION`); the peer may allow fewer.
    pub pooled_streams: usize,
    /// An unused connection is closed after this (`POOL_UNUSED_RELEASE_TIMEOUT`).
    pub unused_release: Duration,
    /// How often the peer is asked whether it lives.
    pub ping_interval: Duration,
    /// How long it may take to say so.
    pub ping_timeout: Duration,
    /// How long a handshake may take, TLS and HTTP/2 each.
    pub handshake_timeout: Duration,
    /// How long the far end may take to answer a CONNECT; it connects to the application meanwhile.
    pub answer_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        const MIB: u32 = 1 << 20;
        Settings {
            stream_window: 4 * MIB,
            connection_window: 16 * MIB,
            frame_size: MIB,
            accepted_streams: 200,
            accepted_headers: 64 << 10,
            answer_headers: 16 << 10,
            pooled_streams: 100,
            unused_release: Duration::from_mins(5),
            ping_interval: Duration::from_secs(10),
            ping_timeout: Duration::from_secs(20),
            handshake_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(30),
        }
    }
}
