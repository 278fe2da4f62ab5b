//! Tokens good and bad, and what becomes of the requests they come in.

use http::request::Parts;
use mesh_model::TokenRule;
use serde_json::{Value, json};

use super::issuer::{Issuer, Kind, raw};
use super::*;

const NOW: u64 = 1_700_000_000;

fn rule(issuer: &Issuer) -> TokenRule {
    TokenRule { issuer: "issuer-1".into(), keys: issuer.key_set().into(), ..TokenRule::default() }
}

fn claims(more: Value) -> Value {
    let mut claims = json!({ "iss": "issuer-1", "sub": "sub-1", "exp": NOW + 600 });
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

fn head(target: &str, headers: &[(&str, &str)]) -> Parts {
    let mut builder = http::Request::builder().uri(target);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap().into_parts().0
}

/// What policies see of a request, and what is left of it.
fn checked(rules: &[TokenRule], mut head: Parts) -> (Result<Option<Value>, JwtError>, Parts) {
    let checks: Vec<TokenCheck> = rules.iter().map(TokenCheck::compile).collect();
    let token = check(checks.iter(), &mut head, NOW);
    (token.map(|token| token.map(|it| Value::Object(it.claims().clone()))), head)
}

fn bearer(rules: &[TokenRule], token: &str) -> Result<Option<Value>, JwtError> {
    checked(rules, head("/", &[("authorization", &format!("Bearer {token}"))])).0
}

#[test]
fn az_13_14_no_token_is_no_fault_and_a_good_one_is_believed() {
    let issuer = Issuer::new(Kind::Es256);
    let rules = [rule(&issuer)];
    assert_eq!(checked(&rules, head("/", &[])).0, Ok(None));
    let good = claims(json!({}));
    assert_eq!(bearer(&rules, &issuer.sign(&good)), Ok(Some(good)));
}

#[test]
fn az_every_public_key_algorithm_verifies_and_only_with_its_own_key() {
    for kind in Kind::ALL {
        let (issuer, other) = (Issuer::new(kind), Issuer::new(kind));
        let token = issuer.sign(&claims(json!({})));
        assert!(bearer(&[rule(&issuer)], &token).is_ok(), "{kind:?}");
        assert_eq!(bearer(&[rule(&other)], &token), Err(JwtError::VerificationFails), "{kind:?}");
        let mut forged = token.clone().into_bytes();
        let middle = token.find('.').unwrap() + 10;
        forged[middle] = if forged[middle] == b'A' { b'B' } else { b'A' };
        assert!(bearer(&[rule(&issuer)], str::from_utf8(&forged).unwrap()).is_err(), "{kind:?}");
    }
}

#[test]
fn sec_neither_unsigned_tokens_nor_shared_secrets_are_taken() {
    let issuer = Issuer::new(Kind::Rs256);
    let rules = [rule(&issuer)];
    let payload = claims(json!({}));
    for header in [json!({ "alg": "none" }), json!({ "alg": "HS256" }), json!({ "alg": "hs256" })] {
        let token = raw(&header, &payload, b"");
        assert_eq!(bearer(&rules, &token), Err(JwtError::UnknownAlgorithm), "{header}");
    }
    // The public key as if it were a secret: the usual confusion of algorithms.
    let secret = jsonwebtoken::EncodingKey::from_secret(issuer.key_set().as_bytes());
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    let token = jsonwebtoken::encode(&header, &payload, &secret).unwrap();
    assert_eq!(bearer(&rules, &token), Err(JwtError::UnknownAlgorithm));
    // A set of shared secrets is a set of none.
    let shared = TokenRule { keys: r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#.into(), ..rule(&issuer) };
    assert_eq!(bearer(&[shared], &issuer.sign(&payload)), Err(JwtError::NoKeys));
}

#[test]
fn az_15_times_audiences_and_issuers() {
    let issuer = Issuer::new(Kind::Es256);
    let for_us = TokenRule { audiences: vec!["https://api.example/".into()], ..rule(&issuer) };
    for (rule, more, expected) in [
        (&rule(&issuer), json!({ "exp": NOW - 61 }), Some(JwtError::Expired)),
        (&rule(&issuer), json!({ "exp": NOW - 59 }), None),
        (&rule(&issuer), json!({ "exp": (NOW + 5) as f64 + 0.5 }), None),
        (&rule(&issuer), json!({ "exp": "soon" }), Some(JwtError::BadTime("exp"))),
        (&rule(&issuer), json!({ "exp": -1 }), Some(JwtError::BadTime("exp"))),
        (&rule(&issuer), json!({ "nbf": NOW + 61 }), Some(JwtError::NotYetValid)),
        (&rule(&issuer), json!({ "nbf": NOW + 59 }), None),
        (&rule(&issuer), json!({ "iss": "issuer-2" }), Some(JwtError::IssuerUnknown)),
        (&rule(&issuer), json!({ "iss": 7 }), Some(JwtError::IssuerUnknown)),
        (&rule(&issuer), json!({ "aud": "anybody" }), None),
        (&for_us, json!({ "aud": "api.example" }), None),
        (&for_us, json!({ "aud": ["x", "http://api.example"] }), None),
        (&for_us, json!({ "aud": "other" }), Some(JwtError::AudienceNotAllowed)),
        (&for_us, json!({}), Some(JwtError::AudienceNotAllowed)),
        (&for_us, json!({ "aud": [7] }), Some(JwtError::BadAudience)),
    ] {
        let got = bearer(std::slice::from_ref(rule), &issuer.sign(&claims(more.clone())));
        assert_eq!(got.err(), expected, "{more}");
    }
    let mut timeless = claims(json!({}));
    timeless.as_object_mut().unwrap().remove("exp");
    assert!(bearer(&[rule(&issuer)], &issuer.sign(&timeless)).is_ok());
}

#[test]
fn az_what_is_no_token_says_why() {
    let issuer = Issuer::new(Kind::Es256);
    let rules = [rule(&issuer)];
    let good = issuer.sign(&claims(json!({})));
    let (head, rest) = good.split_once('.').unwrap();
    let signed = |header: Value| raw(&header, &claims(json!({})), b"s");
    for (token, expected) in [
        ("opaque".to_owned(), JwtError::BadForm),
        ("a.b".to_owned(), JwtError::BadForm),
        ("a.b.c.d".to_owned(), JwtError::BadForm),
        (format!("!{rest}"), JwtError::BadForm),
        (format!("e_=.{rest}"), JwtError::HeaderNoBase64),
        (format!("e30x.{rest}"), JwtError::HeaderNoJson),
        (signed(json!({})), JwtError::NoAlgorithm),
        (signed(json!({ "alg": 1 })), JwtError::NoAlgorithm),
        (signed(json!({ "alg": "ES256", "kid": 1 })), JwtError::BadKeyId),
        (signed(json!({ "alg": "ES256", "crit": ["b64"] })), JwtError::Critical),
        (signed(json!({ "alg": "ES1" })), JwtError::UnknownAlgorithm),
        (signed(json!({ "alg": "ES256" })), JwtError::VerificationFails),
        (signed(json!({ "alg": "ES256", "kid": "other" })), JwtError::NoKeyMatches),
        (signed(json!({ "alg": "RS256" })), JwtError::NoKeyMatches),
        (format!("{head}.e_=.x"), JwtError::PayloadNoBase64),
        (format!("{head}.e30x.x"), JwtError::PayloadNoJson),
        (format!("{good}="), JwtError::SignatureNoBase64),
        (format!("{head}.{}.x", "A".repeat(40_000)), JwtError::BadForm),
    ] {
        assert_eq!(bearer(&rules, &token).err(), Some(expected), "{token}");
    }
    let without = TokenRule { keys: "".into(), ..rule(&issuer) };
    assert_eq!(bearer(&[without], &good), Err(JwtError::NoKeys));
}

#[test]
fn az_tokens_are_found_where_rules_look_and_taken_away() {
    let issuer = Issuer::new(Kind::Es256);
    let token = issuer.sign(&claims(json!({})));
    let from = TokenRule {
        from_headers: vec![("x-jwt".into(), "Token ".into())],
        from_params: vec!["jwt".into()],
        from_cookies: vec!["session".into()],
        ..rule(&issuer)
    };
    let kept = TokenRule { forward_original: true, ..from.clone() };
    let there = |head: &Parts| {
        let texts = head.headers.values().map(|value| value.to_str().unwrap().to_owned());
        texts.chain([head.uri.to_string()]).any(|text| text.contains(&token))
    };
    let cookie = format!("a=1; session={token}; b=2");
    for (rule, target, header, found) in [
        (rule(&issuer), "/".to_owned(), ("authorization", format!("bearer {token}")), true),
        (rule(&issuer), format!("/x?a=1&access_token={token}&b=2"), ("x-a", String::new()), true),
        (rule(&issuer), "/".to_owned(), ("x-jwt", format!("Token {token}")), false),
        (from.clone(), "/".to_owned(), ("x-jwt", format!("Token {token}")), true),
        (from.clone(), format!("/?jwt={token}"), ("x-a", String::new()), true),
        (from.clone(), "/".to_owned(), ("cookie", cookie.clone()), true),
        (from.clone(), "/".to_owned(), ("authorization", format!("Bearer {token}")), false),
    ] {
        let (got, left) = checked(std::slice::from_ref(&rule), head(&target, &[(header.0, &header.1)]));
        assert_eq!(got.unwrap().is_some(), found, "{header:?}");
        assert_eq!(there(&left), !found, "{header:?}: {left:?}");
    }
    let (_, left) = checked(&[rule(&issuer)], head(&format!("/x?a=1&access_token={token}&b=2"), &[]));
    assert_eq!(left.uri.to_string(), "/x?a=1&b=2");
    let (_, left) = checked(&[from], head("/", &[("cookie", &cookie)]));
    assert_eq!(left.headers["cookie"], "a=1; b=2");
    let (_, left) = checked(&[kept], head("/", &[("cookie", &cookie)]));
    assert!(there(&left));
}

#[test]
fn az_all_tokens_of_a_request_have_to_be_good() {
    let (one, two) = (Issuer::new(Kind::Es256), Issuer::new(Kind::Es256));
    let second = TokenRule {
        issuer: "issuer-2".into(),
        from_headers: vec![("x-jwt".into(), "".into())],
        ..rule(&two)
    };
    let rules = [rule(&one), second];
    let good = one.sign(&claims(json!({})));
    let other = two.sign(&claims(json!({ "iss": "issuer-2" })));
    let both = |bearer: &str, x: &str| {
        let headers = [("authorization", format!("Bearer {bearer}")), ("x-jwt", x.to_owned())];
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        checked(&rules, head("/", &headers)).0
    };
    assert_eq!(both(&good, &other).unwrap().unwrap()["iss"], "issuer-1");
    assert!(both(&good, "bad").is_err() && both("bad", &other).is_err());
    // A token is good only where its issuer's rule looks.
    assert_eq!(both(&other, &other), Err(JwtError::IssuerUnknown));
}

#[test]
fn l7_30_sec_12_claims_become_headers_and_forged_ones_go() {
    let issuer = Issuer::new(Kind::Es256);
    let rule = TokenRule {
        payload_header: Some("x-payload".into()),
        claim_headers: vec![
            ("x-sub".into(), "sub".into()),
            ("x-groups".into(), "groups".into()),
            ("x-inner".into(), "outer.inner".into()),
            ("x-missing".into(), "missing".into()),
            ("content-length".into(), "sub".into()),
        ],
        ..rule(&issuer)
    };
    let token = issuer.sign(&claims(json!({ "groups": ["a", "b"], "outer": { "inner": 7 } })));
    let forged = [("x-payload", "forged"), ("x-sub", "forged"), ("x-missing", "forged"), ("x-kept", "1")];
    let (_, without) = checked(std::slice::from_ref(&rule), head("/", &forged));
    let names: Vec<&str> = without.headers.keys().map(http::HeaderName::as_str).collect();
    assert_eq!(names, ["x-kept"]);

    let authorization = format!("Bearer {token}");
    let headers = [&forged[..], &[("authorization", authorization.as_str())]].concat();
    let (_, left) = checked(&[rule], head("/", &headers));
    let value = |name: &str| left.headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(value("x-payload"), token.split('.').nth(1));
    assert_eq!(
        [value("x-sub"), value("x-groups"), value("x-inner")],
        [Some("sub-1"), Some("a,b"), Some("7")]
    );
    assert_eq!((value("x-missing"), value("content-length")), (None, None));
}

#[test]
fn az_keys_are_chosen_by_their_names_and_keys_of_no_use_are_left_out() {
    let (old, new) = (Issuer::new(Kind::Es256), Issuer::new(Kind::Es256));
    let set = |keys: Vec<Value>| json!({ "keys": keys }).to_string();
    let both = set(vec![json!({ "kty": "XX" }), json!(7), old.key("old"), new.key("new")]);
    let rule = |keys: &str| TokenRule { keys: keys.into(), ..rule(&old) };
    let token = new.sign_as(&claims(json!({})), Some("new"));
    assert!(bearer(&[rule(&both)], &token).is_ok(), "rotation: both are there for a while");
    assert_eq!(bearer(&[rule(&set(vec![old.key("old")]))], &token), Err(JwtError::NoKeyMatches));
    let mut encrypting = new.key("new");
    encrypting["use"] = "enc".into();
    assert_eq!(bearer(&[rule(&set(vec![encrypting]))], &token), Err(JwtError::NoKeys));
    let mut other = new.key("new");
    other["alg"] = "ES384".into();
    assert_eq!(bearer(&[rule(&set(vec![other]))], &token), Err(JwtError::NoKeyMatches));
}
