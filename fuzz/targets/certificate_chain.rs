//! The answer of a certificate authority, its entries apart by a zero: nobody has certified
//! this key, so no answer is a certificate for it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_identity::key::KeyRequest;
use mesh_identity::{Certificate, Profile};
use mesh_model::Identity;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    let chain: Vec<String> = text.split('\0').map(str::to_owned).collect();
    let identity = Identity::new("cluster.local", "default", "web");
    let request = KeyRequest::generate(&identity).unwrap();
    let refused = Certificate::from_chain(&identity, &chain, request, Profile::default()).err().unwrap();
    assert!(!refused.to_string().is_empty());
});
