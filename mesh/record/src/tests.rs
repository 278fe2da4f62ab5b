//! Tests of the whole: ours against ours, and against the stream of rustls.

use std::cell::Cell;
use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::BytesMut;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustls::SupportedCipherSuite;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::testing::{Line, SUITES, chopped, client_config, leaf, name, pair, record, server_config};
use crate::{LARGEST_PAYLOAD, Opened, Opener, Session, find_record};

#[tokio::test]
async fn two_ends_of_ours_talk_in_every_suite() {
    for suite in SUITES {
        let (mut client, mut server) = pair(suite).await;
        assert_eq!(client.session.peer_certificates, [leaf()]);
        assert_eq!(server.session.peer_certificates, [leaf()]);
        assert_eq!(client.session.alpn.as_deref(), Some(&b"h2"[..]));
        assert_eq!(server.session.alpn.as_deref(), Some(&b"h2"[..]));
        client.send(b"ping").await;
        assert_eq!(server.next_data().await, &b"ping"[..]);
        server.send(b"pong").await;
        assert_eq!(client.next_data().await, &b"pong"[..]);
    }
}

/// Both ways round in a suite: our client with a server of rustls, our server with a client of rustls.
async fn meet<IO>(
    suite: SupportedCipherSuite,
    our_client: bool,
    near: IO,
    far: IO,
) -> (Line<IO>, TlsStream<IO>)
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let (mut near, client, server) = (near, Arc::new(client_config(suite)), Arc::new(server_config(suite)));
    let (session, theirs) = if our_client {
        let (session, theirs) =
            tokio::join!(crate::connect(&mut near, client, name()), TlsAcceptor::from(server).accept(far));
        (session, TlsStream::from(theirs.unwrap()))
    } else {
        let (session, theirs) =
            tokio::join!(crate::accept(&mut near, server), TlsConnector::from(client).connect(name(), far));
        (session, TlsStream::from(theirs.unwrap()))
    };
    (Line { io: near, session: session.unwrap() }, theirs)
}

fn combinations() -> impl Iterator<Item = (SupportedCipherSuite, bool)> {
    SUITES.into_iter().flat_map(|suite| [(suite, true), (suite, false)])
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    StdRng::seed_from_u64(seed).fill(&mut bytes[..]);
    bytes
}

/// Sends all of `ours` and `theirs` at the same time, in pieces of random sizes, with key updates of ours now and then.
async fn exchange<IO>(seed: u64, line: Line<IO>, stream: TlsStream<IO>, ours: &[u8], theirs: &[u8])
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let Line { io, session: Session { mut sealer, mut opener, received, .. } } = line;
    let (mut reading, mut writing) = tokio::io::split(io);
    let (mut their_reading, mut their_writing) = tokio::io::split(stream);
    let mut random = StdRng::seed_from_u64(seed);
    let mut their_random = StdRng::seed_from_u64(seed + 1);
    let owed = Cell::new(0);
    let sending = async {
        let mut rest = ours;
        let mut out = Vec::new();
        while !rest.is_empty() {
            let (payload, after) = rest.split_at(random.random_range(1..=LARGEST_PAYLOAD).min(rest.len()));
            rest = after;
            if owed.take() > 0 || random.random_range(0..10) == 0 {
                sealer.update_key(&mut out).unwrap();
            }
            let mut record = record(payload);
            sealer.seal(&mut record).unwrap();
            out.extend_from_slice(&record);
            if random.random_range(0..3) == 0 {
                writing.write_all(&out).await.unwrap();
                out.clear();
            }
        }
        sealer.close(&mut out).unwrap();
        writing.write_all(&out).await.unwrap();
    };
    let their_sending = async {
        let mut rest = theirs;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(their_random.random_range(1..=40_000).min(rest.len()));
            rest = after;
            their_writing.write_all(piece).await.unwrap();
        }
        their_writing.shutdown().await.unwrap();
    };
    let their_receiving = async {
        let mut heard = Vec::new();
        their_reading.read_to_end(&mut heard).await.unwrap();
        heard
    };
    let receiving = hear_all(&mut reading, &mut opener, received, &owed);
    let ((), heard, (), their_heard) = tokio::join!(sending, receiving, their_sending, their_receiving);
    assert!(heard == theirs, "what rustls sent arrived otherwise");
    assert!(their_heard == ours, "what was sent arrived otherwise at rustls");
}

/// All application data up to close_notify; counts the key updates that are `owed` for it.
async fn hear_all(
    reading: &mut (impl AsyncRead + Unpin),
    opener: &mut Opener,
    mut received: BytesMut,
    owed: &Cell<u32>,
) -> Vec<u8> {
    let mut heard = Vec::new();
    loop {
        while let Some(length) = find_record(&received).unwrap().filter(|length| *length <= received.len()) {
            match opener.open(received.split_to(length)).unwrap() {
                Opened::Data(data) => heard.extend_from_slice(&data),
                Opened::Nothing => {}
                Opened::KeyUpdateRequested => owed.set(owed.get() + 1),
                Opened::Closed => return heard,
            }
        }
        assert_ne!(reading.read_buf(&mut received).await.unwrap(), 0, "the end before close_notify");
    }
}

#[tokio::test]
async fn bulk_data_flows_both_ways_in_pieces_of_any_size() {
    for (seed, (suite, our_client)) in (0..).zip(combinations()) {
        for largest in [50, 5_000, 50_000] {
            let (near, far) = tokio::io::duplex(30_000);
            let (near, far) = (chopped(near, largest), chopped(far, largest));
            let (line, stream) = meet(suite, our_client, near, far).await;
            exchange(seed, line, stream, &noise(seed, 300_000), &noise(seed + 1, 200_000)).await;
        }
    }
}

#[tokio::test]
async fn bulk_data_flows_both_ways_over_tcp() {
    for (seed, (suite, our_client)) in (100..).zip(combinations()) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let connecting = TcpStream::connect(listener.local_addr().unwrap());
        let (far, near) = tokio::join!(listener.accept(), connecting);
        let (line, stream) = meet(suite, our_client, near.unwrap(), far.unwrap().0).await;
        exchange(seed, line, stream, &noise(seed, 3_000_000), &noise(seed + 1, 2_000_000)).await;
    }
}

#[tokio::test]
async fn keys_are_updated_by_either_end_and_several_times_in_a_row() {
    for (suite, our_client) in combinations() {
        let (near, far) = tokio::io::duplex(1 << 20);
        let (mut line, mut stream) = meet(suite, our_client, near, far).await;
        for round in 0..5_u8 {
            for _ in 0..round {
                stream.refresh_keys();
            }
            stream.write_all(&[round]).await.unwrap();
            stream.flush().await.unwrap();
            // This answers what rustls asks for.
            assert_eq!(line.next_data().await, &[round][..]);

            let mut out = Vec::new();
            for _ in 0..round {
                line.session.sealer.update_key(&mut out).unwrap();
            }
            line.io.write_all(&out).await.unwrap();
            line.send(&[round]).await;
            assert_eq!(stream.read_u8().await.unwrap(), round);
        }
    }
}

/// What tokio-rustls has for its two sides apart.
trait RefreshKeys {
    fn refresh_keys(&mut self);
}

impl<IO> RefreshKeys for TlsStream<IO> {
    fn refresh_keys(&mut self) {
        match self {
            TlsStream::Client(stream) => stream.get_mut().1.refresh_traffic_keys().unwrap(),
            TlsStream::Server(stream) => stream.get_mut().1.refresh_traffic_keys().unwrap(),
        }
    }
}

#[tokio::test]
async fn a_peer_goes_along_when_keys_wear_out() {
    for (suite, our_client) in combinations() {
        let (near, far) = tokio::io::duplex(1 << 20);
        let (mut line, mut stream) = meet(suite, our_client, near, far).await;
        line.session.sealer = line.session.sealer.with_limit(8);
        let mut updates = 0;
        for number in 0..100 {
            if line.session.sealer.is_worn() {
                let mut out = Vec::new();
                line.session.sealer.update_key(&mut out).unwrap();
                line.io.write_all(&out).await.unwrap();
                updates += 1;
            }
            line.send(&[number]).await;
            assert_eq!(stream.read_u8().await.unwrap(), number);
        }
        assert!(updates >= 24, "{updates} updates");
    }
}

#[tokio::test]
async fn after_a_close_the_other_direction_goes_on() {
    for (suite, our_client) in combinations() {
        let (near, far) = tokio::io::duplex(1 << 20);
        let (mut line, mut stream) = meet(suite, our_client, near, far).await;
        let mut out = Vec::new();
        line.session.sealer.close(&mut out).unwrap();
        line.io.write_all(&out).await.unwrap();
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
        stream.write_all(b"still here").await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(line.next_data().await, &b"still here"[..]);
        assert_eq!(line.open_next().await, Ok(Opened::Closed));
    }
}

#[tokio::test]
async fn a_peer_hears_our_alert() {
    for (suite, our_client) in combinations() {
        let (near, far) = tokio::io::duplex(1 << 20);
        let (mut line, mut stream) = meet(suite, our_client, near, far).await;
        // Something changes a record on its way to us.
        stream.write_all(b"precious").await.unwrap();
        stream.flush().await.unwrap();
        let refused = loop {
            let mut record = line.next_record().await.unwrap().unwrap();
            if record.len() == crate::HEADER + 8 + crate::TRAILER {
                record[7] ^= 1;
            }
            if let Err(error) = line.session.opener.open(record) {
                break error;
            }
        };
        let mut out = Vec::new();
        line.session.sealer.alert(refused.alert_owed().unwrap(), &mut out).unwrap();
        line.io.write_all(&out).await.unwrap();
        let error = stream.read(&mut [0]).await.unwrap_err();
        assert!(error.to_string().contains("BadRecordMac"), "{error}");
    }
}
