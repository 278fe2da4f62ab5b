//! Extension providers that collect spans, and the Zipkin of the mesh's older settings.

use std::sync::Arc;
use std::time::Duration;

use mesh_model::{NamespacedHostname, TraceCollector, TraceHeaders, TraceProtocol};

use crate::cluster::Cluster;
use crate::objects::{
    ExtensionProvider, GoDuration, OpenTelemetryCollector, ProviderHeader, TraceContextOption,
    ZipkinCollector,
};
use crate::resources::provider_service::{self, provider_host};

/// Where nobody says how long a collector may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Where spans are taken, unless somebody says otherwise.
const OTLP_PATH: &str = "/v1/traces";
const ZIPKIN_PATH: &str = "/api/v2/spans";
const ZIPKIN_PORT: u16 = 9411;

/// The collector that is called by a name, and how backends are told of traces then; or why there is none.
pub(super) fn find(cluster: &Cluster, name: &str) -> Result<(TraceCollector, TraceHeaders), String> {
    let provider = cluster.mesh.find_provider(name);
    let provider = provider.ok_or_else(|| provider_service::unknown(cluster, name))?;
    if let Some(collector) = &provider.opentelemetry {
        return opentelemetry(cluster, name, collector).map(|it| (it, TraceHeaders::W3c));
    }
    let Some(collector) = &provider.zipkin else {
        return Err(format!(
            "extension provider {name:?} collects no spans; use one with opentelemetry or zipkin"
        ));
    };
    let headers = match collector.trace_context_option {
        TraceContextOption::UseB3 => TraceHeaders::B3,
        TraceContextOption::UseB3WithW3cPropagation => TraceHeaders::B3AndW3c,
    };
    zipkin(cluster, name, collector).map(|it| (it, headers))
}

/// The collector of the whole mesh, if it has one that can be used.
pub(super) fn inherited(cluster: &Cluster) -> Option<(TraceCollector, TraceHeaders)> {
    let reporting = &cluster.mesh.reporting;
    match reporting.default_providers.tracing.first() {
        Some(name) => find(cluster, name).ok(),
        None if reporting.enable_tracing => Some((zipkin_of_the_mesh(cluster)?, TraceHeaders::B3)),
        None => None,
    }
}

/// The host names of all services that may collect spans.
pub(crate) fn provider_hosts(cluster: &Cluster) -> impl Iterator<Item = Arc<str>> {
    let addresses = cluster.mesh.extension_providers.iter().filter_map(ExtensionProvider::trace_address);
    let named = addresses.map(|(service, _)| provider_host(cluster, service).1);
    let zipkin = cluster.mesh.reporting.enable_tracing.then(|| zipkin_address(cluster).0);
    named.chain(zipkin)
}

fn opentelemetry(
    cluster: &Cluster,
    name: &str,
    collector: &OpenTelemetryCollector,
) -> Result<TraceCollector, String> {
    let (service, port) = provider_service::find(cluster, name, &collector.service, collector.port)?;
    let (wanted, headers, protocol) = match (&collector.http, &collector.grpc) {
        (Some(http), _) => {
            let path = or_default(&http.path, OTLP_PATH);
            (http.timeout, headers(&http.headers), TraceProtocol::OtlpHttp { path })
        }
        (None, Some(grpc)) => (grpc.timeout, headers(&grpc.initial_metadata), TraceProtocol::OtlpGrpc),
        (None, None) => (None, Vec::new(), TraceProtocol::OtlpGrpc),
    };
    Ok(TraceCollector { service, port, timeout: timeout(wanted), headers, protocol })
}

fn zipkin(cluster: &Cluster, name: &str, collector: &ZipkinCollector) -> Result<TraceCollector, String> {
    let (service, port) = provider_service::find(cluster, name, &collector.service, collector.port)?;
    let path = or_default(&collector.path, ZIPKIN_PATH);
    Ok(TraceCollector {
        service,
        port,
        timeout: timeout(collector.timeout),
        headers: headers(&collector.headers),
        protocol: TraceProtocol::Zipkin { path, short_ids: collector.enable64bit_trace_id },
    })
}

fn zipkin_of_the_mesh(cluster: &Cluster) -> Option<TraceCollector> {
    let (hostname, port) = zipkin_address(cluster);
    let service = cluster.resolve_hostname(&cluster.settings.root_namespace, &hostname)?;
    service.object.has_port(port).then(|| TraceCollector {
        service: NamespacedHostname::clone(&service.key),
        port,
        timeout: TIMEOUT,
        headers: Vec::new(),
        protocol: TraceProtocol::Zipkin { path: ZIPKIN_PATH.into(), short_ids: false },
    })
}

/// `zipkin`, `zipkin.tracing` and `zipkin.tracing.svc` are short for what Kubernetes makes of them.
fn zipkin_address(cluster: &Cluster) -> (Arc<str>, u16) {
    let settings = &cluster.settings;
    let default = format!("zipkin.{}:{ZIPKIN_PORT}", settings.root_namespace);
    let written = cluster.mesh.reporting.default_config.tracing.zipkin.as_ref();
    let address = written.map(|it| it.address.as_str()).filter(|it| !it.is_empty()).unwrap_or(&default);
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    let port = port.parse().unwrap_or(ZIPKIN_PORT);
    let labels: Vec<&str> = host.split('.').collect();
    let hostname = match labels.as_slice() {
        [_, _] => format!("{host}.svc.{}", settings.domain).into(),
        [_, _, "svc"] => format!("{host}.{}", settings.domain).into(),
        _ => settings.hostname_meant(&settings.root_namespace, host),
    };
    (hostname, port)
}

fn timeout(wanted: Option<GoDuration>) -> Duration {
    wanted.map(|it| it.0).filter(|it| !it.is_zero()).unwrap_or(TIMEOUT)
}

fn or_default(path: &str, default: &str) -> Arc<str> {
    if path.is_empty() { default.into() } else { path.into() }
}

/// Those whose value is written; a waypoint does not have the environment of others.
fn headers(headers: &[ProviderHeader]) -> Vec<(Arc<str>, Arc<str>)> {
    let written = headers.iter().filter_map(|header| {
        Some((header.name.to_ascii_lowercase().into(), header.value.as_deref()?.into()))
    });
    written.collect()
}
