//! Which service is meant.

use mesh_model::{NetworkAddress, NetworkCidr, Service, Visibility};

use crate::Snapshot;
use crate::samples::{address, in_namespace, ip, key, service, snapshot};

fn namespace_at<'c>(snapshot: &Snapshot, at: &str, client: impl Into<Option<&'c str>>) -> Option<String> {
    snapshot.find_service(&address(at), client).map(|service| service.key.namespace.to_string())
}

fn private(service: Service) -> Service {
    Service { visibility: Visibility::Namespace, ..service }
}

fn with_blocks(service: Service, blocks: &[&str]) -> Service {
    let block = |text: &&str| NetworkCidr { network: "".into(), cidr: text.parse().unwrap() };
    Service { cidrs: blocks.iter().map(block).collect(), ..service }
}

#[test]
fn lb_16_the_clients_namespace_comes_first_then_canonical_then_the_first() {
    let vip = || service("web", &["10.96.0.1"]);
    let snapshot = snapshot(|edit| {
        edit.insert_service(in_namespace("first", vip()));
        edit.insert_service(in_namespace("canonical", Service { canonical: true, ..vip() }));
        edit.insert_service(in_namespace("own", vip()));
    });
    for (client, namespace) in [(Some("own"), "own"), (Some("other"), "canonical"), (None, "canonical")] {
        assert_eq!(namespace_at(&snapshot, "10.96.0.1", client).as_deref(), Some(namespace));
        let named = snapshot.find_service_by_host("web.prod", client).unwrap();
        assert_eq!(&*named.key.namespace, namespace);
    }
}

#[test]
fn dns_13_without_a_canonical_one_the_preferred_namespace_or_the_first_counts() {
    let change = |edit: &mut crate::Edit<'_>| {
        for namespace in ["first", "preferred"] {
            edit.insert_service(in_namespace(namespace, service("web", &["10.96.0.1"])));
        }
    };
    let (writer, reader) = crate::with_preferred_namespace("preferred");
    writer.change(change);
    assert_eq!(namespace_at(&reader.snapshot(), "10.96.0.1", "other").as_deref(), Some("preferred"));
    let (writer, reader) = crate::new();
    writer.change(change);
    assert_eq!(namespace_at(&reader.snapshot(), "10.96.0.1", "other").as_deref(), Some("first"));
    writer.change(|edit| {
        edit.insert_service(in_namespace(
            "first",
            Service { name: "changed".into(), ..service("web", &["10.96.0.1"]) },
        ));
    });
    assert_eq!(
        namespace_at(&reader.snapshot(), "10.96.0.1", "other").as_deref(),
        Some("first"),
        "an update keeps its place"
    );
}

#[test]
fn lb_17_an_address_beats_a_block_and_the_smaller_block_the_larger() {
    let snapshot = snapshot(|edit| {
        edit.insert_service(in_namespace("exact", service("a", &["10.1.1.1"])));
        edit.insert_service(in_namespace(
            "large",
            with_blocks(service("b", &[]), &["10.0.0.0/8", "fd00::/64"]),
        ));
        edit.insert_service(in_namespace("small", with_blocks(service("c", &[]), &["10.1.0.0/16"])));
        edit.insert_service(in_namespace("smallest", with_blocks(service("d", &[]), &["10.1.2.0/24"])));
    });
    for (at, client, namespace) in [
        ("10.1.1.1", "x", Some("exact")),
        ("10.1.1.2", "x", Some("small")),
        ("10.1.2.1", "x", Some("smallest")),
        ("10.2.0.1", "x", Some("large")),
        ("10.1.2.1", "large", Some("large")), // the own namespace beats length
        ("fd00::9", "x", Some("large")),
        ("fd01::9", "x", None),
        ("11.0.0.1", "x", None),
    ] {
        assert_eq!(namespace_at(&snapshot, at, client).as_deref(), namespace, "{at} from {client}");
    }
    let elsewhere = NetworkAddress::new("elsewhere", ip("10.2.0.1"));
    assert_eq!(snapshot.find_service(&elsewhere, "x"), None, "blocks belong to a network");
}

#[test]
fn lb_17_blocks_go_with_their_service() {
    let (writer, reader) = crate::new();
    let block = |blocks: &[&str]| with_blocks(service("web", &[]), blocks);
    writer.change(|edit| edit.insert_service(block(&["10.0.0.0/24", "10.0.1.0/24"])));
    assert!(namespace_at(&reader.snapshot(), "10.0.1.1", "prod").is_some());
    writer.change(|edit| edit.insert_service(block(&["10.0.0.0/24"])));
    assert!(namespace_at(&reader.snapshot(), "10.0.0.1", "prod").is_some());
    assert_eq!(namespace_at(&reader.snapshot(), "10.0.1.1", "prod"), None);
    writer.change(|edit| edit.remove_service(&key("web")));
    assert_eq!(namespace_at(&reader.snapshot(), "10.0.0.1", "prod"), None);
}

#[test]
fn lb_18_what_cannot_be_seen_gives_way_to_the_next() {
    let snapshot = snapshot(|edit| {
        edit.insert_service(in_namespace("hidden", private(service("web", &["10.96.0.1"]))));
        edit.insert_service(in_namespace("open", service("web", &["10.96.0.1"])));
        edit.insert_service(in_namespace(
            "hidden",
            private(with_blocks(service("b", &[]), &["10.1.0.0/24"])),
        ));
        edit.insert_service(in_namespace("open", with_blocks(service("c", &[]), &["10.0.0.0/8"])));
        edit.insert_service(in_namespace("hidden", private(service("only", &["10.96.0.2"]))));
    });
    for (at, client, namespace) in [
        ("10.96.0.1", Some("hidden"), Some("hidden")),
        ("10.96.0.1", Some("other"), Some("open")),
        ("10.96.0.2", Some("hidden"), Some("hidden")),
        ("10.96.0.2", Some("other"), Some("open")), // falls through to the block
        ("10.96.0.2", None, Some("hidden")),        // not enforced
        ("10.1.0.1", Some("hidden"), Some("hidden")),
        ("10.1.0.1", Some("other"), Some("open")),
        ("10.1.0.1", None, Some("hidden")),
    ] {
        assert_eq!(namespace_at(&snapshot, at, client).as_deref(), namespace, "{at} from {client:?}");
    }
    assert!(snapshot.find_service_by_host("only.prod", "hidden").is_some());
    assert_eq!(snapshot.find_service_by_host("only.prod", "other"), None);
}

#[test]
fn a_service_that_is_gone_is_found_by_nothing() {
    let (writer, reader) = crate::new();
    writer.change(|edit| edit.insert_service(service("web", &["10.96.0.1", "fd00::1"])));
    writer.change(|edit| edit.insert_service(service("web", &["10.96.0.2"])));
    let snapshot = reader.snapshot();
    assert_eq!(namespace_at(&snapshot, "10.96.0.1", "prod"), None, "an address it gave up");
    assert!(namespace_at(&snapshot, "10.96.0.2", "prod").is_some());
    writer.change(|edit| edit.remove_service(&key("web")));
    let snapshot = reader.snapshot();
    assert_eq!(namespace_at(&snapshot, "10.96.0.2", "prod"), None);
    assert_eq!(snapshot.find_service_by_host("web.prod", None), None);
    assert_eq!(snapshot.find_service_by_key(&key("web")), None);
}
