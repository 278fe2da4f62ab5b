//! Manifests in, resources and statuses out. `UPDATE_GOLDEN=1 cargo test` writes what is derived now; the
//! difference is what a review looks at.
//!
//! A case is a folder with `in.yaml`: documents as a user writes them. As in a cluster without its kubelets,
//! everything gets its address and is ready, unless a Pod has a status of its own (see `support/world.rs`).
//! Resources of generated waypoints, and what is usual in a resource, are shown where a comment in `in.yaml`
//! says `show everything`. Of a ConfigMap somebody has read the certificates, too.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "support/config_map.rs"]
mod config_map;
#[path = "support/document.rs"]
mod document;
#[path = "support/render.rs"]
mod render;
#[path = "support/world.rs"]
mod world;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use controller_translate::objects::{find_unknown_fields, validate};
use controller_translate::{Cluster, Resource, ResourceKey, Settings, resources, status};
use mesh_model::AddressResource;
use mesh_model::codec::{address, authorization, service_config, waypoint_config};

fn derive(input: &str) -> String {
    let everything = input.contains("# show everything");
    let mut out = render::Output { everything, text: String::new() };
    let (mut objects, mut certificates) = (Vec::new(), Vec::new());
    for (at, text) in document::split(input).enumerate() {
        match document::read(text) {
            Ok((value, object)) => {
                let unknown = find_unknown_fields(&value, &object);
                unknown.iter().for_each(|field| out.refuse(at, &format!("unknown field {field}")));
                let invalid = validate(&object);
                invalid.iter().for_each(|it| out.refuse(at, &it.to_string()));
                if invalid.is_empty() {
                    certificates.extend(config_map::read(&object));
                    objects.push(object);
                }
            }
            Err(error) => out.refuse(at, &error),
        }
    }
    let mut cluster = Cluster::new(Settings::default());
    let mut hidden = BTreeSet::new();
    for object in world::run(objects) {
        let is_generated = world::is_generated(&object);
        let key = object.key();
        let affected = cluster.apply(object);
        if is_generated && !everything {
            let name = format!("{}/{}", key.namespace, key.name);
            // What holds for a waypoint's traffic is not generated with it.
            let own = |it: &ResourceKey| {
                !matches!(it, ResourceKey::WaypointConfig(_)) && it.to_string().contains(&name)
            };
            hidden.extend(affected.resources.into_iter().filter(own));
        }
    }
    for (map, certificates) in certificates {
        cluster.set_certificates(&map, certificates);
    }
    for key in resources::keys(&cluster).difference(&hidden) {
        if let Some(resource) = resources::derive(&cluster, key) {
            assert_survives_the_wire(&resource);
            out.resource(key, &resource);
        }
    }
    for key in status::keys(&cluster) {
        if let Some(status) = status::derive(&cluster, &key) {
            out.status(&key, &status);
        }
    }
    out.text
}

/// What is derived is what a proxy decodes.
fn assert_survives_the_wire(resource: &Resource) {
    let arrived = match resource {
        Resource::Workload(it) => address::decode(address::encode_workload(it)),
        Resource::Service(it) => address::decode(address::encode_service(it)),
        Resource::Policy(it) => {
            assert_eq!(authorization::decode(authorization::encode(it)).unwrap(), **it);
            return;
        }
        Resource::ServiceConfig(it) => {
            assert_eq!(service_config::decode(service_config::encode(it)).unwrap(), **it);
            return;
        }
        Resource::WaypointConfig(it) => {
            assert_eq!(waypoint_config::decode(waypoint_config::encode(it)).unwrap(), **it);
            return;
        }
    };
    match (arrived.unwrap(), resource) {
        (AddressResource::Workload(arrived), Resource::Workload(sent)) => assert_eq!(arrived, **sent),
        (AddressResource::Service(arrived), Resource::Service(sent)) => assert_eq!(arrived, **sent),
        (arrived, sent) => panic!("{sent:?} became {arrived:?}"),
    }
}

fn check(case: &Path) -> Result<(), String> {
    let input = fs::read_to_string(case.join("in.yaml")).unwrap();
    let derived = derive(&input);
    let path = case.join("out.yaml");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &derived).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    if derived == expected {
        return Ok(());
    }
    let lines = derived.lines().zip(expected.lines());
    let first = lines.take_while(|(derived, expected)| derived == expected).count();
    let line = |text: &str| text.lines().nth(first).unwrap_or("(end)").to_owned();
    Err(format!(
        "{}:{}\n  expected {}\n  derived  {}",
        path.display(),
        first + 1,
        line(&expected),
        line(&derived)
    ))
}

#[test]
fn manifests_become_the_expected_resources_and_statuses() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut cases: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(!cases.is_empty());
    let wrong: Vec<String> = cases.iter().filter_map(|case| check(case).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
