//! A client's frames, as they come out of TLS: the connection ends by itself, what was
//! answered are whole frames, and not much more than was sent.
#![no_main]

use std::time::Duration;

use adit_fuzz::wire::Wire;
use adit_fuzz::{frames, runtime};
use libfuzzer_sys::fuzz_target;
use mesh_hbone::{Incoming, Settings, StatusCode, fuzzing, serve};
use mesh_model::Identity;
use mesh_runtime::drain;

fuzz_target!(|data: &[u8]| {
    let said = [frames::PREFACE, data].concat();
    let (wire, written) = Wire::saying(&said);
    runtime::run(async {
        let (_trigger, watcher) = drain::channel();
        let settings = Settings::default();
        let peer = Identity::new("cluster.local", "default", "web");
        let served = serve(fuzzing::decrypted(wire, peer), &settings, watcher, answer);
        // Whatever is wrong with it: the other end is gone, so this one goes, too.
        let _ = tokio::time::timeout(Duration::from_hours(1), served).await.unwrap();
    });
    let answered = written.bytes();
    frames::check(&answered);
    assert!(answered.len() <= 4096 + 64 * said.len(), "{} bytes for {}", answered.len(), said.len());
});

/// Every other port refuses, the others send back what comes.
async fn answer(incoming: Incoming) {
    if incoming.request.target.port().is_multiple_of(2) {
        return incoming.refuse(StatusCode::FORBIDDEN);
    }
    if let Ok(tunnel) = incoming.accept(&[("baggage", "service.name=db")]) {
        let (mut reader, mut writer) = tokio::io::split(tunnel);
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut writer).await;
    }
}
