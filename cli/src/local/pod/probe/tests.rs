//! Probes, as they are read and as they judge; against servers on loopback.

use std::net::Ipv4Addr;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

fn probe(value: serde_json::Value) -> Result<Probe, String> {
    let ports: Vec<ContainerPort> =
        serde_json::from_value(json!([{ "name": "http", "containerPort": 8080 }])).unwrap();
    Probe::new(&serde_json::from_value(value).unwrap(), &ports)
}

#[test]
fn fields_have_the_defaults_of_kubernetes() {
    let read = probe(json!({ "httpGet": { "port": "http" } })).unwrap();
    assert_eq!(read.check, Check::Http { port: 8080, path: "/".into(), headers: HeaderMap::new() });
    assert_eq!((read.period, read.timeout), (Duration::from_secs(10), Duration::from_secs(1)));
    assert_eq!((read.successes, read.failures), (1, 3));
    let read =
        probe(json!({ "tcpSocket": { "port": 9 }, "periodSeconds": 2, "failureThreshold": 5 })).unwrap();
    assert_eq!((read.check, read.period, read.failures), (Check::Tcp { port: 9 }, Duration::from_secs(2), 5));
}

#[test]
fn what_cannot_be_probed_is_named() {
    for (value, reason) in [
        (json!({ "httpGet": { "port": "web" } }), "no port of the container"),
        (json!({ "httpGet": { "port": 1, "scheme": "HTTPS" } }), "HTTPS"),
        (json!({ "httpGet": { "port": 1, "httpHeaders": [{ "name": "a b", "value": "" }] } }), "a b"),
        (json!({ "tcpSocket": { "port": 70000 } }), "no port"),
        (json!({}), "none of httpGet"),
    ] {
        let error = probe(value).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
}

async fn answering(replies: &'static [&'static str]) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for reply in replies.iter().cycle() {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await.unwrap();
            let text = format!("HTTP/1.1 {reply}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(text.as_bytes()).await.unwrap();
        }
    });
    port
}

fn place() -> Place {
    Place { namespace: mesh_net::namespace::Namespace::current().unwrap(), address: Ipv4Addr::LOCALHOST }
}

fn http(port: u16, successes: u32, failures: u32) -> Probe {
    let mut probe = probe(json!({ "httpGet": { "port": port, "path": "/x" } })).unwrap();
    (probe.period, probe.successes, probe.failures) = (Duration::from_millis(1), successes, failures);
    probe
}

#[tokio::test]
async fn a_threshold_of_answers_in_a_row_decides() {
    let place = place();
    let target = Target { place: &place, surroundings: Path::new("") };
    let port = answering(&["503 no", "200 ok"]).await;
    assert_eq!(http(port, 1, 3).wait_success(&target).await, Ok(()));
    let port = answering(&["200 ok", "500 no", "500 no"]).await;
    assert_eq!(http(port, 1, 2).wait_failure(&target).await, "/x answered 500");
    let mut outcomes = Vec::new();
    let port = answering(&["200 ok", "404 no"]).await;
    http(port, 1, 1)
        .watch(&target, |outcome| {
            outcomes.push(outcome.is_ok());
            outcomes.len() == 4
        })
        .await;
    assert_eq!(outcomes, [true, false, true, false]);
}

#[tokio::test]
async fn nobody_listening_is_a_failure_in_the_end() {
    let place = place();
    let target = Target { place: &place, surroundings: Path::new("") };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = http(port, 1, 2).wait_success(&target).await.unwrap_err();
    assert!(error.starts_with(&format!("port {port}: ")), "{error}");
}
