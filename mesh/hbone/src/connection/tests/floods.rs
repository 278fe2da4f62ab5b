//! Peers that keep to the rules and mean harm: many frames, many streams, windows that never open, frames that never
//! end. What they cost is bounded, and what they are served beside it goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::StatusCode;

use super::*;

const CANCEL: [u8; 4] = 8u32.to_be_bytes();

impl Peer {
    /// The connection is there and has done everything it was told so far.
    async fn is_alive(&mut self) {
        self.say(&frame(6, 0, 0, b"12345678")).await;
        while self.hear().await.expect("the connection goes on") != Frame::Pong(*b"12345678") {}
    }
}

/// Says no.
async fn refuse(incoming: Incoming) {
    incoming.refuse(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_hundred_thousand_streams_one_after_the_other_leave_nothing_behind() {
    let mut peer = Peer::served_by(Settings::default(), refuse).await;
    const AT_ONCE: u32 = 100;
    for batch in 0..1000 {
        let streams = (0..AT_ONCE).map(|n| 2 * (batch * AT_ONCE + n) + 1);
        // Half of them end in order, the others are given up.
        let bytes = streams.clone().map(|stream| match stream % 4 {
            1 => frame(1, 5, stream, &connect()),
            _ => [open(stream), frame(3, 0, stream, &CANCEL)].concat(),
        });
        peer.say(&bytes.collect::<Vec<_>>().concat()).await;
        peer.is_alive().await;
    }
    let last = 2 * 1000 * AT_ONCE + 1;
    peer.say(&open(last)).await;
    while !matches!(peer.hear().await.unwrap(), Frame::Headers { stream, .. } if stream == last) {}
}

#[tokio::test]
async fn streams_that_are_held_open_are_as_many_as_were_allowed() {
    let running = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&running);
    let handler = move |incoming: Incoming| {
        counter.fetch_add(1, Ordering::SeqCst);
        hold(incoming)
    };
    let mut peer = Peer::served_by(Settings { accepted_streams: 200, ..Settings::default() }, handler).await;
    for batch in 0..100u32 {
        let streams = (0..1000).map(|n| open(2 * (batch * 1000 + n) + 1));
        peer.say(&streams.collect::<Vec<_>>().concat()).await;
        peer.is_alive().await;
    }
    assert_eq!(running.load(Ordering::SeqCst), 200, "of a hundred thousand");
}

#[tokio::test]
async fn resets_windows_and_priorities_of_streams_that_are_gone_are_passed_over() {
    let mut peer = Peer::served_by(Settings::default(), refuse).await;
    peer.say(&[open(1), frame(3, 0, 1, &CANCEL)].concat()).await;
    for flood in [
        frame(3, 0, 1, &CANCEL),
        frame(8, 0, 1, &1u32.to_be_bytes()),
        // PRIORITY, and a type nobody knows.
        frame(2, 0, 1, &[0, 0, 0, 0, 1]),
        frame(0x42, 0, 1, b"?"),
        // Answers nobody asked for.
        frame(6, 1, 0, b"12345678"),
        frame(4, 1, 0, b""),
    ] {
        peer.say(&flood.repeat(50_000)).await;
        peer.is_alive().await;
    }
}

#[tokio::test]
async fn empty_data_frames_are_passed_over() {
    let mut peer = Peer::new(Settings::default()).await;
    peer.say(&open(1)).await;
    peer.say(&frame(0, 0, 1, b"").repeat(100_000)).await;
    peer.is_alive().await;
}

#[tokio::test]
async fn settings_that_are_read_by_who_sends_them_go_on_for_ever() {
    let mut peer = Peer::new(Settings::default()).await;
    for window in (0..200).map(|n: u32| 65_535 - n) {
        let setting = [&[0, 4][..], &window.to_be_bytes()].concat();
        peer.say(&frame(4, 0, 0, &setting).repeat(50)).await;
        peer.is_alive().await;
    }
}

/// Accepts, and writes for as long as somebody takes it.
async fn pour(incoming: Incoming) {
    let mut tunnel = incoming.accept(&[]).unwrap();
    let block = vec![7; 64 << 10];
    while tunnel.write_all(&block).await.is_ok() {}
}

#[tokio::test]
async fn windows_that_stay_shut_hold_up_their_own_streams_alone() {
    let mut peer = Peer::served_by(Settings::default(), pour).await;
    let no_window = [&[0, 4][..], &0u32.to_be_bytes()].concat();
    peer.say(&frame(4, 0, 0, &no_window)).await;
    let streams: Vec<u8> = (0..100).flat_map(|n| open(2 * n + 1)).collect();
    peer.say(&streams).await;
    peer.is_alive().await;
    // One of them is opened by a crumb at a time: it gets the crumbs, and the others nothing.
    for _ in 0..100 {
        peer.say(&frame(8, 0, 101, &1u32.to_be_bytes())).await;
        loop {
            match peer.hear().await.expect("the connection goes on") {
                Frame::Data { stream, counted, .. } => {
                    assert_eq!((stream, counted), (101, 1));
                    break;
                }
                Frame::Reset { .. } | Frame::GoAway { .. } => panic!("it was ended"),
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn windows_that_overflow_bit_by_bit_are_seen() {
    let mut peer = Peer::served_by(Settings::default(), hold).await;
    peer.say(&[open(1), open(3)].concat()).await;
    let large = frame(8, 0, 1, &0x4000_0000u32.to_be_bytes());
    peer.say(&[large.clone(), large].concat()).await;
    assert_eq!(peer.reset_of(1).await, Reason::FLOW_CONTROL_ERROR);
    peer.is_alive().await;
    // A larger first window for all makes the third stream's too large: that is the connection's fault.
    peer.say(&frame(8, 0, 3, &0x7000_0000u32.to_be_bytes())).await;
    let window = [&[0, 4][..], &0x7fff_ffffu32.to_be_bytes()].concat();
    peer.say(&frame(4, 0, 0, &window)).await;
    assert_eq!(peer.farewell().await, Reason::FLOW_CONTROL_ERROR);
}

#[tokio::test]
async fn a_window_that_grows_by_nothing_is_an_error() {
    for (stream, ends_connection) in [(0, true), (1, false)] {
        let mut peer = Peer::new(Settings::default()).await;
        peer.say(&[open(1), frame(8, 0, stream, &[0; 4])].concat()).await;
        if ends_connection {
            assert_eq!(peer.farewell().await, Reason::PROTOCOL_ERROR);
        } else {
            // RFC 9113 §6.9 lets it be the stream's or the connection's.
            while !matches!(
                peer.hear().await.expect("an error"),
                Frame::Reset { stream: 1, reason: Reason::PROTOCOL_ERROR }
                    | Frame::GoAway { reason: Reason::PROTOCOL_ERROR, .. }
            ) {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_stops_in_the_middle_is_given_up() {
    let head_only = frame(1, 4, 1, &connect())[..9].to_vec();
    let half_of_data = [open(1), frame(0, 0, 1, &[0; 1000])[..500].to_vec()].concat();
    let block_without_end = frame(1, 0, 1, &connect());
    for begun in [vec![0, 0], head_only, half_of_data, block_without_end] {
        let (mut carrier, far) = Certificates::new().with_client_oracle().await;
        let (_trigger, watcher) = drain::channel();
        let served = tokio::spawn(async move { serve(far, &Settings::default(), watcher, hold).await });
        carrier.write_all(&[PREFACE, &frame(4, 0, 0, &[]), &begun].concat()).await.unwrap();
        carrier.flush().await.unwrap();
        let ended = served.await.unwrap();
        assert!(matches!(ended, Err(crate::ServeError::Silent(_))), "{begun:?}: {ended:?}");
    }
}

#[tokio::test]
async fn compressed_headers_that_are_large_when_unpacked_are_refused_and_cost_little() {
    let mut peer = Peer::new(Settings::default()).await;
    // One field of 4000 bytes is put into the table, and named ten thousand times.
    let mut bomb = connect();
    bomb.extend([0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
    bomb.extend([b'y'; 4000]);
    bomb.extend([0xbe; 10_000]);
    peer.say(&frame(1, 4, 1, &bomb)).await;
    loop {
        match peer.hear().await.expect("the connection goes on") {
            // 431.
            Frame::Headers { stream: 1, .. } | Frame::Reset { stream: 1, .. } => break,
            Frame::GoAway { reason, .. } => panic!("the whole connection ended: {reason}"),
            _ => {}
        }
    }
    peer.is_alive().await;
}
