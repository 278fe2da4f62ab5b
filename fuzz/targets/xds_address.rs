//! Workloads and services as they arrive: encoded and read again they are the same, and errors say where.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_model::AddressResource;
use mesh_model::codec::address::{encode_service, encode_workload, from_bytes};
use prost::Message;

fuzz_target!(|data: &[u8]| match from_bytes(data) {
    Err(error) => assert!(!error.reason.is_empty()),
    Ok(resource) => {
        let wire = match &resource {
            AddressResource::Workload(workload) => encode_workload(workload),
            AddressResource::Service(service) => encode_service(service),
        };
        assert_eq!(from_bytes(&wire.encode_to_vec()), Ok(resource));
    }
});
