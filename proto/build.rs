//! Compiles the `.proto` files with protox, so that no `protoc` is needed.

use std::error::Error;

const FILES: [&str; 17] = [
    "istio/workload/workload.proto",
    "istio/security/authorization.proto",
    "istio/ca/ca.proto",
    "istio/zds/zds.proto",
    "envoy/service/discovery/v3/discovery.proto",
    "envoy/service/auth/v3/external_auth.proto",
    "envoy/service/ratelimit/v3/rls.proto",
    "envoy/extensions/common/ratelimit/v3/ratelimit.proto",
    "envoy/type/v3/ratelimit_unit.proto",
    "google/rpc/status.proto",
    "grpc/health/v1/health.proto",
    "adit/waypoint/v1/rate_limit.proto",
    "adit/waypoint/v1/resilience.proto",
    "adit/waypoint/v1/session.proto",
    "adit/waypoint/v1/telemetry.proto",
    "adit/waypoint/v1/waypoint.proto",
    "opentelemetry/proto/collector/trace/v1/trace_service.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
    }
    println!("cargo:rerun-if-changed=envoy/config/core/v3/base.proto");
    let files = protox::compile(FILES, ["."])?;
    tonic_prost_build::configure()
        .build_transport(false)
        // Sorted maps make equal messages equal bytes, which versions rely on.
        .btree_map(".")
        .compile_fds(files)?;
    Ok(())
}
