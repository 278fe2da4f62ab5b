//! Tests of `tls`.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::Settings;
use crate::testing::{Certificates, SOON, request, workload};
use mesh_identity::Profile;

#[tokio::test]
async fn hb_01_both_ends_know_each_other() {
    let (web, db) = Certificates::new().pair().await;
    assert_eq!(*web.peer_identity(), workload("db"));
    assert_eq!(*db.peer_identity(), workload("web"));
    let direct = |stream: &TlsStream<_>| matches!(stream.secured.carrier, Carrier::Direct(_));
    assert!(direct(&web) && direct(&db), "the records are our own");
}

#[tokio::test]
async fn where_tls_1_2_is_allowed_rustls_keeps_the_stream() {
    let certificates = Certificates::with(Profile { tls12: true, ..Profile::default() });
    let (web, db) = certificates.pair().await;
    assert!(matches!(web.secured.carrier, Carrier::Rustls(_)));
    let (trigger, watcher) = mesh_runtime::drain::channel();
    let handler = async |incoming: crate::Incoming| {
        let mut tunnel = incoming.accept(&[]).unwrap();
        tunnel.write_all(b"over rustls").await.unwrap();
        tunnel.shutdown().await.unwrap();
    };
    tokio::spawn(async move { crate::serve(db, &Settings::default(), watcher, handler).await });
    let (mut tunnel, _) =
        crate::connect_unpooled(web, &Settings::default(), &request("10.0.0.1:80")).await.unwrap();
    let mut said = String::new();
    tunnel.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "over rustls");
    drop(trigger);
}

#[tokio::test]
async fn hb_20_the_error_names_who_was_met_and_who_was_expected() {
    let certificates = Certificates::new();
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (web, db) = (certificates.of(&workload("web")), certificates.of(&workload("db")));
    let expected = [workload("api")];
    let (connected, accepted) =
        tokio::join!(TlsStream::connect(near, &web, &expected, SOON), TlsStream::accept(far, &db, SOON));
    let refused = connected.err().unwrap();
    assert!(matches!(refused, TlsError::Refused(_)));
    assert_eq!(
        refused.to_string(),
        "the peer is spiffe://cluster.local/ns/default/sa/db; expected spiffe://cluster.local/ns/default/sa/api"
    );
    assert!(matches!(accepted.err().unwrap(), TlsError::Failed(_)));
}

#[tokio::test]
async fn hb_22_bytes_that_are_no_tls_end_the_connection() {
    let db = Certificates::new().of(&workload("db"));
    for garbage in
        [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[0; 64], &[22; 600]]
    {
        let (mut near, far) = tokio::io::duplex(64 * 1024);
        near.write_all(garbage).await.unwrap();
        let refused = TlsStream::accept(far, &db, SOON).await.err().unwrap();
        assert!(matches!(refused, TlsError::Failed(_)), "{refused}");
        let mut rest = Vec::new();
        near.read_to_end(&mut rest).await.unwrap();
        assert!(rest.len() < 64, "an alert at most");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_is_given_up() {
    let certificates = Certificates::new();
    let db = certificates.of(&workload("db"));
    let (_near, far) = tokio::io::duplex(64);
    let refused = TlsStream::accept(far, &db, SOON).await.err().unwrap();
    assert_eq!(refused.to_string(), "the TLS handshake did not end within 5 s");
    let (near, _far) = tokio::io::duplex(64 * 1024);
    assert!(matches!(TlsStream::connect(near, &db, &[], SOON).await.err(), Some(TlsError::Timeout(_))));
}
