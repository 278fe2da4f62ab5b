//! A token in a request: nobody here has its issuer's key, so none is good, whatever it says.
#![no_main]

use std::sync::OnceLock;

use http::Request;
use libfuzzer_sys::fuzz_target;
use mesh_model::{Security, TokenRule, WaypointConfig, WaypointKey};
use waypoint::fuzzing;

/// Public keys without anybody who has the private ones: points of the curve that are its generator.
const KEYS: &str = r#"{"keys":[
 {"kty":"EC","crv":"P-256","x":"axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY","y":"T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"},
 {"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

fuzz_target!(|data: &[u8]| {
    let Ok(token) = str::from_utf8(data) else { return };
    let request = Request::builder().uri("/").header("authorization", format!("Bearer {token}"));
    let Ok(request) = request.body(()) else { return };
    let mut head = request.into_parts().0;
    // An empty place has no token in it.
    match fuzzing::judge(config(), &mut head, 1_700_000_000) {
        Ok(passes) => assert!(passes && token.trim().is_empty(), "{token:?} is good"),
        Err(reason) => assert!(!reason.is_empty()),
    }
});

fn config() -> &'static WaypointConfig {
    static CONFIG: OnceLock<WaypointConfig> = OnceLock::new();
    CONFIG.get_or_init(|| {
        let rule = TokenRule { issuer: "i".into(), keys: KEYS.into(), ..TokenRule::default() };
        let security = Security { policies: Vec::new(), token_rules: vec![rule] };
        WaypointConfig {
            key: WaypointKey::new("prod", "way"),
            security,
            authorization_services: Vec::new(),
            telemetry: Default::default(),
            forward_client_identity: false,
            rate_limits: Vec::new(),
        }
    })
}
