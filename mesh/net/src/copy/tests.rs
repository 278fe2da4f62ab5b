//! Tests of `copy`.

use std::sync::atomic::Ordering::Relaxed;

use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};
use proptest::test_runner::TestCaseError;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};

use super::*;

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// The client's and the server's end of a connection whose middle is copied,
/// and the running copy.
struct Proxied {
    client: DuplexStream,
    server: DuplexStream,
    copy: tokio::task::JoinHandle<(Result<(), CopyError>, Transferred)>,
}

fn proxied(downstream_buffer: usize, upstream_buffer: usize) -> Proxied {
    let (client, mut downstream) = duplex(downstream_buffer);
    let (mut upstream, server) = duplex(upstream_buffer);
    let copy = tokio::spawn(async move {
        let counters = Transferred::default();
        let result = copy_bidirectional(&mut downstream, &mut upstream, &counters).await;
        (result, counters)
    });
    Proxied { client, server, copy }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i % 251) as u8).collect()
}

#[test]
fn hb_31_copies_both_ways_exactly_and_counts() {
    run(async {
        let Proxied { client, server, copy } = proxied(3000, 700);
        let (request, response) = (pattern(500_000), pattern(300_001));
        let (mut client_read, mut client_write) = tokio::io::split(client);
        let (mut server_read, mut server_write) = tokio::io::split(server);
        let (want_request, want_response) = (request.clone(), response.clone());
        let sending = async move {
            client_write.write_all(&request).await.unwrap();
            client_write.shutdown().await.unwrap();
        };
        let answering = async move {
            server_write.write_all(&response).await.unwrap();
            server_write.shutdown().await.unwrap();
        };
        let (mut got_request, mut got_response) = (Vec::new(), Vec::new());
        let (_, _, a, b) = tokio::join!(
            sending,
            answering,
            server_read.read_to_end(&mut got_request),
            client_read.read_to_end(&mut got_response)
        );
        a.unwrap();
        b.unwrap();
        assert!(got_request == want_request && got_response == want_response);
        let (result, counters) = copy.await.unwrap();
        result.unwrap();
        assert_eq!((counters.sent.load(Relaxed), counters.received.load(Relaxed)), (500_000, 300_001));
    });
}

#[test]
fn hb_31_half_close_is_passed_on_and_the_other_way_goes_on() {
    run(async {
        let Proxied { mut client, mut server, copy } = proxied(64, 64);
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut question = String::new();
        server.read_to_string(&mut question).await.unwrap();
        assert_eq!(question, "question");
        assert!(!copy.is_finished(), "the answer is still to come");
        server.write_all(b"answer").await.unwrap();
        drop(server);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "answer");
        copy.await.unwrap().0.unwrap();
    });
}

#[test]
fn hb_31_a_failure_names_the_side_and_what_it_was_doing() {
    run(async {
        // A duplex whose other half is gone refuses writes.
        let Proxied { mut client, server, copy } = proxied(64, 64);
        drop(server);
        client.write_all(b"lost").await.unwrap();
        let error = copy.await.unwrap().0.unwrap_err();
        assert_eq!((error.side, error.direction), (Side::Upstream, Direction::Sent));
        assert!(error.to_string().starts_with("cannot write to upstream: "), "{error}");

        // A reset TCP connection refuses reads.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut downstream, _) = listener.accept().await.unwrap();
        socket2::SockRef::from(&client).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        drop(client);
        let (mut upstream, _server) = duplex(64);
        let counters = Transferred::default();
        let error = copy_bidirectional(&mut downstream, &mut upstream, &counters).await.unwrap_err();
        assert_eq!((error.side, error.direction), (Side::Downstream, Direction::Sent));
        assert_eq!(error.source.kind(), io::ErrorKind::ConnectionReset);
    });
}

/// Polls one direction once, by hand.
fn poll_once(way: &mut OneWay, reader: &mut DuplexStream, writer: &mut DuplexStream) -> bool {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    match way.poll(&mut cx, reader, writer, &AtomicU64::new(0)) {
        Poll::Ready(Ok(())) => true,
        Poll::Pending => false,
        Poll::Ready(Err(_)) => panic!("a duplex with both halves does not fail"),
    }
}

#[test]
fn memory_is_owned_only_while_the_receiver_is_behind() {
    run(async {
        let (mut from, mut reader) = duplex(1 << 20);
        let (mut writer, mut to) = duplex(1000);
        let mut way = OneWay::default();
        assert!(!poll_once(&mut way, &mut reader, &mut writer));
        assert_eq!(way.rest.capacity(), 0, "an idle connection owns no buffer");

        from.write_all(&pattern(SMALLEST_WINDOW)).await.unwrap();
        assert!(!poll_once(&mut way, &mut reader, &mut writer));
        assert_eq!(way.rest.len(), SMALLEST_WINDOW - 1000, "what the receiver did not take");

        let mut got = vec![0; SMALLEST_WINDOW];
        let (mut taken, mut rounds) = (0, 0);
        while taken < got.len() {
            taken += to.read(&mut got[taken..]).await.unwrap();
            assert!(!poll_once(&mut way, &mut reader, &mut writer));
            rounds += 1;
            assert!(rounds < 100, "the rest keeps flowing");
        }
        assert!(got == pattern(SMALLEST_WINDOW));
        assert_eq!(way.rest.capacity(), 0, "freed once the receiver caught up");
    });
}

#[test]
fn the_window_grows_with_a_full_flow_and_shrinks_with_a_thin_one() {
    assert_eq!(next_window(4096, 4096), 16 * 1024);
    assert_eq!(next_window(16 * 1024, 16 * 1024), 64 * 1024);
    assert_eq!(next_window(64 * 1024, 64 * 1024), 64 * 1024);
    assert_eq!(next_window(64 * 1024, 20_000), 64 * 1024);
    assert_eq!(next_window(64 * 1024, 100), 32 * 1024);
    assert_eq!(next_window(4096, 1), 4096);
}

#[test]
fn one_flow_does_not_keep_a_thread_to_itself() {
    run(async {
        let (mut from, mut reader) = duplex(4 << 20);
        let (mut writer, _to) = duplex(4 << 20);
        from.write_all(&pattern(3 << 20)).await.unwrap();
        let mut way = OneWay::default();
        let counter = AtomicU64::new(0);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(way.poll(&mut cx, &mut reader, &mut writer, &counter).is_pending());
        let moved = counter.load(Relaxed) as usize;
        assert!(moved > LARGEST_WINDOW && moved <= TURN * LARGEST_WINDOW, "{moved}");
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn hb_31_any_write_sizes_arrive_exactly(
        writes in proptest::collection::vec(1usize..20_000, 1..20),
        room in 1usize..9000,
        seed in any::<u8>(),
    ) {
        run(async {
            let Proxied { client, mut server, copy } = proxied(room, room / 2 + 1);
            let (mut read, mut write) = tokio::io::split(client);
            let sender = tokio::spawn(async move {
                let mut all = Vec::new();
                for (i, length) in writes.into_iter().enumerate() {
                    let bytes = vec![seed.wrapping_add(i as u8); length];
                    write.write_all(&bytes).await.unwrap();
                    all.extend(bytes);
                }
                write.shutdown().await.unwrap();
                all
            });
            let mut got = Vec::new();
            server.read_to_end(&mut got).await.unwrap();
            drop(server);
            prop_assert_eq!(read.read(&mut [0; 1]).await.unwrap(), 0);
            prop_assert_eq!(got, sender.await.unwrap());
            copy.await.unwrap().0.unwrap();
            Ok::<(), TestCaseError>(())
        })?;
    }
}
