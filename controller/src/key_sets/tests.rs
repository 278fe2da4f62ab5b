//! When keys are fetched, what is kept, and what an issuer may do.

use std::sync::Mutex;

use controller_translate::objects::Object;
use controller_translate::{Kind, Settings};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const KEYS: &str = r#"{"keys":[{"kty":"EC"}]}"#;
const NEWER: &str = r#"{"keys":[{"kty":"RSA"}]}"#;

fn rule(uri: &str) -> Object {
    let spec = json!({
        "targetRefs": [{ "group": "", "kind": "Service", "name": "web" }],
        "jwtRules": [{ "issuer": "i", "jwksUri": uri }]
    });
    let object = json!({ "metadata": { "name": "r", "namespace": "prod" }, "spec": spec });
    Object::from_value(Kind::RequestAuthentication, object).unwrap()
}

struct Issuer {
    picture: Arc<Picture>,
    events: mpsc::Receiver<Event>,
    answer: Arc<Mutex<Result<String, String>>>,
}

/// A picture with one rule, and an issuer that answers as it is told.
fn start() -> Issuer {
    let picture = Arc::new(Picture::new(Settings::default()));
    picture.apply([Event::Applied(Box::new(rule("https://issuer/keys")))].into_iter());
    let answer = Arc::new(Mutex::new(Ok(KEYS.to_owned())));
    let (sender, events) = mpsc::channel(16);
    let fetch: Fetch = {
        let answer = answer.clone();
        Arc::new(move |_, _| std::future::ready(answer.lock().unwrap().clone()).boxed())
    };
    tokio::spawn(keep(picture.clone(), sender, fetch));
    Issuer { picture, events, answer }
}

impl Issuer {
    async fn next(&mut self) -> Option<KeySet> {
        match self.events.recv().await.unwrap() {
            Event::Keys(source, keys) => {
                assert_eq!(source, KeySource::Uri("https://issuer/keys".into()));
                keys
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn az_keys_rotate_and_an_outage_keeps_the_old_ones() {
    let mut issuer = start();
    let begin = Instant::now();
    assert_eq!(issuer.next().await, Some(KeySet { keys: Some(KEYS.into()), problem: None }));
    *issuer.answer.lock().unwrap() = Err("away".to_owned());
    let outage = issuer.next().await.unwrap();
    assert!(begin.elapsed() >= REFRESH.mul_f64(0.9) && begin.elapsed() <= REFRESH.mul_f64(1.1) + RETRY);
    assert_eq!(outage, KeySet { keys: Some(KEYS.into()), problem: Some("away".to_owned()) });
    *issuer.answer.lock().unwrap() = Ok(NEWER.to_owned());
    let again = Instant::now();
    assert_eq!(issuer.next().await, Some(KeySet { keys: Some(NEWER.into()), problem: None }));
    assert!(again.elapsed() <= RETRY + Duration::from_millis(10), "{:?}", again.elapsed());
}

#[tokio::test(start_paused = true)]
async fn az_what_nobody_asks_for_is_forgotten() {
    let mut issuer = start();
    assert!(issuer.next().await.is_some());
    let gone = Event::Deleted(rule("").key());
    issuer.picture.apply([gone].into_iter());
    assert_eq!(issuer.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn az_failures_are_retried_at_growing_distances() {
    let mut issuer = start();
    issuer.next().await;
    *issuer.answer.lock().unwrap() = Err("away".to_owned());
    issuer.next().await;
    let mut waited = Vec::new();
    for _ in 0..8 {
        let begin = Instant::now();
        issuer.next().await;
        waited.push(begin.elapsed().as_secs());
    }
    assert_eq!(waited, [2, 4, 8, 16, 32, 60, 60, 60]);
}

/// A server that answers every connection with this; its address.
async fn server(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    format!("http://{address}")
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

async fn fetched(source: KeySource) -> Result<String, String> {
    fetch::Client::new(|_| true).unwrap().fetch(&source).await
}

#[tokio::test]
async fn az_what_is_no_key_set_is_refused_in_words() {
    let redirect =
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_owned();
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", " ".repeat((1 << 20) + 10));
    for (answer, expected) in [
        (ok(KEYS), Ok(KEYS)),
        (ok("<html>"), Err("not a JSON Web Key Set")),
        (redirect, Err("it answers 302")),
        (endless, Err("limit")),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n".to_owned(), Err("cannot be fetched")),
        ("garbage".to_owned(), Err("cannot be fetched")),
    ] {
        let uri = server(answer).await;
        let got = fetched(KeySource::Uri(format!("{uri}/keys").into())).await;
        match expected {
            Ok(keys) => assert_eq!(got.as_deref(), Ok(keys)),
            Err(part) => assert!(got.as_ref().is_err_and(|it| it.contains(part)), "{part}: {got:?}"),
        }
    }
    let gopher = fetched(KeySource::Uri("gopher://a/".into())).await;
    assert!(gopher.unwrap_err().contains("https:// or http://"));
}

#[tokio::test]
async fn az_an_issuer_says_where_its_keys_are() {
    let keys = server(ok(KEYS)).await;
    let issuer = server(ok(&json!({ "jwks_uri": format!("{keys}/keys") }).to_string())).await;
    assert_eq!(fetched(KeySource::Issuer(issuer.into())).await.as_deref(), Ok(KEYS));
    let silent = server(ok("{}")).await;
    assert!(fetched(KeySource::Issuer(silent.into())).await.unwrap_err().contains("names no jwks_uri"));
}

#[tokio::test]
async fn sec_the_machine_itself_is_not_asked() {
    for (ip, expected) in [
        ("127.0.0.1", false),
        ("::1", false),
        ("::ffff:127.0.0.1", false),
        ("169.254.169.254", false),
        ("fe80::1", false),
        ("0.0.0.0", false),
        ("224.0.0.1", false),
        ("10.96.0.10", true),
        ("2001:db8::1", true),
    ] {
        assert_eq!(fetch::is_public_enough(ip.parse().unwrap()), expected, "{ip}");
    }
    let uri = server(ok(KEYS)).await;
    let client = fetch::Client::new(fetch::is_public_enough).unwrap();
    let refused = client.fetch(&KeySource::Uri(uri.into())).await.unwrap_err();
    assert!(refused.contains("not asked for keys"), "{refused}");
}
