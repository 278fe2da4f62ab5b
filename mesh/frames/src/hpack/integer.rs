//! Numbers with a prefix (RFC 7541 §5.1).

use super::decoder::HpackError;

/// No number in a block we take is larger.
const LARGEST: usize = 1 << 28;

/// Reads a number whose first byte holds `prefix` bits of it.
pub(super) fn read(input: &mut &[u8], prefix: u32) -> Result<usize, HpackError> {
    let (first, mut rest) = input.split_first().ok_or(HpackError::CutOff)?;
    let mask = (1usize << prefix) - 1;
    let mut value = usize::from(*first) & mask;
    if value == mask {
        let mut shift = 0;
        loop {
            let (byte, after) = rest.split_first().ok_or(HpackError::CutOff)?;
            rest = after;
            value += usize::from(byte & 0x7f) << shift;
            if value > LARGEST || shift > 28 {
                return Err(HpackError::TooLarge);
            }
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    *input = rest;
    Ok(value)
}

/// Writes one; `first` holds the bits above the prefix.
pub(super) fn write(out: &mut Vec<u8>, first: u8, prefix: u32, mut value: usize) {
    let mask = (1usize << prefix) - 1;
    if value < mask {
        out.push(first | low_byte(value));
        return;
    }
    out.push(first | low_byte(mask));
    value -= mask;
    while value >= 0x80 {
        out.push(0x80 | low_byte(value & 0x7f));
        value >>= 7;
    }
    out.push(low_byte(value));
}

fn low_byte(value: usize) -> u8 {
    value.to_le_bytes()[0]
}
