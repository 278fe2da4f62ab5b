//! Configuration from variables and files.

use std::io::Write as _;

use serde_json::json;

use super::*;

fn read(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let variables = variables.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    Config::read(variables, Path::new("/does/not/exist"))
}

#[test]
fn ad_11_defaults() {
    let config = read(&[]).unwrap();
    assert_eq!((config.ports.admin, config.ports.stats, config.ports.readiness), (15000, 15020, 15021));
    assert_eq!(config.place.trust_domain, "cluster.local");
    assert_eq!(config.place.cluster_id, "Kubernetes");
    assert_eq!(config.zds_socket, Path::new("/var/run/ztunnel/ztunnel.sock"));
    assert_eq!(config.control_plane.xds.address, "https://istiod.istio-system.svc:15012");
    assert_eq!(config.control_plane.ca.address, config.control_plane.xds.address);
    assert_eq!(config.data_path.packet_mark, 0x539);
    assert_eq!(config.data_path.original_source, None);
    assert!(config.data_path.reuse_port && config.data_path.ipv6);
    assert_eq!(config.drain_deadline, Duration::from_secs(5));
    assert!(config.worker_threads >= 2);
}

#[test]
fn ad_09_environment_over_proxy_config_over_mesh_file() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let mesh =
        "defaultConfig:\n  discoveryAddress: file:1\n  statsPort: 3\n  proxyAdminPort: 4\n  concurrency: 1\n";
    file.write_all(mesh.as_bytes()).unwrap();
    let proxy_config =
        "discoveryAddress: text:2\nstatsPort: 5\nproxyMetadata: {ISTIO_META_A: b, CLUSTER_ID: c9}\n";
    let variables = [("PROXY_CONFIG", proxy_config), ("CA_ADDRESS", "http://ca:1"), ("ISTIO_META_X", "y")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = Config::read(variables.into_iter().collect(), file.path()).unwrap();
    assert_eq!(config.control_plane.xds.address, "https://text:2");
    assert_eq!(config.control_plane.ca.address, "http://ca:1");
    assert_eq!((config.ports.stats, config.ports.admin), (5, 4));
    assert_eq!(config.worker_threads, 1);
    assert_eq!(config.place.cluster_id, "c9");
    assert_eq!(config.control_plane.node_metadata["A"], json!("b"));
    assert_eq!(config.control_plane.node_metadata["X"], json!("y"));
}

#[test]
fn ad_09_metadata_and_headers() {
    let config = read(&[
        ("POD_NAME", "ztunnel-1"),
        ("INSTANCE_IP", "10.0.0.1"),
        ("ISTIO_METAJSON_LABELS", r#"{"a": 1}"#),
        ("XDS_HEADER_x-tenant", "t"),
        ("CA_HEADER_x-ca", "c"),
        ("ISTIO_META_CLUSTER_ID", "wins"),
        ("CLUSTER_ID", "loses"),
    ])
    .unwrap();
    assert_eq!(config.control_plane.node_metadata["LABELS"], json!({"a": 1}));
    assert_eq!(config.control_plane.node_metadata["INSTANCE_IPS"], json!("10.0.0.1"));
    assert_eq!(config.control_plane.xds.headers, [("x-tenant".to_owned(), Secret("t".to_owned()))]);
    assert_eq!(config.control_plane.ca.headers, [("x-ca".to_owned(), Secret("c".to_owned()))]);
    assert_eq!(config.place.cluster_id, "wins");
}

#[test]
fn ad_10_worker_threads() {
    assert_eq!(read(&[("ZTUNNEL_WORKER_THREADS", "3")]).unwrap().worker_threads, 3);
    assert!(read(&[("ZTUNNEL_WORKER_THREADS", "100%")]).unwrap().worker_threads >= 1);
    assert!(read(&[("ZTUNNEL_WORKER_THREADS", "101%")]).is_err());
}

#[test]
fn up_07_drain_deadline() {
    for (variables, seconds) in [
        (vec![("TERMINATION_GRACE_PERIOD_SECONDS", "30")], 25),
        (vec![("TERMINATION_GRACE_PERIOD_SECONDS", "1")], 1),
        (vec![("TERMINATION_GRACE_PERIOD_SECONDS", "30"), ("CONNECTION_TERMINATION_DEADLINE", "2s")], 2),
    ] {
        assert_eq!(read(&variables).unwrap().drain_deadline, Duration::from_secs(seconds), "{variables:?}");
    }
}

#[test]
fn dns_01_names_are_answered_in_every_pod_unless_it_is_turned_off() {
    let config = read(&[]).unwrap();
    assert_eq!(config.dns.listen, ["127.0.0.1:15053".parse().unwrap(), "[::1]:15053".parse().unwrap()]);
    assert_eq!(config.dns.cluster_domain, "cluster.local");
    assert_eq!(config.dns.resolv_conf, Path::new("/etc/resolv.conf"));
    assert!(read(&[("DNS_CAPTURE", "false")]).unwrap().dns.listen.is_empty());
    let by_metadata = read(&[("PROXY_CONFIG", "proxyMetadata: {DNS_CAPTURE: \"false\"}")]).unwrap();
    assert!(by_metadata.dns.listen.is_empty());
}

#[test]
fn dns_22_without_ipv6_names_are_asked_for_over_ipv4() {
    let config = read(&[("IPV6_ENABLED", "false"), ("CLUSTER_DOMAIN", "mesh.example")]).unwrap();
    assert_eq!(config.dns.listen, ["127.0.0.1:15053".parse().unwrap()]);
    assert_eq!(config.dns.cluster_domain, "mesh.example");
}

#[test]
fn hb_01_tls_1_2_has_to_be_asked_for() {
    assert!(!read(&[]).unwrap().tls12);
    assert!(read(&[("TLS12_ENABLED", "true")]).unwrap().tls12);
}

#[test]
fn hb_30_a_compliance_policy_may_ask_for_post_quantum_keys() {
    assert!(!read(&[]).unwrap().post_quantum_only);
    assert!(read(&[("COMPLIANCE_POLICY", "pqc")]).unwrap().post_quantum_only);
}

#[test]
fn id_14_revocation_lists_are_asked_for_by_a_path() {
    assert_eq!(read(&[]).unwrap().revocation_lists, None);
    let config = read(&[("CRL_PATH", "/etc/crl.pem")]).unwrap();
    assert_eq!(config.revocation_lists.as_deref(), Some(Path::new("/etc/crl.pem")));
}

#[test]
fn ad_14_resources_on_demand_exclude_answering_names() {
    assert!(!read(&[]).unwrap().control_plane.on_demand);
    let error = read(&[("XDS_ON_DEMAND", "true")]).unwrap_err().to_string();
    assert!(error.contains("set DNS_CAPTURE to false"), "{error}");
    assert!(read(&[("XDS_ON_DEMAND", "true"), ("DNS_CAPTURE", "false")]).unwrap().control_plane.on_demand);
}

#[test]
fn dns_23_an_address_that_is_none_is_named_at_the_start() {
    let listen = |text: &str| read(&[("DNS_PROXY_ADDR", text)]).map(|config| config.dns.listen);
    assert_eq!(
        listen("localhost:53").unwrap(),
        ["127.0.0.1:53".parse().unwrap(), "[::1]:53".parse().unwrap()]
    );
    assert_eq!(listen("[::1]:15053").unwrap(), ["[::1]:15053".parse().unwrap()]);
    for wrong in ["here", "localhost", "localhost:dns", "127.0.0.1", "15053", "dns.example:53"] {
        let error = listen(wrong).unwrap_err().to_string();
        assert!(error.contains(&format!("DNS_PROXY_ADDR is {wrong:?}")), "{error}");
        assert!(error.contains("such as 127.0.0.1:15053 or localhost:15053"), "{error}");
    }
}

#[test]
fn bad_values_are_named_with_the_remedy() {
    for (name, value, said) in [
        ("INSTANCE_IP", "here", "environment variable INSTANCE_IP is \"here\""),
        ("PACKET_MARK", "many", "environment variable PACKET_MARK is \"many\""),
        ("SECRET_TTL", "1 day", "expected a duration"),
        ("ENABLE_ORIG_SRC", "perhaps", "expected true or false"),
        ("HTTP2_FRAME_SIZE", "1", "a number from 16384"),
        ("POOL_MAX_STREAMS_PER_CONNECTION", "0", "a number from 1"),
        ("ISTIO_METAJSON_X", "{", "expected JSON"),
        ("PROXY_CONFIG", "[1", "PROXY_CONFIG is not a proxy configuration"),
        ("PROXY_CONFIG", "statsPort: 99999", "PROXY_CONFIG is not a proxy configuration"),
        ("PROXY_MODE", "dedicated", "PROXY_MODE asks for a proxy of a single workload"),
        ("TLS12_ENABLED", "old", "expected true or false"),
        ("FAKE_CA", "true", "does not offer; remove it"),
        ("COMPLIANCE_POLICY", "fips-140-2", "another set of key exchange groups than pqc"),
    ] {
        let error = read(&[(name, value)]).unwrap_err().to_string();
        assert!(error.contains(said), "{name}={value}: {error}");
    }
}

#[test]
fn ad_01_a_dumped_configuration_holds_no_secret() {
    let config = read(&[("AUTH_TOKEN", "s3cret"), ("XDS_HEADER_authorization", "s3cret")]).unwrap();
    assert!(!serde_json::to_string(&config).unwrap().contains("s3cret"));
    assert!(!format!("{config:?}").contains("s3cret"));
}
