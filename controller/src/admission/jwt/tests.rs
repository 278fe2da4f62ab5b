//! Tests of `admission::jwt`.

use jsonwebtoken::{EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};

use super::*;

fn keys() -> (EncodingKey, String) {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    (EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap(), pair.public_key_pem())
}

fn now() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}

fn claims() -> Value {
    json!({
        "iss": "https://kubernetes.default.svc.cluster.local",
        "aud": ["istio-ca"],
        "sub": "system:serviceaccount:prod:web",
        "exp": now() + 600,
        "iat": now(),
        "nbf": now(),
        "kubernetes.io": {
            "namespace": "prod",
            "serviceaccount": { "name": "web" },
            "pod": { "name": "web-1", "uid": "u-1" },
            "node": { "name": "node-1" }
        }
    })
}

/// Claims with one value changed, or taken out.
fn with(pointer: &str, value: Option<Value>) -> Value {
    let mut claims = claims();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let parent = claims.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => parent.insert(field.to_owned(), value),
        None => parent.remove(field),
    };
    claims
}

#[test]
fn a_token_proves_its_service_account_and_pod() {
    let (key, public) = keys();
    let authenticator = JwtAuthenticator::new(public.as_bytes(), &JwtSettings::default()).unwrap();
    let verify =
        |claims: &Value| authenticator.verify(&encode(&Header::new(Algorithm::ES256), claims, &key).unwrap());
    let pod = ProvenPod { name: "web-1".into(), uid: "u-1".into() };
    let proven = Proven { namespace: "prod".into(), service_account: "web".into(), pod: Some(pod) };
    assert_eq!(verify(&claims()), Ok(proven.clone()));
    assert_eq!(verify(&with("/kubernetes.io/pod", None)), Ok(Proven { pod: None, ..proven }));

    let forged = [
        with("/iss", Some("https://elsewhere".into())),
        with("/iss", None),
        with("/aud", Some(json!(["api"]))),
        with("/aud", None),
        with("/exp", Some((now() - 60).into())),
        with("/exp", None),
        with("/exp", Some("never".into())),
        with("/nbf", Some((now() + 600).into())),
        with("/sub", Some("system:serviceaccount:prod:admin".into())),
        with("/sub", None),
        with("/kubernetes.io/namespace", Some("istio-system".into())),
        with("/kubernetes.io/serviceaccount/name", Some("admin".into())),
        with("/kubernetes.io", None),
        with("/kubernetes.io/pod/uid", None),
        json!("text"),
    ];
    for claims in forged {
        assert!(matches!(verify(&claims), Err(TokenError::Invalid(_))), "{claims}");
    }
}

#[test]
fn only_the_issuers_key_and_algorithm_count() {
    let (key, public) = keys();
    let (other, _) = keys();
    let authenticator = JwtAuthenticator::new(public.as_bytes(), &JwtSettings::default()).unwrap();
    let good = encode(&Header::new(Algorithm::ES256), &claims(), &key).unwrap();
    let secret = EncodingKey::from_secret(public.as_bytes());
    let [header, body, signature] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let forged = [
        encode(&Header::new(Algorithm::ES256), &claims(), &other).unwrap(),
        // The public key as a shared secret.
        encode(&Header::new(Algorithm::HS256), &claims(), &secret).unwrap(),
        // {"alg":"none"}
        format!("eyJhbGciOiJub25lIn0.{body}."),
        format!("{header}.{body}."),
        format!("{header}.{body}.{}", signature.chars().rev().collect::<String>()),
        format!("{header}.{body}"),
        String::new(),
        "..".to_owned(),
        "x".repeat(10_000),
    ];
    for token in forged {
        assert!(matches!(authenticator.verify(&token), Err(TokenError::Invalid(_))), "{token}");
    }
    assert!(JwtAuthenticator::new(b"no key", &JwtSettings::default()).is_err());
}
