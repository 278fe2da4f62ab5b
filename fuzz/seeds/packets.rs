//! What arrives on sockets: PROXY headers, packets of ZDS, frames of HTTP/2.

use std::net::SocketAddr;

use adit_fuzz::frames::{frame, header};
use mesh_net::proxy_protocol::header_v2;
use mesh_proto::istio::workload::zds;
use prost::Message;
use zds::workload_request::Payload;

use crate::Seed;

const SETTINGS: u8 = 4;
const ACK: u8 = 1;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

pub(crate) fn seeds() -> Vec<Seed> {
    [proxy_headers(), zds_packets(), client_frames(), server_frames(), framing()].concat()
}

fn proxy_headers() -> Vec<Seed> {
    let v4 = |last| SocketAddr::from(([10, 0, 0, last], 4711));
    let v6 = |last| SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, last], 80));
    let mut local = header_v2(v4(1), v4(2), None);
    local[12] = 0x20;
    vec![
        ("proxy_protocol", "v4", header_v2(v4(1), v4(2), None)),
        ("proxy_protocol", "v6", header_v2(v6(1), v6(2), Some("spiffe://td/ns/prod/sa/web"))),
        ("proxy_protocol", "local", local),
    ]
}

fn zds_packets() -> Vec<Seed> {
    let packet = |descriptors: u8, payload| {
        let request = zds::WorkloadRequest { payload: Some(payload) };
        [vec![descriptors], request.encode_to_vec()].concat()
    };
    let uid = || "6b1d4fd8-0c46-4f8e-9b4e-1f6c8f6f3c11".to_owned();
    let info = zds::WorkloadInfo {
        name: "web-1".to_owned(),
        namespace: "prod".to_owned(),
        service_account: "web".to_owned(),
    };
    let add = zds::AddWorkload { uid: uid(), workload_info: Some(info) };
    vec![
        ("zds", "add", packet(1, Payload::Add(add.clone()))),
        ("zds", "add_without_namespace", packet(0, Payload::Add(add))),
        ("zds", "keep", packet(0, Payload::Keep(zds::KeepWorkload { uid: uid() }))),
        ("zds", "delete", packet(0, Payload::Del(zds::DelWorkload { uid: uid() }))),
        ("zds", "snapshot_sent", packet(0, Payload::SnapshotSent(zds::SnapshotSent {}))),
    ]
}

/// Frames with the length of the pieces they are read in before them, and header blocks apart from frames.
fn framing() -> Vec<Seed> {
    let block = [header(":method", "CONNECT"), header(":authority", "10.0.0.2:80")].concat();
    let (first, rest) = block.split_at(block.len() / 2);
    let frames = [
        frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9]),
        frame(HEADERS, 0, 1, first),
        frame(9, END_HEADERS, 1, rest),
        frame(DATA, 8, 1, &[&[3][..], b"padded", &[0; 3]].concat()),
        frame(DATA, END_STREAM, 1, b"end"),
    ]
    .concat();
    // Remembered, named by its number, in Huffman's code, and after the table was made smaller.
    let remembered = [
        &[0x40, 1, b'a', 2, b'b', b'b', 0xbe][..],
        &[0x84, 0x41, 0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4],
    ]
    .concat();
    vec![
        ("frame_reader", "pieces", [&[5][..], &frames].concat()),
        ("header_block", "request", block),
        ("header_block", "remembered", [&remembered[..], &[0xff, 0x3f, 0x27, 0xbe]].concat()),
    ]
}

fn client_frames() -> Vec<Seed> {
    let connect = |stream, authority: &str| {
        let headers = [
            header(":method", "CONNECT"),
            header(":authority", authority),
            header("baggage", "k8s.namespace.name=prod,service.name=web"),
            header("forwarded", "for=\"10.0.0.1:4711\";host=reviews.prod"),
        ];
        frame(HEADERS, END_HEADERS, stream, &headers.concat())
    };
    let open = [frame(SETTINGS, 0, 0, &[]), frame(SETTINGS, ACK, 0, &[])].concat();
    let get = [header(":method", "GET"), header(":scheme", "http"), header(":path", "/")].concat();
    let control = [
        frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 9, 0, 5, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0]),
        frame(6, 0, 0, b"ping-pod"),
        frame(8, 0, 0, &[0, 0, 16, 0]),
        frame(8, 0, 1, &[0, 0, 16, 0]),
        frame(3, 0, 1, &[0, 0, 0, 8]),
        frame(7, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]),
    ]
    .concat();
    let echoed = [
        open.clone(),
        connect(1, "10.0.0.2:8081"),
        frame(DATA, 0, 1, b"hello"),
        frame(DATA, END_STREAM, 1, b""),
    ];
    let padded = frame(DATA, 8, 1, &[&[3][..], b"padded", &[0; 3]].concat());
    vec![
        ("hbone_server", "echoed", echoed.concat()),
        ("hbone_server", "refused", [open.clone(), connect(1, "reviews.prod:80")].concat()),
        ("hbone_server", "get", [open.clone(), frame(HEADERS, 5, 1, &get)].concat()),
        ("hbone_server", "control", [open.clone(), connect(1, "[::1]:81"), control].concat()),
        ("hbone_server", "padded", [open, connect(1, "10.0.0.2:1"), padded, connect(3, "a:3")].concat()),
    ]
}

fn server_frames() -> Vec<Seed> {
    // :status 200 and 404 are in HPACK's table.
    let ok = [vec![0x88], header("baggage", "service.name=db")].concat();
    let open = [frame(SETTINGS, 0, 0, &[]), frame(SETTINGS, ACK, 0, &[])].concat();
    let accepted = [
        open.clone(),
        frame(HEADERS, END_HEADERS, 1, &ok),
        frame(DATA, 0, 1, b"hello"),
        frame(DATA, END_STREAM, 1, b"."),
    ];
    let reset = [open.clone(), frame(HEADERS, END_HEADERS, 1, &ok), frame(3, 0, 1, &[0, 0, 0, 0])];
    let goaway = [open.clone(), frame(7, 0, 0, &[0; 8])];
    vec![
        ("hbone_client", "accepted", accepted.concat()),
        ("hbone_client", "refused", [open, frame(HEADERS, 5, 1, &[0x8d])].concat()),
        ("hbone_client", "reset", reset.concat()),
        ("hbone_client", "goaway", goaway.concat()),
    ]
}
