//! Routes and a request that is judged by them: two bytes of length, a ServiceConfig, the head.
//! The rule is the one that looking at one after the other finds, what it takes of a path is part of it, and what is
//! made of the request is one.
#![no_main]

use adit_fuzz::head;
use libfuzzer_sys::fuzz_target;
use mesh_model::codec::service_config;
use waypoint::fuzzing;

fuzz_target!(|data: &[u8]| {
    let Some((length, rest)) = data.split_first_chunk::<2>() else { return };
    let Some((config, head)) = rest.split_at_checked(u16::from_be_bytes(*length).into()) else { return };
    let Ok(config) = service_config::from_bytes(config) else { return };
    let Some(mut head) = head::read(head) else { return };
    if fuzzing::normalise(&mut head).is_err() {
        return;
    }
    let path = head.uri.path().to_owned();
    let port = config.ports.keys().next().copied().unwrap_or(80);
    let Some((taken, location)) = fuzzing::route(&config, &mut head, port) else { return };
    assert!(path.is_char_boundary(taken), "{taken} bytes of {path:?}");
    assert_eq!(head.headers.get_all("host").iter().count(), 1);
    assert!(head.uri.path().starts_with('/') || head.uri.path() == "*", "{}", head.uri);
    if let Some(location) = location {
        location.to_str().unwrap().parse::<http::Uri>().unwrap();
    }
});
