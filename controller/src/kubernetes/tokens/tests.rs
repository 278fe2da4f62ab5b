//! Tests of `tokens`: an API server in memory reviews.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::*;
use crate::admission::ProvenPod;
use crate::kubernetes::fake_api::{client, failure};

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// What the API server would have signed; here nobody looks at the signature.
fn token(claims: &Value) -> String {
    jsonwebtoken::encode(&Header::default(), claims, &EncodingKey::from_secret(b"x")).unwrap()
}

fn good(subject: &str) -> String {
    token(&json!({ "sub": subject, "aud": ["istio-ca"], "exp": now() + 3600 }))
}

fn authenticated() -> Value {
    json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": {},
        "status": {
            "authenticated": true, "audiences": ["istio-ca"],
            "user": {
                "username": "system:serviceaccount:prod:web",
                "extra": {
                    "authentication.kubernetes.io/pod-name": ["web-1"],
                    "authentication.kubernetes.io/pod-uid": ["w-1"],
                }
            }
        }
    })
}

fn refusing(error: &str) -> Value {
    json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": {},
        "status": { "authenticated": false, "error": error, "user": {} }
    })
}

/// A reviewer whose API server always answers this, and how often it was asked.
fn reviewer(status: u16, answer: Value) -> (TokenReviewer, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let client = client(move |call| {
        assert_eq!(call.path, "/apis/authentication.k8s.io/v1/tokenreviews");
        assert_eq!(call.body["spec"]["audiences"], json!(["istio-ca"]));
        counter.fetch_add(1, Ordering::Relaxed);
        std::future::ready((status, answer.clone()))
    });
    (TokenReviewer::new(client, vec!["istio-ca".to_owned()]), asked)
}

#[tokio::test]
async fn a_good_token_proves_account_and_pod_and_is_asked_about_once() {
    let (reviewer, asked) = reviewer(201, authenticated());
    let token = good("web");
    let pod = Some(ProvenPod { name: "web-1".into(), uid: "w-1".into() });
    let proven = Proven { namespace: "prod".into(), service_account: "web".into(), pod };
    for _ in 0..3 {
        assert_eq!(reviewer.authenticate(&token).await, Ok(proven.clone()));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    let statistics = reviewer.statistics();
    assert_eq!((statistics.get(Outcome::Verified), statistics.get(Outcome::Cached)), (1, 2));
    reviewer.authenticate(&good("another")).await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 2, "every token for itself");
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_believed_for_half_a_minute_and_never_past_the_tokens_end() {
    let (reviewer, asked) = reviewer(201, authenticated());
    let lasting = good("web");
    reviewer.authenticate(&lasting).await.unwrap();
    tokio::time::advance(TRUSTED_FOR).await;
    reviewer.authenticate(&lasting).await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    // At its end, which the API server's clock may not have reached: believed this once.
    let ending = token(&json!({ "aud": "istio-ca", "exp": now() }));
    for _ in 0..2 {
        reviewer.authenticate(&ending).await.unwrap();
    }
    assert_eq!(asked.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn many_with_one_token_wait_for_one_review() {
    let asked = Arc::new(AtomicUsize::new(0));
    let gate = Arc::new(Notify::new());
    let (counter, opened) = (asked.clone(), gate.clone());
    let client = client(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
        let opened = opened.clone();
        async move {
            opened.notified().await;
            (201, authenticated())
        }
    });
    let reviewer = TokenReviewer::new(client, vec!["istio-ca".to_owned()]);
    let token = good("web");
    let all = futures_util::future::join_all((0..100).map(|_| reviewer.authenticate(&token)));
    // The permit is kept until the review waits for it.
    gate.notify_one();
    assert!(all.await.into_iter().all(|result| result.is_ok()));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn tokens_are_refused_and_counted_by_reason() {
    let cases = [
        ("[invalid bearer token, service account token has expired]", Outcome::Expired),
        ("token audiences [\"other\"] is invalid for the target audiences [\"istio-ca\"]", Outcome::Audience),
        ("[invalid bearer token, service account token has been invalidated]", Outcome::Revoked),
        ("pods \"web-1\" not found", Outcome::Revoked),
        ("[invalid bearer token, square/go-jose: error in cryptographic primitive]", Outcome::Invalid),
        ("", Outcome::Invalid),
    ];
    for (error, outcome) in cases {
        let (reviewer, asked) = reviewer(201, refusing(error));
        for _ in 0..2 {
            let refused = reviewer.authenticate(&good("web")).await.unwrap_err();
            assert!(matches!(refused, TokenError::Invalid(_)), "{error}: {refused}");
        }
        assert_eq!(asked.load(Ordering::Relaxed), 2, "a refusal is not kept: {error}");
        assert_eq!(reviewer.statistics().get(outcome), 2, "{error}");
    }
}

#[tokio::test]
async fn what_speaks_against_itself_is_refused_without_asking() {
    let (reviewer, asked) = reviewer(201, authenticated());
    let elsewhere = token(&json!({ "aud": ["vault"], "exp": now() + 60 }));
    let old = token(&json!({ "aud": ["istio-ca"], "exp": now() - 3600 }));
    for (token, outcome) in [
        ("", Outcome::Invalid),
        ("a.b.c", Outcome::Invalid),
        (&elsewhere, Outcome::Audience),
        (&old, Outcome::Expired),
    ] {
        let refused = reviewer.authenticate(token).await;
        assert!(matches!(refused, Err(TokenError::Invalid(_))), "{token}");
        assert!(reviewer.statistics().get(outcome) > 0, "{outcome:?}");
    }
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn an_api_server_that_fails_accepts_nobody_and_can_be_asked_again() {
    for code in [403, 429, 500, 503] {
        let (_, failed) = failure(code, "no");
        let (reviewer, asked) = reviewer(code, failed);
        for _ in 0..2 {
            let refused = reviewer.authenticate(&good("web")).await.unwrap_err();
            assert!(matches!(refused, TokenError::Unavailable(_)), "{code}: {refused}");
        }
        assert_eq!(reviewer.statistics().get(Outcome::Unavailable), 2);
        assert!(asked.load(Ordering::Relaxed) >= 2);
    }
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_does_not_answer_is_given_up() {
    let client = client(|_| std::future::pending());
    let reviewer = TokenReviewer::new(client, vec!["istio-ca".to_owned()]);
    let refused = reviewer.authenticate(&good("web")).await.unwrap_err();
    assert!(matches!(refused, TokenError::Unavailable(_)), "{refused}");
}
