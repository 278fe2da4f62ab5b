//! What the fuzz targets reach of this crate: the packets of the node agent, and the names pods ask for.

use std::os::fd::OwnedFd;

use mesh_proto::istio::workload::zds;

use crate::zds::{Message, Packet, ack};

/// What a packet was understood to say, as it would be said again; or why it says nothing.
pub fn read_zds(bytes: &[u8], descriptors: Vec<OwnedFd>) -> Result<zds::WorkloadRequest, String> {
    use zds::workload_request::Payload;
    let packet = Packet { bytes: bytes.to_vec(), descriptors };
    let payload = match Message::decode(packet).map_err(|malformed| malformed.to_string())? {
        Message::Add(pod) => {
            let workload_info = Some(zds::WorkloadInfo {
                name: pod.info.name.to_string(),
                namespace: pod.info.namespace.to_string(),
                service_account: pod.info.service_account.to_string(),
            });
            Payload::Add(zds::AddWorkload { uid: pod.uid.0.to_string(), workload_info })
        }
        Message::Keep(uid) => Payload::Keep(zds::KeepWorkload { uid: uid.0.to_string() }),
        Message::Remove(uid) => Payload::Del(zds::DelWorkload { uid: uid.0.to_string() }),
        Message::SnapshotSent => Payload::SnapshotSent(zds::SnapshotSent {}),
    };
    Ok(zds::WorkloadRequest { payload: Some(payload) })
}

/// The answer to a packet.
pub fn answer_zds(error: Option<String>) -> Vec<u8> {
    ack(error)
}

/// Every reply a question by datagram may get, and how long each may be; none if it is no question.
pub fn answer_dns(question: &[u8], elsewhere: Vec<u8>) -> Option<(usize, Vec<Vec<u8>>)> {
    crate::dns::fuzzing::replies(question, elsewhere)
}
