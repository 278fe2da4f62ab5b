//! Workloads that are known by name alone.

use std::net::IpAddr;

use hickory_proto::op::ResponseCode;
use mesh_model::IpFamilies;
use mesh_telemetry::Party;

use super::fake::{FakeServer, Say, reply, with_addresses};
use super::*;

async fn looked_up(bench: &Bench, host: &str, like: &str, families: IpFamilies) -> Result<IpAddr, String> {
    let source = Party::from(&Arc::new(samples::workload("client", "10.0.0.1")));
    let (host, like) = (Arc::from(host), like.parse().unwrap());
    let address = bench.resolver.fetch_address(&source, &host, like, families).await;
    address.map_err(|error| error.to_string())
}

#[tokio::test]
async fn dns_25_a_name_is_looked_up_once_and_every_use_is_counted() {
    let server = FakeServer::start(|query, _| Say::This(with_addresses(query, &["192.0.2.9"]))).await;
    let bench = Bench::start(&[], &[server.address]);
    for _ in 0..2 {
        let address = looked_up(&bench, "www.example.com", "240.240.0.1", IpFamilies::Automatic).await;
        assert_eq!(address, Ok("192.0.2.9".parse().unwrap()));
    }
    assert_eq!(server.heard(), ["www.example.com. A"]);
    let line = "istio_on_demand_dns_total{source_workload=\"client\",source_canonical_service=\"client\",\
                source_canonical_revision=\"v1\",source_workload_namespace=\"default\",\
                source_principal=\"unknown\",source_app=\"client\",source_version=\"v1\",\
                source_cluster=\"Kubernetes\",hostname=\"www.example.com\"} 2\n";
    assert!(bench.page().contains(line), "{}", bench.page());
}

#[tokio::test]
async fn dns_26_the_client_s_family_is_preferred_and_the_other_one_serves() {
    let server = FakeServer::start(|query, _| match query.queries[0].name().to_ascii().as_str() {
        "both.example.com." => Say::This(with_addresses(query, &["192.0.2.9", "2001:db8::9"])),
        "v4.example.com." => Say::This(with_addresses(query, &["192.0.2.9"])),
        _ => Say::This(reply(query, ResponseCode::NXDomain)),
    });
    let server = server.await;
    let bench = Bench::start(&[], &[server.address]);
    let (v4, v6) = ("240.240.0.1", "2001:2::1");
    for (host, like, families, expected) in [
        ("both.example.com", v4, IpFamilies::Dual, "192.0.2.9"),
        ("both.example.com", v6, IpFamilies::Dual, "2001:db8::9"),
        ("v4.example.com", v6, IpFamilies::Automatic, "192.0.2.9"),
        ("both.example.com", v6, IpFamilies::Ipv4, "192.0.2.9"),
        ("both.example.com", v4, IpFamilies::Ipv6, "2001:db8::9"),
    ] {
        let address = looked_up(&bench, host, like, families).await;
        assert_eq!(address, Ok(expected.parse().unwrap()), "{host} {like}");
    }
    let error = looked_up(&bench, "v4.example.com", v4, IpFamilies::Ipv6).await.unwrap_err();
    assert!(error.starts_with("host v4.example.com has no address of the service's families"), "{error}");
    let error = looked_up(&bench, "nobody.example.com", v4, IpFamilies::Dual).await.unwrap_err();
    assert!(error.contains("Non-Existent Domain"), "{error}");
}

#[tokio::test]
async fn dns_25_what_cannot_be_looked_up_says_why() {
    let bench = Bench::start(&[], &[]);
    let error = looked_up(&bench, "www.example.com", "240.240.0.1", IpFamilies::Dual).await.unwrap_err();
    assert!(error.contains("there is no name server to ask"), "{error}");
    let error = looked_up(&bench, "www..com", "240.240.0.1", IpFamilies::Dual).await.unwrap_err();
    assert!(error.contains("no name that can be looked up"), "{error}");
}

#[tokio::test]
async fn dns_25_a_workload_without_addresses_is_nobody_s_endpoint_in_dns() {
    let server = FakeServer::start(|query, _| Say::This(with_addresses(query, &["192.0.2.9"]))).await;
    let service = host("www.example.com", &["240.240.0.1"]);
    let bench = Bench::start(std::slice::from_ref(&service), &[server.address]);
    bench.writer.change(|edit| edit.insert_workload(named("backend.example.com", &service)));
    let told = data(&bench.ask(&fake::query("www.example.com.", hickory_proto::rr::RecordType::A)).await);
    assert_eq!(told, ["240.240.0.1"]);
}
