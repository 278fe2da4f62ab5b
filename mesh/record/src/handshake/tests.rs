//! Tests of `handshake`: with rustls's own connections at the other end, with none, and with a wire that changes bytes.

use std::io::{Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::crypto::aws_lc_rs::kx_group::{SECP256R1, X25519};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::server::WebPkiClientVerifier;
use rustls::{AlertDescription, CertificateError, HandshakeKind, RootCertStore, ServerConnection, version};
use tokio::io::{AsyncReadExt, DuplexStream, ReadBuf};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::testing::{
    Line, SUITES, chopped, client_config, client_config_of, leaf, name, provider, server_config,
    server_config_of, trusted, verifier,
};
use crate::{Opened, RecordError};

const ROOM: usize = 1 << 20;

/// What rustls made of it.
fn cause(error: &io::Error) -> &Error {
    error
        .get_ref()
        .and_then(|inner| inner.downcast_ref())
        .unwrap_or_else(|| panic!("{error:?} is not of rustls"))
}

/// What the end that rustls has makes of the alert it is sent.
fn alert_heard<T>(result: io::Result<T>) -> AlertDescription {
    match cause(&result.err().expect("a failed handshake")) {
        Error::AlertReceived(alert) => *alert,
        error => panic!("{error} instead of an alert"),
    }
}

fn with_groups(groups: Vec<&'static dyn SupportedKxGroup>) -> CryptoProvider {
    CryptoProvider { kx_groups: groups, ..provider(SUITES[0]) }
}

#[tokio::test]
async fn a_configuration_that_keeps_its_keys_is_refused_before_anything_is_sent() {
    let (mut near, mut far) = tokio::io::duplex(ROOM);
    let mut client = client_config(SUITES[0]);
    client.enable_secret_extraction = false;
    let mut server = server_config(SUITES[0]);
    server.enable_secret_extraction = false;
    let refused = connect(&mut near, client.into(), name()).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
    assert_eq!(accept(&mut near, server.into()).await.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    drop(near);
    assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn it_works_byte_by_byte() {
    let (near, far) = tokio::io::duplex(ROOM);
    let (mut near, mut far) = (chopped(near, 1), chopped(far, 1));
    let client = async {
        let session = connect(&mut near, client_config(SUITES[0]).into(), name()).await.unwrap();
        Line { io: near, session }.next_data().await
    };
    let server = async {
        let session = accept(&mut far, server_config(SUITES[0]).into()).await.unwrap();
        let mut line = Line { io: far, session };
        line.send(b"x").await;
        line
    };
    assert_eq!(tokio::join!(client, server).0, &b"x"[..]);
}

#[tokio::test]
async fn a_server_may_ask_for_another_hello() {
    // One remembers what the server wanted, so each connection has its own.
    let groups = || with_groups(vec![X25519, SECP256R1]);
    let client = || Arc::new(client_config_of(groups(), &[&version::TLS13], trusted()));
    let server =
        Arc::new(server_config_of(with_groups(vec![SECP256R1]), &[&version::TLS13], verifier(trusted())));
    let (mut near, far) = tokio::io::duplex(ROOM);
    let accepting = TlsAcceptor::from(Arc::clone(&server)).accept(far);
    let (session, stream) = tokio::join!(connect(&mut near, client(), name()), accepting);
    assert_eq!(session.unwrap().peer_certificates, [leaf()]);
    let kind = stream.unwrap().get_ref().1.handshake_kind();
    assert_eq!(kind, Some(HandshakeKind::FullWithHelloRetryRequest));

    let (near, mut far) = tokio::io::duplex(ROOM);
    let connecting = TlsConnector::from(client()).connect(name(), near);
    let (session, stream) = tokio::join!(accept(&mut far, server), connecting);
    assert_eq!(session.unwrap().peer_certificates, [leaf()]);
    let kind = stream.unwrap().get_ref().1.handshake_kind();
    assert_eq!(kind, Some(HandshakeKind::FullWithHelloRetryRequest));
}

#[tokio::test]
async fn tickets_are_kept_for_the_next_connection() {
    let client = Arc::new(client_config(SUITES[0]));
    let server = Arc::new(server_config(SUITES[0]));
    for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let (mut near, far) = tokio::io::duplex(ROOM);
        let accepting = TlsAcceptor::from(Arc::clone(&server)).accept(far);
        let (session, stream) = tokio::join!(connect(&mut near, Arc::clone(&client), name()), accepting);
        let mut stream = stream.unwrap();
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(expected));
        stream.write_all(b"x").await.unwrap();
        stream.flush().await.unwrap();
        let mut line = Line { io: near, session: session.unwrap() };
        assert_eq!(line.session.peer_certificates, [leaf()]);
        assert_eq!(line.next_data().await, &b"x"[..]);
    }
}

/// Asks for no certificate, so that it may send before the client has finished.
fn half_rtt_config() -> ServerConfig {
    let mut config =
        server_config_of(provider(SUITES[0]), &[&version::TLS13], WebPkiClientVerifier::no_client_auth());
    config.send_half_rtt_data = true;
    config.alpn_protocols.clear();
    config
}

#[tokio::test]
async fn without_certificate_and_alpn_there_are_none() {
    let (mut near, mut far) = tokio::io::duplex(ROOM);
    let connecting = connect(&mut near, client_config(SUITES[0]).into(), name());
    let (client, server) = tokio::join!(connecting, accept(&mut far, half_rtt_config().into()));
    assert_eq!(client.unwrap().alpn, None);
    assert!(server.unwrap().peer_certificates.is_empty());
}

#[tokio::test]
async fn data_right_behind_the_servers_flight_is_left_for_the_opener() {
    let (mut near, mut far) = tokio::io::duplex(ROOM);
    let serving = async {
        let mut server = ServerConnection::new(half_rtt_config().into()).unwrap();
        read_some(&mut far, &mut server).await;
        server.writer().write_all(b"early").unwrap();
        let mut flight = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut flight).unwrap();
        }
        far.write_all(&flight).await.unwrap();
        assert!(server.is_handshaking());
        server
    };
    let connecting = connect(&mut near, client_config(SUITES[0]).into(), name());
    let (session, mut server) = tokio::join!(connecting, serving);
    let session = session.unwrap();
    assert!(!session.received.is_empty());
    let mut line = Line { io: near, session };
    assert_eq!(line.next_data().await, &b"early"[..]);
    line.send(b"late").await;
    let mut heard = [0; 4];
    while server.reader().read(&mut heard).is_err() {
        read_some(&mut far, &mut server).await;
    }
    assert_eq!(&heard, b"late");
}

/// One read for a connection that does none itself.
async fn read_some(io: &mut DuplexStream, server: &mut ServerConnection) {
    let mut buffer = [0; 4096];
    let count = io.read(&mut buffer).await.unwrap();
    let mut rest = &buffer[..count];
    while !rest.is_empty() {
        server.read_tls(&mut rest).unwrap();
        server.process_new_packets().unwrap();
    }
}

#[tokio::test]
async fn data_right_behind_the_clients_flight_is_left_for_the_opener() {
    let (mut near, mut far) = tokio::io::duplex(ROOM);
    let connecting = async {
        let session = connect(&mut near, client_config(SUITES[0]).into(), name()).await.unwrap();
        let mut line = Line { io: near, session };
        // Nothing has been read at the other end since the flight was written.
        line.send(b"eager").await;
        line
    };
    let (_line, session) = tokio::join!(connecting, accept(&mut far, server_config(SUITES[0]).into()));
    let Session { mut opener, received, .. } = session.unwrap();
    assert_eq!(opener.open(received), Ok(Opened::Data(BytesMut::from(&b"eager"[..]))));
}

#[tokio::test]
async fn a_peer_of_tls_1_2_is_refused_and_told() {
    let old = &[&version::TLS12];
    let (mut near, far) = tokio::io::duplex(ROOM);
    let server = Arc::new(server_config_of(provider(SUITES[0]), old, verifier(trusted())));
    let accepting = TlsAcceptor::from(server).accept(far);
    let (session, stream) =
        tokio::join!(connect(&mut near, client_config(SUITES[0]).into(), name()), accepting);
    assert!(cause(&session.unwrap_err()).to_string().contains("TLS 1.2 only"));
    assert_eq!(alert_heard(stream), AlertDescription::ProtocolVersion);

    let (near, mut far) = tokio::io::duplex(ROOM);
    let client = Arc::new(client_config_of(provider(SUITES[0]), old, trusted()));
    let connecting = TlsConnector::from(client).connect(name(), near);
    let (session, stream) = tokio::join!(accept(&mut far, server_config(SUITES[0]).into()), connecting);
    assert!(cause(&session.unwrap_err()).to_string().contains("TLS 1.2 only"));
    assert_eq!(alert_heard(stream), AlertDescription::ProtocolVersion);
}

/// A root that has signed nothing here.
fn others() -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut root = rcgen::CertificateParams::default();
    root.distinguished_name.push(rcgen::DnType::CommonName, "somebody else");
    let root = root.self_signed(&key).unwrap();
    roots.add(root.der().clone()).unwrap();
    Arc::new(roots)
}

#[tokio::test]
async fn a_peer_that_we_refuse_is_told_and_rustls_says_why() {
    let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
    let (mut near, far) = tokio::io::duplex(ROOM);
    let client = client_config_of(provider(SUITES[0]), &[&version::TLS13], others());
    let accepting = TlsAcceptor::from(Arc::new(server_config(SUITES[0]))).accept(far);
    let (session, stream) = tokio::join!(connect(&mut near, client.into(), name()), accepting);
    assert_eq!(cause(&session.unwrap_err()), &unknown);
    assert_eq!(alert_heard(stream), AlertDescription::UnknownCA);

    let (near, mut far) = tokio::io::duplex(ROOM);
    let server = server_config_of(provider(SUITES[0]), &[&version::TLS13], verifier(others()));
    let connecting = async {
        let mut stream = TlsConnector::from(Arc::new(client_config(SUITES[0]))).connect(name(), near).await?;
        stream.read(&mut [0]).await
    };
    let (session, stream) = tokio::join!(accept(&mut far, server.into()), connecting);
    assert_eq!(cause(&session.unwrap_err()), &unknown);
    assert_eq!(alert_heard(stream), AlertDescription::UnknownCA);
}

#[tokio::test]
async fn a_peer_that_refuses_us_is_heard() {
    // A server refuses when the client believes it is done.
    let (mut near, far) = tokio::io::duplex(ROOM);
    let server = server_config_of(provider(SUITES[0]), &[&version::TLS13], verifier(others()));
    let accepting = TlsAcceptor::from(Arc::new(server)).accept(far);
    let (session, stream) =
        tokio::join!(connect(&mut near, client_config(SUITES[0]).into(), name()), accepting);
    assert!(stream.is_err());
    let mut line = Line { io: near, session: session.unwrap() };
    let refused = line.open_next().await;
    assert_eq!(refused, Err(RecordError::PeerAlert(AlertDescription::UnknownCA)));
    let refused = io::Error::from(refused.unwrap_err());
    assert_eq!(cause(&refused), &Error::AlertReceived(AlertDescription::UnknownCA));

    let (near, mut far) = tokio::io::duplex(ROOM);
    let client = client_config_of(provider(SUITES[0]), &[&version::TLS13], others());
    let connecting = TlsConnector::from(Arc::new(client)).connect(name(), near);
    let (session, stream) = tokio::join!(accept(&mut far, server_config(SUITES[0]).into()), connecting);
    assert!(stream.is_err());
    assert_eq!(alert_heard(session), AlertDescription::UnknownCA);
}

#[tokio::test]
async fn an_alert_in_the_clear_ends_the_handshake() {
    let (mut near, mut far) = tokio::io::duplex(ROOM);
    far.write_all(&[21, 3, 3, 0, 2, 2, AlertDescription::HandshakeFailure.into()]).await.unwrap();
    let session = connect(&mut near, client_config(SUITES[0]).into(), name()).await;
    assert_eq!(alert_heard(session), AlertDescription::HandshakeFailure);
}

#[tokio::test]
async fn who_speaks_no_tls_is_refused_at_once() {
    let (mut near, mut far) = tokio::io::duplex(ROOM);
    near.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let refused = accept(&mut far, server_config(SUITES[0]).into()).await.unwrap_err();
    assert!(matches!(cause(&refused), Error::InvalidMessage(_)), "{refused}");
    let mut told = [0; 7];
    near.read_exact(&mut told).await.unwrap();
    assert_eq!(told, [21, 3, 3, 0, 2, 2, AlertDescription::DecodeError.into()]);
}

#[tokio::test]
async fn a_hello_without_end_is_refused() {
    let (mut near, mut far) = tokio::io::duplex(ROOM);
    // A message of the largest size, a byte in each record.
    let bytes = [1, 0, 0xff, 0xff].into_iter().chain(std::iter::repeat(0)).take(20_000);
    let hello: Vec<u8> = bytes.flat_map(|byte| [22, 3, 1, 0, 1, byte]).collect();
    near.write_all(&hello).await.unwrap();
    let refused = accept(&mut far, server_config(SUITES[0]).into()).await.unwrap_err();
    assert_eq!(cause(&refused), &Error::InvalidMessage(rustls::InvalidMessage::HandshakePayloadTooLarge));
}

/// A reader that does something to what is read at one place.
struct Tampered<R> {
    inner: R,
    read: usize,
    place: usize,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    Ends,
    FlipsBit(u32),
}

impl<R: AsyncRead + Unpin> AsyncRead for Tampered<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let start = buffer.filled().len();
        if !(matches!(self.what, What::Ends) && self.read == self.place) {
            ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        }
        let count = buffer.filled().len() - start;
        let place = self.place.checked_sub(self.read).filter(|place| *place < count);
        match (self.what, place) {
            (What::Ends, Some(place)) => buffer.set_filled(start + place),
            (What::FlipsBit(bit), Some(place)) => buffer.filled_mut()[start + place] ^= 1 << bit,
            (_, None) => {}
        }
        self.read += buffer.filled().len() - start;
        Poll::Ready(Ok(()))
    }
}

/// Configurations of short flights.
struct Ends {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Ends {
    fn new() -> Ends {
        let short = || with_groups(vec![X25519]);
        Ends {
            client: client_config_of(short(), &[&version::TLS13], trusted()).into(),
            server: server_config_of(short(), &[&version::TLS13], verifier(trusted())).into(),
        }
    }

    /// A handshake with our client, or else our server, behind a wire that tampers. How much it read, and what it
    /// got; None if both ends wait for each other for ever.
    async fn shake_hands(
        &self,
        as_client: bool,
        place: usize,
        what: What,
    ) -> (usize, Option<io::Result<Session>>) {
        let (near, far) = tokio::io::duplex(ROOM);
        let (reading, writing) = tokio::io::split(near);
        let mut wire = tokio::io::join(Tampered { inner: reading, read: 0, place, what }, writing);
        let ours = async {
            if as_client {
                connect(&mut wire, Arc::clone(&self.client), name()).await
            } else {
                accept(&mut wire, Arc::clone(&self.server)).await
            }
        };
        let theirs = async {
            // Who is done stays, who failed goes.
            let _server;
            let _client;
            if as_client {
                _server = TlsAcceptor::from(Arc::clone(&self.server)).accept(far).await.ok();
            } else {
                _client = TlsConnector::from(Arc::clone(&self.client)).connect(name(), far).await.ok();
            }
            std::future::pending().await
        };
        let either = async {
            tokio::select! {
                session = ours => session,
                () = theirs => unreachable!(),
            }
        };
        // The clock stands still while there is anything left to do.
        let session = tokio::time::timeout(Duration::from_secs(1), either).await.ok();
        (wire.reader().read, session)
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_anywhere_in_the_handshake_is_an_unexpected_one() {
    let ends = Ends::new();
    for as_client in [true, false] {
        let (length, session) = ends.shake_hands(as_client, usize::MAX, What::Ends).await;
        assert!(session.unwrap().is_ok());
        // Signatures differ by some bytes in length.
        for place in 0..length - 16 {
            let (_, session) = ends.shake_hands(as_client, place, What::Ends).await;
            let error = session.unwrap().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "at {place} of {length}: {error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_changed_bit_anywhere_in_the_handshake_fails_it() {
    let ends = Ends::new();
    for as_client in [true, false] {
        let (length, session) = ends.shake_hands(as_client, usize::MAX, What::Ends).await;
        assert!(session.unwrap().is_ok());
        let mut unharmed = 0;
        for place in 0..length - 16 {
            let flip = What::FlipsBit((place % 8) as u32);
            if let (_, Some(Ok(session))) = ends.shake_hands(as_client, place, flip).await {
                assert_eq!(session.peer_certificates, [leaf()]);
                unharmed += 1;
            }
        }
        // The version in the headers of the two records in the clear, which is to be ignored (RFC 8446 §5.1).
        assert!(unharmed <= 4, "{unharmed} changes without effect");
    }
}
