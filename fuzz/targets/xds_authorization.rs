//! Policies as they arrive: encoded and read again they are the same, and errors say where.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_model::codec::authorization::{encode, from_bytes};
use prost::Message;

fuzz_target!(|data: &[u8]| match from_bytes(data) {
    Err(error) => assert!(!error.reason.is_empty()),
    Ok(policy) => assert_eq!(from_bytes(&encode(&policy).encode_to_vec()), Ok(policy)),
});
