//! Packets over a real socket pair, and what they say.

use std::fs::File;
use std::io::IoSlice;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use mesh_proto::istio::workload::zds::{
    AddWorkload, DelWorkload, KeepWorkload, SnapshotSent, WorkloadInfo, WorkloadRequest, WorkloadResponse,
    ZdsHello, workload_request::Payload, workload_response,
};
use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair};
use prost::Message as _;

use super::message::{self, Malformed, Message};
use super::packet::{LARGEST_PACKET, Packet, PacketSocket};
use crate::pods::PodUid;

fn pair() -> (PacketSocket, OwnedFd) {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap();
    (PacketSocket::from_descriptor(ours).unwrap(), theirs)
}

fn send(socket: &OwnedFd, bytes: &[u8], descriptors: &[RawFd]) {
    let rights = [ControlMessage::ScmRights(descriptors)];
    let control = if descriptors.is_empty() { &[][..] } else { &rights[..] };
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(bytes)], control, MsgFlags::empty(), None).unwrap();
}

fn request(payload: Payload) -> Vec<u8> {
    WorkloadRequest { payload: Some(payload) }.encode_to_vec()
}

fn add(uid: &str, with_info: bool) -> Vec<u8> {
    let info = WorkloadInfo { name: "n".into(), namespace: "ns".into(), service_account: "sa".into() };
    request(Payload::Add(AddWorkload { uid: uid.into(), workload_info: with_info.then_some(info) }))
}

fn decode(bytes: Vec<u8>, descriptors: usize) -> Result<Message, Malformed> {
    let descriptors = (0..descriptors).map(|_| File::open("/dev/null").unwrap().into()).collect();
    Message::decode(Packet { bytes, descriptors })
}

#[tokio::test]
async fn cni_08_packets_keep_their_borders_and_their_descriptors() {
    let (socket, agent) = pair();
    let file = File::open("/proc/self/ns/net").unwrap();
    send(&agent, b"first", &[file.as_raw_fd()]);
    send(&agent, b"second", &[]);
    let first = socket.receive().await.unwrap().unwrap();
    assert_eq!((first.bytes.as_slice(), first.descriptors.len()), (&b"first"[..], 1));
    let second = socket.receive().await.unwrap().unwrap();
    assert_eq!((second.bytes.as_slice(), second.descriptors.len()), (&b"second"[..], 0));
    drop(agent);
    assert!(socket.receive().await.unwrap().is_none(), "the end is no packet");
}

#[tokio::test]
async fn cni_08_a_packet_that_is_too_large_is_an_error() {
    let (socket, agent) = pair();
    send(&agent, &vec![0; LARGEST_PACKET], &[]);
    assert_eq!(socket.receive().await.unwrap().unwrap().bytes.len(), LARGEST_PACKET);
    send(&agent, &vec![0; LARGEST_PACKET + 1], &[]);
    assert!(socket.receive().await.unwrap_err().to_string().contains("larger than 1024"));
}

#[tokio::test]
async fn cni_09_stray_descriptors_are_closed_not_leaked() {
    let (socket, agent) = pair();
    let (reader, writer) = nix::unistd::pipe().unwrap();
    send(&agent, b"x", &[writer.as_raw_fd(), writer.as_raw_fd()]);
    drop(writer);
    let packet = socket.receive().await.unwrap().unwrap();
    assert!(Message::decode(packet).is_err());
    // With every copy of the writing end closed, reading ends.
    assert_eq!(nix::unistd::read(&reader, &mut [0; 1]).unwrap(), 0);
}

#[test]
fn cni_08_each_message_is_understood() {
    let Message::Add(pod) = decode(add("u", true), 1).unwrap() else { panic!("not an add") };
    assert_eq!((pod.uid, &*pod.info.service_account), (PodUid("u".into()), "sa"));
    let keep = decode(request(Payload::Keep(KeepWorkload { uid: "u".into() })), 0).unwrap();
    assert!(matches!(keep, Message::Keep(uid) if &*uid.0 == "u"));
    let del = decode(request(Payload::Del(DelWorkload { uid: "u".into() })), 0).unwrap();
    assert!(matches!(del, Message::Remove(uid) if &*uid.0 == "u"));
    let sent = decode(request(Payload::SnapshotSent(SnapshotSent {})), 0).unwrap();
    assert!(matches!(sent, Message::SnapshotSent));
}

#[test]
fn cni_09_malformed_messages_are_refused_and_said_why() {
    let del = request(Payload::Del(DelWorkload { uid: "u".into() }));
    for (bytes, descriptors, expected) in [
        (add("u", true), 0, Malformed::NotOneDescriptor(0)),
        (add("u", true), 2, Malformed::NotOneDescriptor(2)),
        (add("u", false), 1, Malformed::NoInfo),
        (add("", true), 1, Malformed::NoUid),
        (del, 1, Malformed::StrayDescriptor),
        (Vec::new(), 0, Malformed::NoPayload),
    ] {
        assert_eq!(decode(bytes, descriptors).unwrap_err(), expected);
    }
    assert!(matches!(decode(vec![0xff; 7], 0), Err(Malformed::NotARequest(_))));
}

#[test]
fn cni_08_what_ztunnel_says() {
    assert_eq!(ZdsHello::decode(&message::hello()[..]).unwrap().version, 1);
    for (error, sent) in [(None, String::new()), (Some("é".repeat(1000)), "é".repeat(450))] {
        let packet = message::ack(error);
        assert!(packet.len() <= LARGEST_PACKET);
        let workload_response::Payload::Ack(ack) =
            WorkloadResponse::decode(&packet[..]).unwrap().payload.unwrap();
        assert_eq!(ack.error, sent);
    }
}
