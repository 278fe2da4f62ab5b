//! What a waypoint cannot read closes, and never opens.

use mesh_proto::adit::waypoint::v1 as proto;

use super::{decode, decode_policy};
use crate::{PolicyAction, PolicyRule};

fn unknown_rule() -> proto::PolicyRule {
    let condition = proto::PolicyCondition { attribute: 99, ..Default::default() };
    let wanted = proto::PolicyMatch { conditions: vec![condition] };
    proto::PolicyRule { clauses: vec![proto::PolicyClause { alternatives: vec![wanted] }] }
}

fn policy(action: i32, rules: Vec<proto::PolicyRule>) -> proto::RequestPolicy {
    proto::RequestPolicy { name: "p".into(), action, rules, ..Default::default() }
}

#[test]
fn sec_what_is_unknown_takes_nothing_where_it_allows_and_everything_where_it_denies() {
    let everything = PolicyRule::default();
    let plain = proto::PolicyRule::default();
    for (action, expected) in [
        (proto::PolicyAction::Allow as i32, vec![everything.clone()]),
        (proto::PolicyAction::Deny as i32, vec![everything.clone(), everything.clone()]),
        (proto::PolicyAction::Custom as i32, vec![everything.clone(), everything.clone()]),
    ] {
        let read = decode_policy(policy(action, vec![unknown_rule(), plain.clone()])).unwrap();
        assert_eq!(read.rules, expected, "{action}");
    }
    assert!(
        decode_policy(policy(proto::PolicyAction::Allow as i32, vec![unknown_rule()]))
            .unwrap()
            .rules
            .is_empty()
    );
    let unknown_action = decode_policy(policy(77, vec![])).unwrap();
    assert_eq!((unknown_action.action, unknown_action.rules), (PolicyAction::Deny, vec![everything]));
}

#[test]
fn sec_09_bad_token_rules_are_rejected_with_field_and_reason() {
    let rejected = |change: fn(&mut proto::TokenRule)| {
        let mut rule = proto::TokenRule { issuer: "i".into(), ..Default::default() };
        change(&mut rule);
        let wire = proto::Security { policies: vec![], token_rules: vec![rule] };
        decode(Some(wire)).unwrap_err().to_string()
    };
    assert_eq!(rejected(|it| it.issuer.clear()), "token_rules[0].issuer: empty");
    assert_eq!(
        rejected(|it| it.payload_header = "a b".into()),
        "token_rules[0].payload_header: \"a b\" is not the name of a header"
    );
    assert_eq!(
        rejected(
            |it| it.claim_headers = vec![proto::ClaimHeader { header: "x".into(), claim: String::new() }]
        ),
        "token_rules[0].claim_headers[0].claim: empty"
    );
    assert_eq!(
        rejected(|it| it.keys = " ".repeat((1 << 20) + 1)),
        "token_rules[0].keys: 1048577 bytes, at most 1048576 are taken"
    );
}
