//! Tests of `copy`.

use std::sync::Arc;
use std::time::Duration;

use mesh_runtime::drain;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::testing::{Certificates, SOON, request};
use crate::{Incoming, Settings, connect_unpooled, serve};

/// One proxied connection: an application at each end, a copy and a tunnel between them.
struct Proxied {
    client: TcpStream,
    server: TcpStream,
    sent_copy: JoinHandle<Result<(), CopyError>>,
    received_copy: JoinHandle<Result<(), CopyError>>,
    near: Arc<Transferred>,
    far: Arc<Transferred>,
    _drain: drain::DrainTrigger,
}

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (connected, accepted) =
        tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (connected.unwrap(), accepted.unwrap().0)
}

async fn proxied() -> Proxied {
    let (near_tls, far_tls) = Certificates::new().pair().await;
    let ((client, mut downstream), (mut upstream, server)) = (tcp_pair().await, tcp_pair().await);
    let (give, mut given) = tokio::sync::mpsc::channel(1);
    let (trigger, watcher) = drain::channel();
    let handler = move |incoming: Incoming| {
        let give = give.clone();
        async move { assert!(give.send(incoming.accept(&[]).unwrap()).await.is_ok()) }
    };
    tokio::spawn(async move { serve(far_tls, &Settings::default(), watcher, handler).await });
    let (mut near_tunnel, _) =
        connect_unpooled(near_tls, &Settings::default(), &request("10.0.0.1:80")).await.unwrap();
    let mut far_tunnel = given.recv().await.unwrap();
    let (near, far) = (Arc::new(Transferred::default()), Arc::new(Transferred::default()));
    let (near_counters, far_counters) = (Arc::clone(&near), Arc::clone(&far));
    Proxied {
        client,
        server,
        sent_copy: tokio::spawn(async move {
            copy_with_tcp(&mut downstream, &mut near_tunnel, Side::Downstream, &near_counters).await
        }),
        received_copy: tokio::spawn(async move {
            copy_with_tcp(&mut upstream, &mut far_tunnel, Side::Upstream, &far_counters).await
        }),
        near,
        far,
        _drain: trigger,
    }
}

fn counted(counters: &Transferred) -> (u64, u64) {
    (counters.sent.load(Ordering::Relaxed), counters.received.load(Ordering::Relaxed))
}

#[tokio::test]
async fn hb_31_every_byte_arrives_in_both_directions_and_both_ends_are_told() {
    let Proxied { client, server, sent_copy, received_copy, near, far, _drain } = proxied().await;
    let pattern =
        |length: usize, step: usize| (0..length).map(|n| ((n * step) >> 4) as u8).collect::<Vec<u8>>();
    let (up, down) = (pattern(5_000_000, 7), pattern(3_000_001, 13));
    let exchange = async |mut stream: TcpStream, send: Vec<u8>| {
        let (mut reader, mut writer) = stream.split();
        let mut read = Vec::new();
        let write = async {
            for part in send.chunks(77_777) {
                writer.write_all(part).await.unwrap();
            }
            writer.shutdown().await.unwrap();
        };
        tokio::join!(write, async { reader.read_to_end(&mut read).await.unwrap() });
        read
    };
    let both = async { tokio::join!(exchange(client, up.clone()), exchange(server, down.clone())) };
    let (client_read, server_read) = timeout(SOON, both).await.unwrap();
    assert!(server_read == up && client_read == down);
    sent_copy.await.unwrap().unwrap();
    received_copy.await.unwrap().unwrap();
    assert_eq!(counted(&near), (5_000_000, 3_000_001));
    assert_eq!(counted(&far), (5_000_000, 3_000_001));
}

#[tokio::test]
async fn hb_31_one_direction_may_end_long_before_the_other() {
    let mut proxied = proxied().await;
    proxied.client.write_all(b"question").await.unwrap();
    proxied.client.shutdown().await.unwrap();
    let mut read = Vec::new();
    proxied.server.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, b"question");
    for _ in 0..100 {
        proxied.server.write_all(b"answer").await.unwrap();
        proxied.client.read_exact(&mut [0; 6]).await.unwrap();
    }
    assert!(!proxied.sent_copy.is_finished());
    drop(proxied.server);
    assert_eq!(proxied.client.read(&mut [0]).await.unwrap(), 0);
    timeout(SOON, proxied.sent_copy).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_reset_of_one_application_is_a_reset_for_the_other() {
    let mut proxied = proxied().await;
    proxied.client.write_all(b"x").await.unwrap();
    proxied.server.read_exact(&mut [0]).await.unwrap();
    proxied.server.set_zero_linger().unwrap();
    drop(proxied.server);
    let failed = timeout(SOON, proxied.received_copy).await.unwrap().unwrap().unwrap_err();
    assert_eq!((failed.side, failed.direction), (Side::Upstream, Direction::Received));
    let failed = timeout(SOON, proxied.sent_copy).await.unwrap().unwrap().unwrap_err();
    assert_eq!(failed.side, Side::Upstream, "for the near end it is the tunnel that failed");
    let seen = timeout(SOON, proxied.client.read(&mut [0])).await.unwrap().unwrap_err();
    assert_eq!(seen.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_far_end_that_gives_up_is_noticed_while_nothing_is_sent() {
    let mut proxied = proxied().await;
    proxied.server.shutdown().await.unwrap();
    assert_eq!(proxied.client.read(&mut [0]).await.unwrap(), 0);
    // Only the direction to the server is left, and nothing flows in it. The server has said all it had to
    // say, so this is an end and no failure.
    proxied.received_copy.abort();
    timeout(SOON, proxied.sent_copy).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_slow_reader_bounds_what_is_on_the_way() {
    let mut proxied = proxied().await;
    let mut written = 0u64;
    while let Ok(taken) = timeout(Duration::from_millis(200), proxied.client.write(&[1; 64 << 10])).await {
        written += taken.unwrap() as u64;
        assert!(written < 64 << 20, "nothing stops the writer");
    }
    // The stream's window, the send buffer, and a read and a gathered write in hand.
    let most = (4 << 20) + GATHERED_BYTES;
    let between = counted(&proxied.near).0 - counted(&proxied.far).0;
    assert!(between <= most as u64, "{between} bytes are on the way");
    let drained = tokio::spawn(async move {
        let mut total = 0u64;
        let mut buffer = vec![0; 64 << 10];
        while total < written {
            total += proxied.server.read(&mut buffer).await.unwrap() as u64;
        }
        total
    });
    assert_eq!(timeout(SOON, drained).await.unwrap().unwrap(), written);
}

#[tokio::test]
async fn an_answer_arrives_whole_from_a_far_end_that_wants_no_more() {
    // Many at once, since it is a matter of what is noticed first.
    let runs = (0..50).map(|_| async {
        let (near_tls, far_tls) = Certificates::new().pair().await;
        let (mut client, mut downstream) = tcp_pair().await;
        let (_trigger, watcher) = drain::channel();
        let handler = |incoming: Incoming| async move {
            let mut tunnel = incoming.accept(&[]).unwrap();
            let mut question = [0; 1];
            tunnel.read_exact(&mut question).await.unwrap();
            tunnel.write_all(b"answer").await.unwrap();
            // Dropped with the asking side still open, as a server does that closes after its answer.
            tunnel.shutdown().await.unwrap();
        };
        tokio::spawn(async move { serve(far_tls, &Settings::default(), watcher, handler).await });
        let (mut tunnel, _) =
            connect_unpooled(near_tls, &Settings::default(), &request("10.0.0.1:80")).await.unwrap();
        let copy = tokio::spawn(async move {
            let counters = Transferred::default();
            copy_with_tcp(&mut downstream, &mut tunnel, Side::Downstream, &counters).await
        });
        client.write_all(b"?").await.unwrap();
        let mut answer = Vec::new();
        timeout(SOON, client.read_to_end(&mut answer)).await.unwrap().unwrap();
        assert_eq!(answer, b"answer");
        drop(client);
        timeout(SOON, copy).await.unwrap().unwrap().unwrap();
    });
    futures_util::future::join_all(runs).await;
}
