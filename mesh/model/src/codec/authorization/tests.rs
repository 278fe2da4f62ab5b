//! Rejects of policies, and conditions nobody here can judge.

use mesh_proto::istio::security as proto;
use proto::string_match::MatchType;

use super::decode;
use crate::{Match, Policy};

fn policy(change: impl FnOnce(&mut proto::Authorization, &mut proto::Match)) -> Result<Policy, String> {
    let mut wire = proto::Authorization { name: "p".into(), namespace: "prod".into(), ..Default::default() };
    let mut wanted = proto::Match::default();
    change(&mut wire, &mut wanted);
    wire.groups = vec![proto::Group { rules: vec![proto::Rules { matches: vec![wanted] }] }];
    decode(wire).map_err(|error| error.to_string())
}

#[test]
fn sec_09_bad_policies_are_rejected_with_field_and_reason() {
    type Change = fn(&mut proto::Authorization, &mut proto::Match);
    let table: Vec<(&str, Change)> = vec![
        ("name: empty", |wire, _| wire.name.clear()),
        ("scope: 3 is not a value of this enum", |wire, _| wire.scope = 3),
        ("action: 2 is not a value of this enum", |wire, _| wire.action = 2),
        ("groups[0].rules[0].matches[0].source_ips[0]: 2 bytes, an IP address has 4 or 16", |_, wanted| {
            wanted.source_ips = vec![proto::Address { address: vec![1, 2], length: 8 }];
        }),
        (
            "groups[0].rules[0].matches[0].not_destination_ips[0]: 129 is no prefix length for ::",
            |_, wanted| {
                wanted.not_destination_ips = vec![proto::Address { address: vec![0; 16], length: 129 }];
            },
        ),
        ("groups[0].rules[0].matches[0].destination_ports[1]: 65536 is not a port", |_, wanted| {
            wanted.destination_ports = vec![80, 65_536];
        }),
        ("groups[0].rules[0].matches[0].principals[0].match_type: missing", |_, wanted| {
            wanted.principals = vec![proto::StringMatch { match_type: None }];
        }),
        ("groups[0].rules[0].matches[0].service_accounts[0].service_account: empty", |_, wanted| {
            wanted.service_accounts = vec![proto::ServiceAccountMatch::default()];
        }),
    ];
    for (reason, change) in table {
        assert_eq!(policy(change), Err(reason.to_owned()));
    }
}

#[test]
fn an_unknown_condition_only_makes_a_policy_stricter() {
    let with_extension = |action: proto::Action| {
        policy(|wire, wanted| {
            wire.action = action.into();
            wanted.extensions = vec![proto::Extension::default()];
            wanted.namespaces =
                vec![proto::StringMatch { match_type: Some(MatchType::Exact("prod".to_owned())) }];
        })
        .unwrap()
        .rules[0]
            .clauses[0]
            .matches[0]
            .clone()
    };
    assert_eq!(with_extension(proto::Action::Allow), Match::default(), "never matches");
    assert_eq!(with_extension(proto::Action::Deny).namespaces.len(), 1, "matches as if it were not there");
}
