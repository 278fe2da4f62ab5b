//! The proxies we are held against, as they are configured: one thread, no log, one route to one backend, for
//! HTTP/1.1 and for HTTP/2 on both sides.

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};

use super::manifests::{HOST, PREFIX, SERVER_PORT};
use crate::ask::Version;

/// Where each listens in the pod they share.
pub(super) fn haproxy_port(version: Version) -> u16 {
    match version {
        Version::Http1 => 9201,
        Version::Http2 => 9202,
    }
}

pub(super) fn envoy_port(version: Version) -> u16 {
    match version {
        Version::Http1 => 9301,
        Version::Http2 => 9302,
    }
}

/// Writes the configurations of both into `folder`; `server` is the backend's address.
pub(super) fn write(folder: &Path, server: &str) -> anyhow::Result<()> {
    fs::write(folder.join("haproxy.cfg"), haproxy(server)).context("cannot write HAProxy's configuration")?;
    fs::write(folder.join("envoy.json"), serde_json::to_string_pretty(&envoy(server))?)
        .context("cannot write Envoy's configuration")
}

fn haproxy(server: &str) -> String {
    let mut text = "global\n  nbthread 1\n  maxconn 8192\n\
        defaults\n  mode http\n  timeout connect 10s\n  timeout client 1h\n  timeout server 1h\n"
        .to_owned();
    for version in [Version::Http1, Version::Http2] {
        let (port, proto) = (haproxy_port(version), if version == Version::Http2 { " proto h2" } else { "" });
        text.push_str(&format!(
            "frontend in-{port}\n  bind 0.0.0.0:{port}{proto}\n  acl host hdr(host) -i {HOST}\n  \
             acl path path_beg {PREFIX}\n  use_backend out-{port} if host path\n\
             backend out-{port}\n  server app {server}:{SERVER_PORT}{proto}\n"
        ));
    }
    text
}

fn envoy(server: &str) -> Value {
    let of = [Version::Http1, Version::Http2];
    json!({
        "static_resources": {
            "listeners": of.map(envoy_listener),
            "clusters": of.map(|version| envoy_cluster(version, server)),
        },
    })
}

fn envoy_listener(version: Version) -> Value {
    let port = envoy_port(version);
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "codec_type": if version == Version::Http2 { "HTTP2" } else { "HTTP1" },
        "route_config": { "virtual_hosts": [{
            "name": "shop",
            "domains": [HOST],
            "routes": [{ "match": { "prefix": PREFIX }, "route": { "cluster": format!("out-{port}") } }],
        }] },
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
        }],
    });
    json!({
        "name": format!("in-{port}"),
        "address": { "socket_address": { "address": "0.0.0.0", "port_value": port } },
        "filter_chains": [{ "filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": manager,
        }] }],
    })
}

fn envoy_cluster(version: Version, server: &str) -> Value {
    let mut cluster = json!({
        "name": format!("out-{}", envoy_port(version)),
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": format!("out-{}", envoy_port(version)),
            "endpoints": [{ "lb_endpoints": [{ "endpoint": {
                "address": { "socket_address": { "address": server, "port_value": SERVER_PORT } },
            } }] }],
        },
    });
    if version == Version::Http2 {
        cluster["typed_extension_protocol_options"] = json!({
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": { "http2_protocol_options": {} },
            },
        });
    }
    cluster
}
