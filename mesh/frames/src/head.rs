//! The nine bytes every frame begins with (RFC 9113 §4.1).

/// What a client says first (RFC 9113 §3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The length of a frame's head in bytes.
pub const HEAD: usize = 9;

pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;
pub(crate) const PADDED: u8 = 0x8;
pub(crate) const PRIORITY: u8 = 0x20;

/// The type of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(pub u8);

impl Kind {
    /// Bytes of a stream.
    pub const DATA: Kind = Kind(0);
    /// A request, an answer or trailers.
    pub const HEADERS: Kind = Kind(1);
    /// Says which stream matters more; without effect.
    pub const PRIORITY: Kind = Kind(2);
    /// Ends a stream at once.
    pub const RST_STREAM: Kind = Kind(3);
    /// What the sender keeps to, and wants kept to.
    pub const SETTINGS: Kind = Kind(4);
    /// Announces a stream nobody asked for; never allowed here.
    pub const PUSH_PROMISE: Kind = Kind(5);
    /// Asks whether the peer is there.
    pub const PING: Kind = Kind(6);
    /// Begins the end of a connection.
    pub const GOAWAY: Kind = Kind(7);
    /// Allows more bytes.
    pub const WINDOW_UPDATE: Kind = Kind(8);
    /// More of a header block.
    pub const CONTINUATION: Kind = Kind(9);
}

/// What a frame says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Bytes that follow, less than 2^24.
    pub length: u32,
    /// Its type.
    pub kind: Kind,
    /// What its flags mean depends on the type.
    pub flags: u8,
    /// 0 for the connection.
    pub stream: u32,
}

impl Head {
    /// Reads one; the reserved bit is ignored.
    pub fn read(bytes: [u8; HEAD]) -> Self {
        let [a, b, c, kind, flags, w, x, y, z] = bytes;
        Head {
            length: u32::from_be_bytes([0, a, b, c]),
            kind: Kind(kind),
            flags,
            stream: u32::from_be_bytes([w, x, y, z]) & 0x7fff_ffff,
        }
    }

    /// The bytes to send.
    pub fn write(self) -> [u8; HEAD] {
        let [_, a, b, c] = self.length.to_be_bytes();
        let [w, x, y, z] = self.stream.to_be_bytes();
        [a, b, c, self.kind.0, self.flags, w, x, y, z]
    }

    pub(crate) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}
