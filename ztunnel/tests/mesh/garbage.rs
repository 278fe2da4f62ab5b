//! Garbage on every port harms nobody else.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Result, ensure};
use mesh_testkit::node::{Echo, Netns};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::world::{DEADLINE, World, eventually};

const APP: u16 = 8080;
const TEXT: &[u8] = b"GARBAGE\r\n\r\n";
const CAPTURE_PORTS: [u16; 3] = [15001, 15006, 15008];

/// What becomes of garbage that is sent somewhere.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    NotConnected,
    Closed,
    Answered(String),
}

async fn fate(from: &Netns, to: SocketAddr, garbage: &[u8]) -> Result<Fate> {
    let Ok(mut stream) = from.connect(to).await else { return Ok(Fate::NotConnected) };
    // The other side may have closed already.
    let _ = stream.write_all(garbage).await;
    let mut answer = Vec::new();
    let _ = timeout(DEADLINE, stream.read_to_end(&mut answer)).await?;
    let line = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
    // A TLS server may say goodbye with an alert.
    let closed = matches!(answer.as_slice(), [] | [0x15, 0x03, ..]);
    Ok(if closed { Fate::Closed } else { Fate::Answered(line) })
}

#[tokio::test]
async fn sec_01_to_05_hb_22_garbage_is_closed_or_answered_and_everyone_else_is_served() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    let outsider = world.uncaptured(1, "outsider").await?;
    let server = world.captured(1, "server").await?;
    let _echo = Echo::start(server.netns(), server.at(APP))?;
    eventually(|| client.echoes(server.at(APP))).await?;
    let mut bystander = client.connect(server.at(APP)).await?;

    let node = world.net.node(1).address();
    let random: Vec<u8> = (0..4096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let tls_record = [&[0x16, 0x03, 0x01, 0x40, 0x00][..], &[0xff; 64]].concat();
    for garbage in [TEXT, &random, &tls_record, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        for port in CAPTURE_PORTS {
            // SEC-01: the pod's own listeners.
            for ip in ["127.0.0.1".parse::<IpAddr>()?, client.pod.address()] {
                let fate = fate(client.netns(), SocketAddr::new(ip, port), garbage).await?;
                assert_eq!(fate, Fate::Closed, "own {ip}:{port}");
            }
            // SEC-05: another pod's, from outside the mesh.
            let fate = fate(outsider.netns(), server.at(port), garbage).await?;
            assert_eq!(fate, Fate::Closed, "{port} of another pod");
        }
        for port in [15000, 15020, 15021, 15080] {
            // SEC-02: ztunnel's own servers are not in the pod.
            for ip in ["127.0.0.1".parse::<IpAddr>()?, client.pod.address()] {
                let fate = fate(client.netns(), SocketAddr::new(ip, port), garbage).await?;
                assert_eq!(fate, Fate::NotConnected, "own {ip}:{port}");
            }
        }
        for port in [15020, 15021] {
            // SEC-03, SEC-04: those that are open to everyone know what they are told is wrong.
            for from in [client.netns(), outsider.netns()] {
                match fate(from, SocketAddr::new(node, port), garbage).await? {
                    Fate::Answered(line) => ensure!(line.contains("400"), "{port} of the node: {line}"),
                    // What is not even text is not answered.
                    Fate::Closed => assert_ne!(garbage, TEXT, "{port} of the node"),
                    Fate::NotConnected => panic!("{port} of the node is not open"),
                }
            }
        }
        for port in [15000, 15001, 15006, 15008] {
            // SEC-04, SEC-07: nothing of it is reachable on the node's address.
            let fate = fate(outsider.netns(), SocketAddr::new(node, port), garbage).await?;
            assert_eq!(fate, Fate::NotConnected, "{port} of the node");
        }
    }
    crate::world::echoed(&mut bystander, "none of my business").await?;
    client.echoes(server.at(APP)).await
}

#[tokio::test]
async fn slow_handshakes_do_not_keep_others_waiting() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    let outsider = world.uncaptured(1, "outsider").await?;
    let server = world.captured(2, "server").await?;
    let _echo = Echo::start(server.netns(), server.at(APP))?;
    eventually(|| client.echoes(server.at(APP))).await?;
    let mut silent = Vec::new();
    for _ in 0..200 {
        let mut stream = outsider.connect(server.at(15008)).await?;
        stream.write_all(&[0x16]).await?;
        silent.push(stream);
    }
    let another = world.captured(1, "another").await?;
    eventually(|| another.echoes(server.at(APP))).await?;
    for mut stream in silent {
        // They are not kept for ever.
        let read = timeout(DEADLINE, stream.read(&mut [0; 1])).await?;
        assert!(matches!(read, Ok(0) | Err(_)));
    }
    Ok(())
}
