//! Huffman's code for header strings (RFC 7541 §5.2, Appendix B). It is canonical:
//! the lengths of the codes say everything, so only those stand here.

use super::decoder::HpackError;

const SYMBOLS: usize = 257;
const LONGEST: usize = 30;
/// Never sent: its beginning, all ones, is the padding.
const END: u16 = 256;

/// The length of each symbol's code in bits.
#[rustfmt::skip]
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// The code by lengths.
struct Code {
    /// The first code of each length.
    first: [u32; LONGEST + 1],
    /// How many there are of it.
    count: [u32; LONGEST + 1],
    /// Where its symbols begin.
    offset: [u32; LONGEST + 1],
    /// Ordered by length, then by number.
    symbols: [u16; SYMBOLS],
}

static CODE: Code = Code::build();

impl Code {
    const fn build() -> Self {
        let mut code = Code {
            first: [0; LONGEST + 1],
            count: [0; LONGEST + 1],
            offset: [0; LONGEST + 1],
            symbols: [0; SYMBOLS],
        };
        let (mut length, mut next, mut placed) = (1, 0, 0);
        while length <= LONGEST {
            next <<= 1;
            code.first[length] = next;
            code.offset[length] = placed;
            let mut symbol = 0;
            while symbol < SYMBOLS {
                if LENGTHS[symbol] as usize == length {
                    code.symbols[placed as usize] = symbol as u16;
                    placed += 1;
                    next += 1;
                }
                symbol += 1;
            }
            code.count[length] = placed - code.offset[length];
            length += 1;
        }
        code
    }

    fn find(&self, bits: u32, length: usize) -> Option<u16> {
        let at = bits.checked_sub(self.first[length]).filter(|at| *at < self.count[length])?;
        self.symbols.get((self.offset[length] + at) as usize).copied()
    }
}

/// Appends what `coded` stands for.
pub(super) fn decode(coded: &[u8], out: &mut Vec<u8>) -> Result<(), HpackError> {
    let (mut bits, mut length) = (0u32, 0);
    for byte in coded {
        for shift in (0..8).rev() {
            bits = bits << 1 | u32::from(byte >> shift & 1);
            length += 1;
            match CODE.find(bits, length) {
                Some(END) => return Err(HpackError::Huffman),
                Some(symbol) => {
                    out.push(symbol.to_le_bytes()[0]);
                    (bits, length) = (0, 0);
                }
                None if length == LONGEST => return Err(HpackError::Huffman),
                None => {}
            }
        }
    }
    // What is left is padding: fewer than eight bits, all ones.
    if length >= 8 || bits != (1 << length) - 1 {
        return Err(HpackError::Huffman);
    }
    Ok(())
}
