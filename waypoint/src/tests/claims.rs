//! Routes that look at the claims of end users' tokens.

use std::time::{SystemTime, UNIX_EPOCH};

use mesh_model::{ClaimMatch, HttpMatch, Security, ServiceConfig, TokenRule, ValueMatch};
use serde_json::json;

use super::client::{request, with};
use super::mesh::{Mesh, REVIEWS};
use super::samples::{backend, config, rule};
use crate::tokens::issuer::{Issuer, Kind};

fn claim(path: &[&str], value: ValueMatch) -> ClaimMatch {
    ClaimMatch { path: path.iter().map(|name| (*name).into()).collect(), value }
}

/// Requests of people in the group `admins` who are no guests go to `reviews`; the others have no route.
fn routed(security: Security) -> ServiceConfig {
    let admins = claim(&["groups", "example.com/names"], ValueMatch::Exact("admins".into()));
    let guests = claim(&["guest"], ValueMatch::Presence);
    let matched = HttpMatch { claims: vec![admins], without_claims: vec![guests], ..HttpMatch::default() };
    let mut for_admins = rule("admins", vec![backend(REVIEWS, 80)]);
    for_admins.matches = vec![matched];
    ServiceConfig { security, ..config(REVIEWS, vec![for_admins]) }
}

#[tokio::test]
async fn l7_28_l7_29_routes_by_claims_of_good_tokens_alone() {
    let mesh = Mesh::start().await;
    mesh.echo("v1").await;
    let issuer = Issuer::new(Kind::Es256);
    let token_rule =
        TokenRule { issuer: "issuer-1".into(), keys: issuer.key_set().into(), ..TokenRule::default() };
    let security = Security { policies: Vec::new(), token_rules: vec![token_rule] };
    mesh.configure(routed(security));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let token = |exp: u64, names: serde_json::Value, guest: Option<bool>| {
        let mut claims =
            json!({ "iss": "issuer-1", "sub": "s", "exp": exp, "groups": { "example.com/names": names } });
        if let Some(guest) = guest {
            claims["guest"] = guest.into();
        }
        format!("Bearer {}", issuer.sign(&claims))
    };
    let later = now + 600;
    let mut client = mesh.http1(80).await;
    for (authorization, expected) in [
        (Some(token(later, json!(["users", "admins"]), None)), 200),
        (Some(token(later, json!("admins"), None)), 200),
        (Some(token(later, json!(["users"]), None)), 404),
        (Some(token(later, json!({ "admins": "admins" }), None)), 404),
        (Some(token(later, json!("admins"), Some(false))), 404),
        (Some(token(now - 600, json!("admins"), None)), 401),
        (None, 404),
    ] {
        let asked = authorization
            .iter()
            .fold(request("GET", "/"), |asked, value| with(asked, "authorization", value));
        assert_eq!(client.send(asked).await.status, expected, "{authorization:?}");
    }
    // Nobody says which tokens are good, so none is.
    mesh.configure(routed(Security::default()));
    let good = token(later, json!("admins"), None);
    assert_eq!(client.send(with(request("GET", "/"), "authorization", &good)).await.status, 404);
}
