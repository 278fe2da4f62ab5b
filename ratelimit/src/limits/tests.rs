//! Configurations in, limits out.

use super::*;

const SHOP: &str = "
domain: shop
descriptors:
  - key: plan
    value: free
    rate_limit: { name: free, unit: minute, requests_per_unit: 10 }
    descriptors:
      - { key: path, value: /search, rate_limit: { unit: SECOND, requests_per_unit: 1 } }
      - { key: path, value: /s*, rate_limit: { unit: second, requests_per_unit: 2 } }
      - { key: path, value: '/se*', rate_limit: { unit: second, requests_per_unit: 3 } }
  - { key: plan, rate_limit: { unit: hour, requests_per_unit: 100 } }
  - { key: plan, value: paid, rate_limit: { unlimited: true } }
  - { key: user, shadow_mode: true, rate_limit: { unit: day, requests_per_unit: 0 } }
";

fn limits(text: &str) -> Result<Limits, Invalid> {
    let mut limits = Limits::default();
    limits.add(text).map(|()| limits)
}

fn found(limits: &Limits, entries: &[(&str, &str)]) -> Option<u32> {
    limits.find("shop", entries.iter().copied()).map(|limit| limit.requests.unwrap_or(u32::MAX))
}

#[test]
fn the_closest_descriptor_of_the_same_length_has_the_limit() {
    let limits = limits(SHOP).unwrap();
    for (entries, expected) in [
        (&[("plan", "free")][..], Some(10)),
        (&[("plan", "other")], Some(100)),
        (&[("plan", "paid")], Some(u32::MAX)),
        (&[("plan", "free"), ("path", "/search")], Some(1)),
        (&[("plan", "free"), ("path", "/sell")], Some(3)),
        (&[("plan", "free"), ("path", "/sit")], Some(2)),
        (&[("plan", "free"), ("path", "/other")], None),
        (&[("plan", "other"), ("path", "/search")], None),
        (&[("path", "/search")], None),
        (&[], None),
    ] {
        assert_eq!(found(&limits, entries), expected, "{entries:?}");
    }
    assert_eq!(limits.find("other", [("plan", "free")]), None);
    let user = limits.find("shop", [("user", "ann")]).unwrap();
    assert!(user.shadow && user.requests == Some(0) && user.unit == Unit::Day);
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    for (text, expected) in [
        ("domain: ''", "domain: is needed"),
        ("domain: a\ndescriptors: [{ key: '' }]", "descriptors[0].key: is needed"),
        (
            "domain: a\ndescriptors: [{ key: k }]",
            "descriptors[0]: has neither rate_limit nor descriptors, so it limits nothing",
        ),
        (
            "domain: a\ndescriptors: [{ key: k, rate_limit: { requests_per_unit: 1 } }]",
            "descriptors[0].rate_limit.unit: is needed",
        ),
        (
            "domain: a\ndescriptors: [{ key: k, rate_limit: { unit: second } }]",
            "descriptors[0].rate_limit: exactly one of requests_per_unit and unlimited is needed",
        ),
        (
            "domain: a\ndescriptors: [{ key: k, descriptors: [{ key: l, rate_limit: { unlimited: true } }, \
             { key: l, rate_limit: { unlimited: true } }] }]",
            "descriptors[0].descriptors[1]: there is another descriptor for the same key and value",
        ),
    ] {
        assert_eq!(limits(text).unwrap_err().to_string(), expected);
    }
    let misspelt = limits("domain: a\ndescriptors: [{ key: k, rate_limits: {} }]").unwrap_err().to_string();
    assert!(misspelt.contains("rate_limits"), "{misspelt}");
    let mut twice = limits("domain: a").unwrap();
    assert_eq!(twice.add("domain: a").unwrap_err().to_string(), "domain \"a\" is in another file too");
}
