//! Fields as we write them: literal, with a name from the static table where it
//! has it. The peer's table is left alone, so blocks do not depend on each other.

use super::integer;
use super::table::STATIC;

/// Appends a field to a block. Names have to be lower case.
pub fn encode_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    match STATIC.iter().position(|(known, _)| known.as_bytes() == name) {
        Some(at) => integer::write(out, 0, 4, at + 1),
        None => {
            out.push(0);
            string(out, name);
        }
    }
    string(out, value);
}

/// Appends `:status`.
pub fn encode_status(out: &mut Vec<u8>, status: u16) {
    if status == 200 {
        // The whole field stands in the table.
        integer::write(out, 0x80, 7, 8);
    } else {
        encode_field(out, b":status", status.to_string().as_bytes());
    }
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    integer::write(out, 0, 7, bytes.len());
    out.extend_from_slice(bytes);
}
