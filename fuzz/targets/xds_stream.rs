//! Responses of a controller, one after the other: what is known in the end is found by
//! every name it has, is what the same resources make when they arrive at once, and
//! every connection has a next hop or a reason why not.
#![no_main]

use std::net::SocketAddr;

use libfuzzer_sys::fuzz_target;
use mesh_proto::discovery::DeltaDiscoveryResponse;
use mesh_state::{Query, Snapshot, resolve};
use mesh_xds::{Handler, RawResource};
use prost::Message;

/// Pairs of source and destination are tried up to this many of each.
const TRIED: usize = 8;

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    let (writer, reader) = mesh_state::new();
    let mut handlers: [Box<dyn Handler>; 3] = [
        Box::new(writer.address_handler()),
        Box::new(writer.authorization_handler()),
        Box::new(writer.service_config_handler()),
    ];
    while let Ok(response) = DeltaDiscoveryResponse::decode_length_delimited(&mut rest) {
        let handler = handlers.iter_mut().find(|handler| handler.type_url() == response.type_url);
        let Some(handler) = handler else { continue };
        let raw = response.resources.into_iter().map(|it| RawResource {
            name: it.name,
            version: it.version,
            bytes: it.resource.unwrap_or_default().value,
        });
        for rejected in handler.apply(raw.collect(), response.removed_resources) {
            assert!(!rejected.reason.is_empty());
        }
    }
    let snapshot = reader.snapshot();
    compare(&snapshot, &rebuilt(&snapshot));
    resolve_all(&snapshot);
});

/// The same contents, put in at once.
fn rebuilt(snapshot: &Snapshot) -> std::sync::Arc<Snapshot> {
    let (writer, reader) = mesh_state::new();
    writer.change(|edit| {
        snapshot.services().for_each(|service| edit.insert_service((**service).clone()));
        snapshot.workloads().for_each(|workload| edit.insert_workload((**workload).clone()));
        snapshot.policies().for_each(|policy| edit.insert_policy((**policy).clone()));
        snapshot.service_configs().for_each(|config| edit.insert_service_config((**config).clone()));
    });
    reader.snapshot()
}

fn compare(grown: &Snapshot, rebuilt: &Snapshot) {
    for workload in grown.workloads() {
        assert_eq!(grown.find_workload_by_uid(&workload.uid).as_ref(), Some(workload));
        for address in workload.own_addresses() {
            assert_eq!(grown.find_workload(&address), rebuilt.find_workload(&address), "{address}");
        }
        let names = |snapshot: &Snapshot| {
            let mut names: Vec<_> =
                snapshot.policies_for(workload).map(|policy| policy.key.clone()).collect();
            names.sort();
            names
        };
        assert_eq!(names(grown), names(rebuilt));
    }
    for service in grown.services() {
        assert_eq!(grown.find_service_by_key(&service.key).as_ref(), Some(service));
        for address in &service.addresses {
            assert_eq!(grown.find_service(address, None), rebuilt.find_service(address, None), "{address}");
        }
        let endpoints = |snapshot: &Snapshot| {
            let mut uids: Vec<_> =
                snapshot.endpoints(&service.key).map(|(workload, _)| workload.uid.clone()).collect();
            uids.sort();
            uids
        };
        assert_eq!(endpoints(grown), endpoints(rebuilt));
    }
}

fn resolve_all(snapshot: &Snapshot) {
    let services = snapshot.services().flat_map(|service| service.addresses.iter().map(|it| it.ip));
    let workloads = snapshot.workloads().flat_map(|workload| workload.addresses.iter().copied());
    for ip in services.chain(workloads).take(TRIED) {
        for source in snapshot.workloads().take(TRIED) {
            let destination = SocketAddr::new(ip, 80);
            // Any answer will do; that there is one is what counts.
            let _ = resolve(snapshot, Query { source, destination });
        }
    }
}
