//! `baggage` headers, one a line: what is kept is short and can travel, and is understood again when it is said.
#![no_main]

use std::sync::{Arc, OnceLock};

use libfuzzer_sys::fuzz_target;
use mesh_model::codec::address;
use mesh_model::{AddressResource, Workload};
use mesh_proto::istio::workload as proto;
use mesh_telemetry::baggage::{Baggage, encode, parse};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    let understood = parse(text.split('\n'));
    let values = [
        &understood.cluster,
        &understood.namespace,
        &understood.workload_name,
        &understood.service_name,
        &understood.revision,
        &understood.region,
        &understood.zone,
    ];
    for value in values.into_iter().flatten() {
        assert!((1..=256).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_graphic()));
    }
    assert_eq!(understood.kind.is_some(), understood.workload_name.is_some());
    let said = encode(&describe(&understood));
    assert_eq!(parse([said.as_str()]), understood);
});

/// A workload of which nothing else is known.
fn describe(baggage: &Baggage) -> Workload {
    let text = |part: &Option<Arc<str>>| part.clone().unwrap_or_default();
    let mut workload = blank().clone();
    workload.cluster_id = text(&baggage.cluster);
    workload.namespace = text(&baggage.namespace);
    workload.workload_name = text(&baggage.workload_name);
    workload.kind = baggage.kind.unwrap_or_default();
    workload.canonical_name = text(&baggage.service_name);
    workload.canonical_revision = text(&baggage.revision);
    workload.locality.region = text(&baggage.region);
    workload.locality.zone = text(&baggage.zone);
    workload
}

fn blank() -> &'static Workload {
    static BLANK: OnceLock<Workload> = OnceLock::new();
    BLANK.get_or_init(|| {
        let wire = proto::Workload { uid: "uid".to_owned(), ..proto::Workload::default() };
        let wire = proto::Address { r#type: Some(proto::address::Type::Workload(wire)) };
        match address::decode(wire) {
            Ok(AddressResource::Workload(workload)) => workload,
            other => panic!("{other:?}"),
        }
    })
}
