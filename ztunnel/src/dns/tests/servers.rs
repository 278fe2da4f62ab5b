//! The servers themselves: who waits for whom, what is refused, and how they end.

use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::op::{MessageType, ResponseCode};
use hickory_proto::rr::RecordType;
use mesh_runtime::drain::{Drained, Mode};
use tokio::sync::Semaphore;

use super::fake::{FakeServer, Say, nobody, query, with_addresses};
use super::*;

/// A server that answers names with `slow` in them when the gate opens, and all others at once.
async fn slow_server() -> (FakeServer, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let closed = Arc::clone(&gate);
    let server = FakeServer::start(move |query, _| {
        let reply = with_addresses(query, &["192.0.2.9"]);
        match query.queries[0].name().to_ascii().contains("slow") {
            true => Say::Later(Arc::clone(&closed), reply),
            false => Say::This(reply),
        }
    });
    (server.await, gate)
}

#[tokio::test]
async fn a_slow_server_harms_only_its_own_query() {
    let (server, gate) = slow_server().await;
    let bench = Bench::start(&[host("web.default.svc.cluster.local", &["10.96.0.1"])], &[server.address]);
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(bench.udp).await.unwrap();
    let slow = query("slow.example.com.", RecordType::A);
    socket.send(&encode(&slow)).await.unwrap();
    // On the very same socket, and on others, everything else is answered meanwhile.
    assert_eq!(data(&ask_on(&socket, &query("web.", RecordType::A)).await), ["10.96.0.1"]);
    assert_eq!(data(&ask_on(&socket, &query("fast.example.com.", RecordType::A)).await), ["192.0.2.9"]);
    assert_eq!(data(&bench.ask_tcp(&query("web.", RecordType::A)).await), ["10.96.0.1"]);
    gate.add_permits(10);
    let mut buffer = [0; 512];
    let length = timeout(DEADLINE, socket.recv(&mut buffer)).await.unwrap().unwrap();
    assert_eq!(Message::from_vec(&buffer[..length]).unwrap().metadata.id, slow.metadata.id);
}

#[tokio::test]
async fn questions_on_one_connection_do_not_wait_for_each_other() {
    let (server, gate) = slow_server().await;
    let bench = Bench::start(&[host("web.default.svc.cluster.local", &["10.96.0.1"])], &[server.address]);
    let mut stream = TcpStream::connect(bench.tcp).await.unwrap();
    let (slow, web) = (query("slow.example.com.", RecordType::A), query("web.", RecordType::A));
    send(&mut stream, &slow).await;
    send(&mut stream, &web).await;
    assert_eq!(receive(&mut stream).await.metadata.id, web.metadata.id);
    // Half closed, it still gets its last reply.
    stream.shutdown().await.unwrap();
    gate.add_permits(10);
    assert_eq!(receive(&mut stream).await.metadata.id, slow.metadata.id);
    assert_eq!(timeout(DEADLINE, stream.read(&mut [0; 1])).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn beyond_the_bound_questions_fail_at_once_and_the_mesh_still_answers() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let server = FakeServer::start(move |_, _| {
        count.fetch_add(1, Ordering::Relaxed);
        Say::Nothing
    });
    let server = server.await;
    let bench = Bench::start(&[host("web.default.svc.cluster.local", &["10.96.0.1"])], &[server.address]);
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(bench.udp).await.unwrap();
    let mut failed = None;
    for number in 0..1000 {
        socket.send(&encode(&query(&format!("n{number}.example.com."), RecordType::A))).await.unwrap();
        // One after the other, so that no datagram is lost: the mesh's own answer comes back each time.
        let web = query("web.", RecordType::A);
        socket.send(&encode(&web)).await.unwrap();
        let mut buffer = [0; 512];
        loop {
            let length = timeout(DEADLINE, socket.recv(&mut buffer)).await.unwrap().unwrap();
            let reply = Message::from_vec(&buffer[..length]).unwrap();
            if reply.metadata.id == web.metadata.id && reply.metadata.response_code == ResponseCode::NoError {
                break;
            }
            assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
            failed = Some(number);
        }
        if failed.is_some() {
            break;
        }
    }
    assert_eq!(failed, Some(128), "as many wait, and no more");
}

#[tokio::test]
async fn dns_16_a_client_that_arrives_in_the_mapped_form_is_the_same_pod() {
    let bench = Bench::start_with(&[], "[::]:0", |_| {});
    bench.writer.change(|edit| {
        edit.insert_workload(samples::workload("client", "10.0.0.1"));
        edit.insert_service(host("web.default.svc.cluster.local", &["10.96.0.1"]));
    });
    assert_eq!(data(&bench.ask(&query("web.", RecordType::A)).await), ["10.96.0.1"]);
}

#[tokio::test]
async fn dns_21_for_a_pod_that_nobody_has_named_every_question_fails() {
    let server = FakeServer::start(|query, _| Say::This(nobody(query))).await;
    let bench = Bench::start_with(&[server.address], "127.0.0.1:0", |_| {});
    for name in ["web.", "www.example.com."] {
        let reply = bench.ask(&query(name, RecordType::A)).await;
        assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    }
    assert!(server.heard().is_empty());
    // It is waited for, since it may be on its way.
    let early = query("web.", RecordType::A);
    let (reply, ()) = tokio::join!(bench.ask(&early), async {
        bench.writer.change(|edit| {
            edit.insert_workload(samples::workload("client", "10.0.0.1"));
            edit.insert_service(host("web.default.svc.cluster.local", &["10.96.0.1"]));
        });
    });
    assert_eq!(data(&reply), ["10.96.0.1"]);
}

#[tokio::test]
async fn sec_01_garbage_is_dropped_or_refused_and_others_are_served() {
    let bench = Bench::start(&[host("web.default.svc.cluster.local", &["10.96.0.1"])], &[]);
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(bench.udp).await.unwrap();
    let mut reply = query("web.", RecordType::A);
    reply.metadata.message_type = MessageType::Response;
    let random: Vec<u8> = (0..4096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for garbage in [&b""[..], b"x", &encode(&reply), &random[..1400], &[0xff; 600], &[0xc0; 64]] {
        socket.send(garbage).await.unwrap();
        // Over TCP it is a message of its own, one that is too long, or one that never ends.
        for framed in [[&[0, 64][..], garbage].concat(), garbage.to_vec(), [&[0xff, 0xff], garbage].concat()]
        {
            let mut stream = TcpStream::connect(bench.tcp).await.unwrap();
            // The other side may have closed already.
            let _ = stream.write_all(&framed).await;
        }
    }
    let fresh = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    fresh.connect(bench.udp).await.unwrap();
    assert_eq!(data(&ask_on(&fresh, &query("web.", RecordType::A)).await), ["10.96.0.1"]);
    assert_eq!(data(&bench.ask_tcp(&query("web.", RecordType::A)).await), ["10.96.0.1"]);
    let mut long = TcpStream::connect(bench.tcp).await.unwrap();
    long.write_all(&[0x10, 0x01]).await.unwrap();
    let closed = timeout(DEADLINE, long.read(&mut [0; 1])).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)), "a question of 4097 bytes");
}

#[tokio::test]
async fn up_06_a_drain_answers_what_has_been_asked_and_closes_what_is_idle() {
    let (server, gate) = slow_server().await;
    let mut bench = Bench::start(&[], &[server.address]);
    let mut idle = TcpStream::connect(bench.tcp).await.unwrap();
    send(&mut idle, &query("fast.example.com.", RecordType::A)).await;
    receive(&mut idle).await;
    let slow = query("slow.example.com.", RecordType::A);
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(bench.udp).await.unwrap();
    socket.send(&encode(&slow)).await.unwrap();
    // Once the server is asked, the question has been taken.
    let taken = async {
        while !server.heard().iter().any(|name| name.starts_with("slow")) {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, taken).await.unwrap();
    let drained = tokio::spawn(bench.trigger.take().unwrap().start(Mode::Graceful, DEADLINE));
    assert_eq!(timeout(DEADLINE, idle.read(&mut [0; 1])).await.unwrap().unwrap(), 0);
    gate.add_permits(10);
    let mut buffer = [0; 512];
    let length = timeout(DEADLINE, socket.recv(&mut buffer)).await.unwrap().unwrap();
    assert_eq!(Message::from_vec(&buffer[..length]).unwrap().metadata.id, slow.metadata.id);
    assert_eq!(drained.await.unwrap(), Drained::Complete);
}
