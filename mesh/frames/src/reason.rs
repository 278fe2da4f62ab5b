//! Why a stream or a connection is ended (RFC 9113 §7).

use std::fmt;

/// An error code.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Reason(pub u32);

impl Reason {
    /// Nothing went wrong.
    pub const NO_ERROR: Reason = Reason(0);
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: Reason = Reason(1);
    /// We cannot go on.
    pub const INTERNAL_ERROR: Reason = Reason(2);
    /// More was sent than the window allows.
    pub const FLOW_CONTROL_ERROR: Reason = Reason(3);
    /// A frame came for a stream that had ended.
    pub const STREAM_CLOSED: Reason = Reason(5);
    /// A frame has a length it cannot have.
    pub const FRAME_SIZE_ERROR: Reason = Reason(6);
    /// The stream was not looked at and may be asked for again.
    pub const REFUSED_STREAM: Reason = Reason(7);
    /// The stream is no longer needed.
    pub const CANCEL: Reason = Reason(8);
    /// A header block cannot be read.
    pub const COMPRESSION_ERROR: Reason = Reason(9);
    /// The peer keeps us busy with nothing.
    pub const ENHANCE_YOUR_CALM: Reason = Reason(11);

    fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            0 => "NO_ERROR",
            1 => "PROTOCOL_ERROR",
            2 => "INTERNAL_ERROR",
            3 => "FLOW_CONTROL_ERROR",
            4 => "SETTINGS_TIMEOUT",
            5 => "STREAM_CLOSED",
            6 => "FRAME_SIZE_ERROR",
            7 => "REFUSED_STREAM",
            8 => "CANCEL",
            9 => "COMPRESSION_ERROR",
            10 => "CONNECT_ERROR",
            11 => "ENHANCE_YOUR_CALM",
            12 => "INADEQUATE_SECURITY",
            13 => "HTTP_1_1_REQUIRED",
            _ => return None,
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "error code {}", self.0),
        }
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a peer did that ends its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} ({reason})")]
pub struct ProtocolError {
    /// The code to tell it.
    pub reason: Reason,
    /// What it did.
    pub what: &'static str,
}

impl ProtocolError {
    /// PROTOCOL_ERROR.
    pub fn protocol(what: &'static str) -> Self {
        ProtocolError { reason: Reason::PROTOCOL_ERROR, what }
    }

    /// FRAME_SIZE_ERROR.
    pub fn size(what: &'static str) -> Self {
        ProtocolError { reason: Reason::FRAME_SIZE_ERROR, what }
    }

    /// FLOW_CONTROL_ERROR.
    pub fn flow(what: &'static str) -> Self {
        ProtocolError { reason: Reason::FLOW_CONTROL_ERROR, what }
    }

    /// ENHANCE_YOUR_CALM.
    pub fn excess(what: &'static str) -> Self {
        ProtocolError { reason: Reason::ENHANCE_YOUR_CALM, what }
    }
}
