//! Header blocks of one connection: each is fields or an error, what was read can be
//! written and is read the same again, and names that are lent cost nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_frames::{Decoder, encode_field};

fuzz_target!(|data: &[u8]| {
    let mut decoder = Decoder::default();
    for block in data.split(|byte| *byte == 0xff) {
        let mut fields = Vec::new();
        let add = |name: &[u8], value: &[u8]| {
            // Indexed fields are a byte each here and may be long there.
            if fields.len() < 64 {
                fields.push((name.to_vec(), value.to_vec()));
            }
        };
        if decoder.decode(block, add).is_err() {
            return;
        }
        let mut written = Vec::new();
        for (name, value) in &fields {
            encode_field(&mut written, name, value);
        }
        let mut again = Vec::new();
        let add = |name: &[u8], value: &[u8]| again.push((name.to_vec(), value.to_vec()));
        Decoder::default().decode(&written, add).unwrap();
        assert_eq!(again, fields);
    }
});
