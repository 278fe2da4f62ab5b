//! The messages of ZDS: what a packet says, and the packets ztunnel answers with.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use mesh_proto::istio::workload::zds;
use prost::Message as _;
use serde::Serialize;
use thiserror::Error;

use super::packet::Packet;
use crate::pods::PodUid;

/// What the node agent says.
#[derive(Debug)]
pub(crate) enum Message {
    /// A pod is there, and this is its network namespace.
    Add(AddedPod),
    /// A pod ztunnel knows from an earlier connection is still there.
    Keep(PodUid),
    /// A pod is gone or no longer enrolled.
    Remove(PodUid),
    /// Every pod of the node has been named.
    SnapshotSent,
}

/// A pod with its network namespace.
#[derive(Debug)]
pub(crate) struct AddedPod {
    pub(crate) uid: PodUid,
    pub(crate) info: PodInfo,
    pub(crate) namespace: OwnedFd,
}

/// What is known of a pod before the controller has said anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodInfo {
    pub(crate) name: Arc<str>,
    pub(crate) namespace: Arc<str>,
    pub(crate) service_account: Arc<str>,
}

/// A packet that says nothing ztunnel understands.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum Malformed {
    #[error("not a ZDS request: {0}")]
    NotARequest(prost::DecodeError),
    #[error("the request has no payload this version knows")]
    NoPayload,
    #[error("the request names no pod: uid is empty")]
    NoUid,
    #[error("an add carries no workload_info")]
    NoInfo,
    #[error("an add carries {0} descriptors; it takes exactly one, the pod's network namespace")]
    NotOneDescriptor(usize),
    #[error("only an add may carry a descriptor")]
    StrayDescriptor,
}

impl Message {
    pub(crate) fn decode(packet: Packet) -> Result<Self, Malformed> {
        use zds::workload_request::Payload;
        let request = zds::WorkloadRequest::decode(&packet.bytes[..]).map_err(Malformed::NotARequest)?;
        let mut descriptors = packet.descriptors;
        let count = descriptors.len();
        let payload = request.payload.ok_or(Malformed::NoPayload)?;
        if count > 0 && !matches!(payload, Payload::Add(_)) {
            return Err(Malformed::StrayDescriptor);
        }
        match payload {
            Payload::Add(add) => {
                let info = add.workload_info.ok_or(Malformed::NoInfo)?;
                let only = descriptors.pop().filter(|_| count == 1);
                let namespace = only.ok_or(Malformed::NotOneDescriptor(count))?;
                Ok(Message::Add(AddedPod { uid: uid(add.uid)?, info: info.into(), namespace }))
            }
            Payload::Keep(keep) => Ok(Message::Keep(uid(keep.uid)?)),
            Payload::Del(del) => Ok(Message::Remove(uid(del.uid)?)),
            Payload::SnapshotSent(zds::SnapshotSent {}) => Ok(Message::SnapshotSent),
        }
    }
}

impl From<zds::WorkloadInfo> for PodInfo {
    fn from(info: zds::WorkloadInfo) -> Self {
        PodInfo {
            name: info.name.into(),
            namespace: info.namespace.into(),
            service_account: info.service_account.into(),
        }
    }
}

fn uid(text: String) -> Result<PodUid, Malformed> {
    if text.is_empty() { Err(Malformed::NoUid) } else { Ok(PodUid(text.into())) }
}

/// The packet that opens a conversation.
pub(super) fn hello() -> Vec<u8> {
    zds::ZdsHello { version: zds::Version::V1.into() }.encode_to_vec()
}

/// The packet that answers a request; an error is cut so that it fits in one.
pub(crate) fn ack(error: Option<String>) -> Vec<u8> {
    const LONGEST_ERROR: usize = 900;
    let mut error = error.unwrap_or_default();
    error.truncate(error.floor_char_boundary(LONGEST_ERROR));
    let payload = zds::workload_response::Payload::Ack(zds::Ack { error });
    zds::WorkloadResponse { payload: Some(payload) }.encode_to_vec()
}
