//! Routes as they arrive: encoded and read again they are the same, and errors say where.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_model::codec::service_config::{encode, from_bytes};
use prost::Message;

fuzz_target!(|data: &[u8]| match from_bytes(data) {
    Err(error) => assert!(!error.reason.is_empty()),
    Ok(config) => assert_eq!(from_bytes(&encode(&config).encode_to_vec()), Ok(config)),
});
