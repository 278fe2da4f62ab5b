//! What the fuzz targets reach of this crate: both ends without the TLS under
//! them, and the head of a request as it is written.

use mesh_model::Identity;

use crate::{ConnectRequest, TlsStream};

/// The header block of the request as it is sent.
pub fn to_block(request: &ConnectRequest) -> Vec<u8> {
    request.to_block()
}

/// A connection to `peer` whose bytes are those that come out of TLS.
pub fn decrypted<IO>(io: IO, peer: Identity) -> TlsStream<IO> {
    TlsStream::decrypted(io, peer)
}
