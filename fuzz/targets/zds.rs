//! A packet of the node agent, with as many descriptors as the first byte says: what is
//! understood is understood again, and every answer fits in a packet.
#![no_main]

use std::fs::File;
use std::os::fd::OwnedFd;

use libfuzzer_sys::fuzz_target;
use mesh_proto::istio::workload::zds::{WorkloadResponse, workload_request, workload_response};
use prost::Message;
use ztunnel::fuzzing::{answer_zds, read_zds};

/// The largest packet.
const LARGEST: usize = 1024;

fuzz_target!(|data: &[u8]| {
    let Some((count, packet)) = data.split_first() else { return };
    let count = usize::from(count % 3);
    let read = read_zds(packet, descriptors(count));
    if let Ok(request) = &read {
        let takes_descriptor = matches!(request.payload, Some(workload_request::Payload::Add(_)));
        assert_eq!(count, usize::from(takes_descriptor));
        let again = read_zds(&request.encode_to_vec(), descriptors(count));
        assert_eq!(again.as_ref(), Ok(request));
    }
    let error = read.err();
    let answer = answer_zds(error.clone());
    assert!(answer.len() <= LARGEST);
    let Some(workload_response::Payload::Ack(ack)) = WorkloadResponse::decode(&answer[..]).unwrap().payload
    else {
        panic!("an answer that is none");
    };
    assert!(error.unwrap_or_default().starts_with(&ack.error));
});

fn descriptors(count: usize) -> Vec<OwnedFd> {
    (0..count).map(|_| File::open("/dev/null").unwrap().into()).collect()
}
