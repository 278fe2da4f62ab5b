//! Tests of the whole: ours against ours, and against the stream of rustls.

use crate::testing::{SUITES, leaf, pair};

#[tokio::test]
async fn two_ends_of_ours_talk_in_every_suite() {
    for suite in SUITES {
        let (mut client, mut server) = pair(suite).await;
        assert_eq!(client.session.peer_certificates, [leaf()]);
        assert_eq!(server.session.peer_certificates, [leaf()]);
        assert_eq!(client.session.alpn.as_deref(), Some(&b"h2"[..]));
        client.send(b"ping").await;
        assert_eq!(server.next_data().await, &b"ping"[..]);
        server.send(b"pong").await;
        assert_eq!(client.next_data().await, &b"pong"[..]);
    }
}
