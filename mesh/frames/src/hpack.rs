//! Header blocks (RFC 7541). Reading understands all of it, since peers compress
//! as they like; writing needs neither the table nor Huffman's code. Written here
//! because h2 keeps its own to itself and the crates that offer one are either
//! unmaintained or build a hash map for every string.

mod decoder;
mod encoder;
mod huffman;
mod integer;
mod table;

pub use decoder::{Decoder, HpackError};
pub use encoder::{encode_field, encode_status};

#[cfg(test)]
mod tests;
