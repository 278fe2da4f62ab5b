//! Header blocks as peers write them.

use super::huffman;
use super::integer;
use super::table::{Table, find_static};

/// The table a peer may use: what RFC 9113 §6.5.2 begins with, and we never change it.
const TABLE: usize = 4096;

/// Why a block cannot be read; the connection cannot go on (RFC 9113 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HpackError {
    /// It ends in the middle of something.
    #[error("a header block that is cut off")]
    CutOff,
    /// A number is larger than any that makes sense.
    #[error("a header block with a number that is too large")]
    TooLarge,
    /// It names a field no table has.
    #[error("a header block that names a field nobody sent")]
    UnknownIndex,
    /// It changes the table's size at the wrong place or beyond the limit.
    #[error("a header block with a wrong change of the table's size")]
    TableSize,
    /// It is not Huffman's code.
    #[error("a header block with a string that is not its code")]
    Huffman,
}

/// Reads the blocks of one direction of a connection, all of them in order.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    /// Strings that came in Huffman's code.
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder { table: Table::new(TABLE), name: Vec::new(), value: Vec::new() }
    }
}

impl Decoder {
    /// Hands every field of the block to `field`. What it costs grows with the
    /// block alone: names and values are lent, not copied.
    pub fn decode(
        &mut self,
        mut block: &[u8],
        mut field: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), HpackError> {
        let mut begun = false;
        while let Some(first) = block.first() {
            match first {
                0x80.. => {
                    let index = integer::read(&mut block, 7)?;
                    let (name, value) = self.find(index)?;
                    field(name, value);
                }
                0x40..0x80 => self.literal(&mut block, 6, true, &mut field)?,
                0x20..0x40 => {
                    let size = integer::read(&mut block, 5)?;
                    if begun || size > TABLE {
                        return Err(HpackError::TableSize);
                    }
                    self.table.limit(size);
                    continue;
                }
                ..0x20 => self.literal(&mut block, 4, false, &mut field)?,
            }
            begun = true;
        }
        Ok(())
    }

    fn find(&self, index: usize) -> Result<(&[u8], &[u8]), HpackError> {
        find_static(index).or_else(|| self.table.find(index)).ok_or(HpackError::UnknownIndex)
    }

    fn literal(
        &mut self,
        block: &mut &[u8],
        prefix: u32,
        remember: bool,
        field: &mut impl FnMut(&[u8], &[u8]),
    ) -> Result<(), HpackError> {
        let mut rest: &[u8] = block;
        let index = integer::read(&mut rest, prefix)?;
        let literal = match index {
            0 => string(&mut rest, &mut self.name)?,
            _ => &[],
        };
        let value = string(&mut rest, &mut self.value)?;
        let name = match index {
            0 => literal,
            // Not by `find`, which would borrow the strings too.
            _ => find_static(index).or_else(|| self.table.find(index)).ok_or(HpackError::UnknownIndex)?.0,
        };
        field(name, value);
        if remember {
            // Owned first: the name may stand in the very entry that has to go.
            let entry = (name.into(), value.into());
            self.table.insert(entry);
        }
        let taken = block.len() - rest.len();
        *block = &block[taken..];
        Ok(())
    }
}

/// A string as it stands in the block, or decoded into `place`.
fn string<'a>(block: &mut &'a [u8], place: &'a mut Vec<u8>) -> Result<&'a [u8], HpackError> {
    let coded = block.first().is_some_and(|first| first & 0x80 != 0);
    let length = integer::read(block, 7)?;
    let (bytes, rest) = block.split_at_checked(length).ok_or(HpackError::CutOff)?;
    *block = rest;
    if !coded {
        return Ok(bytes);
    }
    place.clear();
    huffman::decode(bytes, place)?;
    Ok(place)
}
