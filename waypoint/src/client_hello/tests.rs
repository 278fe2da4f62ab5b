//! Greetings as clients send them, split, cut and damaged.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const LONG: Duration = Duration::from_secs(60);

fn long(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &long(content)].concat()
}

fn server_name(name: &str) -> Vec<u8> {
    extension(0, &long(&[&[0][..], &long(name.as_bytes())].concat()))
}

/// A ClientHello with these extensions.
fn hello(extensions: &[u8]) -> Vec<u8> {
    let body = [
        &[3, 3][..],
        &[7; 32],
        &[32],
        &[9; 32],
        &long(&[0x13, 0x01, 0x13, 0x02]),
        &[1, 0],
        &long(extensions),
    ]
    .concat();
    [&[1][..], &u32::try_from(body.len()).unwrap().to_be_bytes()[1..], &body].concat()
}

/// In records of at most so many bytes.
fn records(handshake: &[u8], size: usize) -> Vec<u8> {
    handshake.chunks(size).flat_map(|part| [&[22, 3, 1][..], &long(part)].concat()).collect()
}

fn usual(name: &str) -> Vec<u8> {
    let extensions = [extension(10, &[0, 2, 0, 29]), server_name(name), extension(16, b"\0\x03\x02h2")];
    records(&hello(&extensions.concat()), LONGEST_RECORD)
}

fn name(name: &str) -> Greeting {
    Greeting::Name(name.to_owned())
}

#[test]
fn l7_17_the_name_is_found_in_whatever_records() {
    for size in [1, 2, 3, 5, 40, 100, 10_000] {
        let extensions = [extension(10, &[0, 2, 0, 29]), server_name("A.Example.com.")].concat();
        assert_eq!(read(&records(&hello(&extensions), size)), name("a.example.com"), "records of {size}");
    }
    let and_more = [&usual("a.example.com")[..], &[20, 3, 3, 0, 1, 1], b"\x17\x03\x03early data"].concat();
    assert_eq!(read(&and_more), name("a.example.com"));
}

/// What a client of rustls begins with.
fn of_rustls(name: &str, versions: &[&'static rustls::SupportedProtocolVersion]) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut greeting = Vec::new();
    client.write_tls(&mut greeting).unwrap();
    greeting
}

#[test]
fn l7_17_a_client_of_another_make_is_understood() {
    for versions in [&[&rustls::version::TLS13][..], &[&rustls::version::TLS12], rustls::ALL_VERSIONS] {
        let greeting = of_rustls("a.example.com", versions);
        assert_eq!(read(&greeting), name("a.example.com"));
        for end in 0..greeting.len() {
            assert_eq!(read(&greeting[..end]), Greeting::Unfinished, "{end} of {} bytes", greeting.len());
        }
        // RFC 6066: an address is no name.
        assert_eq!(read(&of_rustls("10.0.0.1", versions)), Greeting::Nothing);
    }
}

#[test]
fn until_the_greeting_is_whole_nothing_is_said() {
    let whole = usual("a.example.com");
    for end in 0..whole.len() {
        assert_eq!(read(&whole[..end]), Greeting::Unfinished, "{end} bytes");
    }
}

#[test]
fn what_is_no_greeting_is_nothing_at_once() {
    let other_kind = extension(0, &long(&[&[1][..], &long(b"a")].concat()));
    let ends_early = extension(0, &[0, 9, 0]);
    let mut server_hello = hello(&server_name("a"));
    server_hello[0] = 2;
    for (bytes, why) in [
        (b"SSH-2.0-OpenSSH\r\n".to_vec(), "something else"),
        (b"GET / HTTP/1.1\r\n".to_vec(), "HTTP"),
        (vec![0x15, 3, 3, 0, 2, 1, 0], "an alert"),
        (vec![22, 2], "an old version"),
        (vec![22, 3, 1, 0, 0], "an empty record"),
        (vec![22, 3, 1, 0xff, 0xff], "a record that is too long"),
        (vec![22, 3, 1, 0, 4, 1, 1, 0, 0], "a greeting that is too long"),
        (records(&server_hello, 9999), "a server's greeting"),
        (records(&hello(&[]), 9999), "no extension"),
        (records(&hello(&extension(16, b"x")), 9999), "no name"),
        (records(&hello(&other_kind), 9999), "a name of another kind"),
        (records(&hello(&ends_early), 9999), "a name that ends early"),
        (records(&hello(&server_name("")), 9999), "an empty name"),
        (records(&hello(&server_name("a b")), 9999), "no name of a host"),
        (records(&hello(&server_name(&"a".repeat(254))), 9999), "a name that is too long"),
        (records(&[1, 0, 0, 3, 3, 3, 7], 9999), "a greeting that ends early"),
    ] {
        assert_eq!(read(&bytes), Greeting::Nothing, "{why}");
    }
}

#[test]
fn sec_09_damage_is_no_panic() {
    let whole = usual("a.example.com");
    for place in 0..whole.len() {
        for byte in [0, 1, 22, 0x7f, 0xff] {
            let mut damaged = whole.clone();
            damaged[place] = byte;
            read(&damaged);
            // Cut as well.
            read(&damaged[..whole.len() - 1]);
        }
    }
    // Bytes of a generator that everybody knows.
    let mut state = 1_u64;
    for _ in 0..2000 {
        let mut random: Vec<u8> = (0..64)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) as u8
            })
            .collect();
        read(&random);
        random[..6].copy_from_slice(&[22, 3, 1, 0, 59, 1]);
        read(&random);
    }
}

#[tokio::test]
async fn nothing_is_lost_wherever_the_bytes_are_split() {
    let whole = [&usual("a.example.com")[..], b"and what follows"].concat();
    for split in 0..whole.len() {
        let (mut client, server) = tokio::io::duplex(4096);
        let (first, second) = whole.split_at(split);
        let sending = async {
            client.write_all(first).await.unwrap();
            tokio::task::yield_now().await;
            client.write_all(second).await.unwrap();
            drop(client);
        };
        let receiving = async {
            let (name, mut rewound) = peek(server, LONG).await.unwrap();
            let mut all = Vec::new();
            rewound.read_to_end(&mut all).await.unwrap();
            (name, all)
        };
        let ((), (name, all)) = tokio::join!(sending, receiving);
        assert_eq!(name.as_deref(), Some("a.example.com"), "split at {split}");
        assert!(all == whole, "split at {split}");
    }
}

#[tokio::test(start_paused = true)]
async fn cap_06_who_says_nothing_or_never_ends_is_not_waited_for() {
    let (client, server) = tokio::io::duplex(64);
    assert_eq!(peek(server, Duration::from_secs(5)).await.unwrap().0, None);
    drop(client);
    // A greeting that claims to go on, in records without end.
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    let endless = records(&[&[1, 0, 0x3f, 0xff][..], &[0; 40_000]].concat(), 1);
    client.write_all(&endless[..60_000]).await.unwrap();
    let (name, mut rewound) = peek(server, LONG).await.unwrap();
    assert_eq!(name, None);
    drop(client);
    let mut all = Vec::new();
    rewound.read_to_end(&mut all).await.unwrap();
    assert!(all == endless[..60_000]);
}
