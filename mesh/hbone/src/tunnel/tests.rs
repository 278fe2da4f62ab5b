//! Tests of `tunnel`.

use std::future::poll_fn;
use std::time::Duration;

use mesh_runtime::drain;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;
use crate::client::{Asker, Failure};
use crate::testing::{Certificates, SOON, request};
use crate::{Incoming, Settings, serve};

/// Opens tunnels of one connection; both ends of each.
struct Tunnels {
    asker: Asker,
    accepted: mpsc::Receiver<TunnelStream>,
    settings: Settings,
    _drain: drain::DrainTrigger,
}

impl Tunnels {
    async fn new(settings: Settings) -> Self {
        let (near, far) = Certificates::new().pair().await;
        let (accept, accepted) = mpsc::channel(8);
        let (trigger, watcher) = drain::channel();
        let handler = move |incoming: Incoming| {
            let accept = accept.clone();
            async move { assert!(accept.send(incoming.accept(&[]).unwrap()).await.is_ok()) }
        };
        let served = settings.clone();
        tokio::spawn(async move { serve(far, &served, watcher, handler).await });
        let (asker, mut driver) = Asker::new(near.into_secured(), &settings);
        tokio::spawn(async move { poll_fn(|cx| driver.poll(cx)).await.map(|_| ()) });
        Tunnels { asker, accepted, settings, _drain: trigger }
    }

    async fn open(&mut self) -> (TunnelStream, TunnelStream) {
        let request = request("10.0.0.1:80");
        let asked = self.asker.request(&request, &self.settings);
        let (answer, far) = tokio::join!(asked, self.accepted.recv());
        let (stream, _) = answer.map_err(Failure::into_error).unwrap();
        (TunnelStream::new(stream, Place::Alone), far.unwrap())
    }
}

/// Waits until the far end wants no more.
async fn given_up(tunnel: &TunnelStream) -> io::Error {
    let unread = |_: &mut Context<'_>, _: &mut [u8]| Poll::Pending;
    match poll_fn(|cx| tunnel.stream.poll_fill(cx, unread)).await {
        Err(FillError::Stream(why)) => why.into(),
        _ => panic!("nothing was there to be sent"),
    }
}

/// Writes until nothing more is taken at once; how much was.
async fn fill(tunnel: &mut TunnelStream) -> usize {
    let mut total = 0;
    while let Ok(taken) = timeout(Duration::from_millis(50), tunnel.write(&[7; 16 * 1024])).await {
        total += taken.unwrap();
    }
    total
}

fn small() -> Settings {
    Settings {
        stream_window: 64 << 10,
        connection_window: 256 << 10,
        frame_size: 16 << 10,
        ..Settings::default()
    }
}

#[tokio::test]
async fn hb_17_reads_of_one_byte_give_every_byte() {
    let mut tunnels = Tunnels::new(Settings::default()).await;
    let (mut near, mut far) = tunnels.open().await;
    near.write_all(b"hello").await.unwrap();
    assert_eq!(near.read(&mut []).await.unwrap(), 0, "an empty read is no end");
    for expected in *b"hello" {
        assert_eq!(far.read_u8().await.unwrap(), expected);
    }
}

#[tokio::test]
async fn hb_31_each_direction_ends_by_itself() {
    let mut tunnels = Tunnels::new(Settings::default()).await;
    let (mut near, mut far) = tunnels.open().await;
    let mut read = Vec::new();
    near.write_all(b"question").await.unwrap();
    near.shutdown().await.unwrap();
    far.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, b"question");
    far.write_all(b"answer").await.unwrap();
    far.shutdown().await.unwrap();
    read.clear();
    near.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, b"answer");
    assert_eq!(near.write(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    near.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_answer_arrives_although_who_wrote_it_is_gone() {
    let mut tunnels = Tunnels::new(Settings::default()).await;
    for end_first in [false, true] {
        let (mut near, mut far) = tunnels.open().await;
        if end_first {
            near.shutdown().await.unwrap();
            assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
        }
        far.write_all(&[1; 100_000]).await.unwrap();
        far.shutdown().await.unwrap();
        drop(far);
        let mut read = Vec::new();
        near.read_to_end(&mut read).await.unwrap();
        assert_eq!(read.len(), 100_000);
    }
}

#[tokio::test]
async fn a_tunnel_dropped_without_an_end_is_a_reset() {
    let mut tunnels = Tunnels::new(Settings::default()).await;
    let (mut near, mut far) = tunnels.open().await;
    near.write_all(b"cut").await.unwrap();
    drop(near);
    let mut read = Vec::new();
    assert_eq!(far.read_to_end(&mut read).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(far.write_all(&[0; 10 << 20]).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);

    let (mut near, far) = tunnels.open().await;
    near.abort();
    assert_eq!(timeout(SOON, given_up(&far)).await.unwrap().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_lost_connection_is_an_error_after_what_had_arrived() {
    let mut tunnels = Tunnels::new(Settings::default()).await;
    let (mut near, mut far) = tunnels.open().await;
    near.write_all(b"last").await.unwrap();
    assert_eq!(far.read_u8().await.unwrap(), b'l');
    drop(near);
    drop(tunnels);
    // HB-17: what is buffered stays readable, then comes the error.
    let mut read = Vec::new();
    assert!(timeout(SOON, far.read_to_end(&mut read)).await.unwrap().is_err());
}

#[tokio::test]
async fn hb_19_a_reader_that_does_not_read_stops_its_writer_within_the_window() {
    let mut tunnels = Tunnels::new(small()).await;
    let (mut near, mut far) = tunnels.open().await;
    let taken = fill(&mut near).await;
    assert_eq!(taken, 64 << 10, "the window");
    let mut rest = vec![0; taken];
    far.read_exact(&mut rest).await.unwrap();
    assert!(rest.iter().all(|byte| *byte == 7));
    timeout(SOON, near.write_all(&[7; 1024])).await.unwrap().unwrap();
}

#[tokio::test]
async fn hb_19_a_stalled_tunnel_does_not_stop_its_neighbour() {
    let mut tunnels = Tunnels::new(small()).await;
    let (mut stalled, _reads_nothing) = tunnels.open().await;
    fill(&mut stalled).await;
    let (mut near, mut far) = tunnels.open().await;
    let wanted = vec![3; 4 << 20];
    let reader = tokio::spawn(async move {
        let mut read = vec![0; 4 << 20];
        far.read_exact(&mut read).await.unwrap();
        read
    });
    timeout(SOON, near.write_all(&wanted)).await.unwrap().unwrap();
    assert_eq!(timeout(SOON, reader).await.unwrap().unwrap(), wanted);
}

#[tokio::test]
async fn bytes_nobody_reads_any_more_do_not_use_up_the_connection() {
    let mut tunnels = Tunnels::new(small()).await;
    // Together far more than the connection's window.
    for _ in 0..20 {
        let (mut near, mut far) = tunnels.open().await;
        fill(&mut near).await;
        assert_eq!(far.read_u8().await.unwrap(), 7);
        drop(far);
        given_up(&near).await;
    }
    let (mut near, mut far) = tunnels.open().await;
    timeout(SOON, near.write_all(&[3; 32 << 10])).await.unwrap().unwrap();
    far.read_exact(&mut [0; 32 << 10]).await.unwrap();
}

#[tokio::test]
async fn hb_31_large_and_small_writes_arrive_as_written() {
    let mut tunnels = Tunnels::new(small()).await;
    let (mut near, mut far) = tunnels.open().await;
    let data: Vec<u8> = (0..3_000_000u32).map(|n| ((n * 31) >> 3) as u8).collect();
    let expected = data.clone();
    let writer = tokio::spawn(async move {
        let mut rest = &data[..];
        for size in [1, 7, 16_384, 3, 100_000, 65_536, 2].iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (part, tail) = rest.split_at(rest.len().min(*size));
            near.write_all(part).await.unwrap();
            rest = tail;
        }
        near.shutdown().await.unwrap();
        near
    });
    let mut read = Vec::new();
    timeout(SOON, far.read_to_end(&mut read)).await.unwrap().unwrap();
    assert_eq!(read, expected);
    drop(writer.await.unwrap());
}

#[tokio::test]
async fn chunks_are_handed_out_as_they_came() {
    let mut tunnels = Tunnels::new(Settings::default()).await;
    let (mut near, far) = tunnels.open().await;
    near.write_all(&[9; 50_000]).await.unwrap();
    near.stream.end().unwrap();
    let mut total = 0;
    while let Some(chunk) = poll_fn(|cx| far.stream.poll_chunk(cx)).await {
        let chunk = chunk.unwrap();
        total += chunk.len();
        far.stream.release(chunk.len());
    }
    assert_eq!(total, 50_000);
}
