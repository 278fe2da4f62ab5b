//! A server's frames, as they come out of TLS, in answer to one CONNECT: it is
//! answered or fails in time, and no more arrives than was sent.
#![no_main]

use std::time::Duration;

use adit_fuzz::wire::Wire;
use adit_fuzz::{frames, runtime};
use libfuzzer_sys::fuzz_target;
use mesh_hbone::{ConnectRequest, Settings, connect_unpooled, fuzzing};
use mesh_model::Identity;
use tokio::io::AsyncReadExt;

fuzz_target!(|data: &[u8]| {
    let (wire, written) = Wire::saying(data);
    let request = ConnectRequest::new("10.0.0.1:80".parse().unwrap());
    runtime::run(async {
        let peer = Identity::new("cluster.local", "default", "db");
        let settings = Settings::default();
        let exchange = async {
            let connected = connect_unpooled(fuzzing::decrypted(wire, peer), &settings, &request).await;
            let Ok((mut tunnel, info)) = connected else { return };
            assert!(info.baggage.len() <= 32);
            let mut arrived = Vec::new();
            // However it ends.
            let _ = tunnel.read_to_end(&mut arrived).await;
            assert!(arrived.len() <= data.len());
        };
        tokio::time::timeout(Duration::from_hours(1), exchange).await.unwrap();
    });
    let sent = written.bytes();
    frames::check(sent.strip_prefix(frames::PREFACE).unwrap());
    assert!(sent.len() <= 4096 + 64 * data.len(), "{} bytes for {}", sent.len(), data.len());
});
