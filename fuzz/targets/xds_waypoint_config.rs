//! What holds for a waypoint's traffic, and a request that is judged by it: two bytes of length, a WaypointConfig, the
//! head. Where a policy denies everything, nothing passes; where nothing is said, everything does.
#![no_main]

use adit_fuzz::head;
use libfuzzer_sys::fuzz_target;
use mesh_model::PolicyAction;
use mesh_model::codec::waypoint_config::{encode, from_bytes};
use prost::Message;
use waypoint::fuzzing;

fuzz_target!(|data: &[u8]| {
    let Some((length, rest)) = data.split_first_chunk::<2>() else { return };
    let Some((config, head)) = rest.split_at_checked(u16::from_be_bytes(*length).into()) else { return };
    let config = match from_bytes(config) {
        Ok(config) => config,
        Err(error) => return assert!(!error.reason.is_empty()),
    };
    assert_eq!(from_bytes(&encode(&config).encode_to_vec()).as_ref(), Ok(&config));
    let Some(mut head) = head::read(head) else { return };
    if fuzzing::normalise(&mut head).is_err() {
        return;
    }
    let Ok(passes) = fuzzing::judge(&config, &mut head, 1_700_000_000) else { return };
    assert_eq!(head.headers.get_all("host").iter().count(), 1);
    let policies = || config.security.policies.iter().filter(|policy| !policy.dry_run);
    let denies_all = policies().any(|policy| {
        policy.action == PolicyAction::Deny && policy.rules.iter().any(|rule| rule.clauses.is_empty())
    });
    assert!(!(denies_all && passes));
    let is_silent = |action: &PolicyAction| *action == PolicyAction::Audit;
    assert!(passes || !policies().all(|policy| is_silent(&policy.action)));
});
