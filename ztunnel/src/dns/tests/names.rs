//! What a client sees: answers of the mesh, and everything else as another server says it.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

use super::fake::{FakeServer, Say, nobody, query, with_addresses};
use super::*;

#[tokio::test]
async fn dns_02_a_service_is_answered_by_the_mesh_alone() {
    let server = FakeServer::start(|query, _| Say::This(nobody(query))).await;
    let bench = Bench::start(&[host("web.default.svc.cluster.local", &["10.96.0.1"])], &[server.address]);
    for name in ["web.", "web.default.", "web.default.svc.", "web.default.svc.cluster.local.", "WEB."] {
        for reply in
            [bench.ask(&query(name, RecordType::A)).await, bench.ask_tcp(&query(name, RecordType::A)).await]
        {
            assert_eq!(data(&reply), ["10.96.0.1"], "{name}");
            assert!(reply.metadata.authoritative && reply.metadata.recursion_available);
            assert_eq!(reply.metadata.response_code, ResponseCode::NoError);
            assert_eq!(reply.answers[0].ttl, 30);
        }
    }
    assert!(server.heard().is_empty());
}

#[tokio::test]
async fn dns_03_06_an_unknown_name_is_sent_on_and_the_answer_is_the_other_server_s() {
    let server = FakeServer::start(|query, _| Say::This(nobody(query))).await;
    let bench = Bench::start(&[host("web.other.svc.cluster.local", &["10.96.0.1"])], &[server.address]);
    let reply = bench.ask(&query("web.", RecordType::A)).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain);
    assert!(!reply.metadata.authoritative && reply.metadata.recursion_available);
    assert_eq!(reply.authorities.len(), 1);
    // As asked: nothing of a search list is added.
    assert_eq!(server.heard(), ["web. A"]);
}

#[tokio::test]
async fn dns_07_other_types_of_a_known_host_are_sent_on() {
    let server = FakeServer::start(|query, _| Say::This(nobody(query))).await;
    let bench = Bench::start(&[host("web.default.svc.cluster.local", &["10.96.0.1"])], &[server.address]);
    for kind in [
        RecordType::MX,
        RecordType::SRV,
        RecordType::PTR,
        RecordType::TXT,
        RecordType::HTTPS,
        RecordType::ANY,
    ] {
        bench.ask(&query("web.default.svc.cluster.local.", kind)).await;
    }
    assert_eq!(server.heard().len(), 6, "{:?}", server.heard());
}

#[tokio::test]
async fn dns_08_22_a_known_host_is_never_denied() {
    let server = FakeServer::start(|query, _| Say::This(nobody(query))).await;
    let both = host("both.example.com", &["240.240.0.1", "2001:2::1"]);
    let bench = Bench::start(&[both.clone(), host("v4.example.com", &["240.240.0.2"])], &[server.address]);
    let reply = bench.ask(&query("v4.example.com.", RecordType::AAAA)).await;
    assert_eq!((reply.metadata.response_code, reply.answers.len()), (ResponseCode::NoError, 0));
    assert!(reply.metadata.authoritative);
    assert_eq!(data(&bench.ask(&query("both.example.com.", RecordType::AAAA)).await), ["2001:2::1"]);

    let without = Bench::start_with(&[server.address], "127.0.0.1:0", |setup| setup.ipv6 = false);
    without.writer.change(|edit| {
        edit.insert_workload(samples::workload("client", "10.0.0.1"));
        edit.insert_service(both);
    });
    let reply = without.ask(&query("both.example.com.default.svc.cluster.local.", RecordType::AAAA)).await;
    assert_eq!((reply.metadata.response_code, reply.answers.len()), (ResponseCode::NoError, 0));
    assert_eq!(data(&without.ask(&query("both.example.com.", RecordType::A)).await), ["240.240.0.1"]);
    assert!(server.heard().is_empty());
}

#[tokio::test]
async fn dns_12_24_26_a_host_outside_is_the_mesh_s_while_it_has_an_address_there() {
    let server =
        FakeServer::start(|query, _| Say::This(with_addresses(query, &["192.0.2.9", "2001:db8::9"]))).await;
    let bench = Bench::start(&[host("www.example.com", &[])], &[server.address]);
    let told = async |kind| data(&bench.ask(&query("www.example.com.", kind)).await);
    assert_eq!(told(RecordType::A).await, ["192.0.2.9"]);
    let drawn = host("www.example.com", &["240.240.0.1", "2001:2::1"]);
    bench.writer.change(|edit| edit.insert_service(drawn.clone()));
    // At once, whatever the cache has: a client of either family gets its own.
    assert_eq!(told(RecordType::A).await, ["240.240.0.1"]);
    assert_eq!(told(RecordType::AAAA).await, ["2001:2::1"]);
    bench.writer.change(|edit| edit.remove_service(&drawn.key));
    assert_eq!(told(RecordType::A).await, ["192.0.2.9"]);
}

#[tokio::test]
async fn dns_17_a_long_answer_is_whole_over_tcp_and_marked_over_udp() {
    let vips: Vec<String> = (0..=255).map(|last| format!("10.97.0.{last}")).collect();
    let vips: Vec<&str> = vips.iter().map(String::as_str).collect();
    let bench = Bench::start(&[host("large.example.com", &vips)], &[]);
    let whole = bench.ask_tcp(&query("large.example.com.", RecordType::A)).await;
    assert_eq!((whole.answers.len(), whole.metadata.truncation), (256, false));
    for (query, least) in [
        (query("large.example.com.", RecordType::A), 29),
        (with_edns(query("large.example.com.", RecordType::A), 1232), 74),
    ] {
        let part = bench.ask(&query).await;
        assert!(part.metadata.truncation && part.answers.len() >= least, "{}", part.answers.len());
    }
}

#[tokio::test]
async fn dns_19_id_question_and_flags_are_the_client_s_also_when_another_server_answers() {
    let server = FakeServer::start(|query, _| {
        let mut reply = with_addresses(query, &["192.0.2.9"]);
        reply.metadata.authoritative = true;
        reply.metadata.authentic_data = true;
        Say::This(reply)
    });
    let server = server.await;
    let bench = Bench::start(&[], &[server.address]);
    // The second is from the cache.
    for id in [7, 8] {
        let mut query = query("Www.Example.com.", RecordType::A);
        query.metadata.id = id;
        let reply = bench.ask(&query).await;
        assert_eq!(data(&reply), ["192.0.2.9"]);
        assert!(reply.queries[0].name().eq_case(query.queries[0].name()));
        let meta = reply.metadata;
        assert!(meta.recursion_desired && meta.recursion_available);
        assert!(!meta.authoritative && !meta.authentic_data && !meta.checking_disabled);
    }
    assert_eq!(server.heard().len(), 1);
}

#[tokio::test]
async fn dns_20_the_pods_of_a_stateful_set_are_sent_on() {
    let server = FakeServer::start(|query, _| Say::This(with_addresses(query, &["10.0.0.5"]))).await;
    let headless = host("db.default.svc.cluster.local", &[]);
    let bench = Bench::start(std::slice::from_ref(&headless), &[server.address]);
    bench.writer.change(|edit| {
        let mut pod = samples::workload("db-0", "10.0.0.5");
        pod.services.insert(headless.key.clone(), Default::default());
        edit.insert_workload(pod);
    });
    let pod = query("db-0.db.default.svc.cluster.local.", RecordType::A);
    assert_eq!(data(&bench.ask(&pod).await), ["10.0.0.5"]);
    assert_eq!(data(&bench.ask(&query("db.", RecordType::A)).await), ["10.0.0.5"]);
    assert_eq!(server.heard(), ["db-0.db.default.svc.cluster.local. A"]);
}

#[tokio::test]
async fn without_another_server_what_is_sent_on_fails_at_once() {
    let bench = Bench::start(&[host("web.default.svc.cluster.local", &["10.96.0.1"])], &[]);
    let reply = bench.ask(&query("www.example.com.", RecordType::A)).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(data(&bench.ask(&query("web.", RecordType::A)).await), ["10.96.0.1"]);
}

#[tokio::test]
async fn tel_16_questions_are_counted_by_type_and_protocol() {
    let server = FakeServer::start(|query, _| Say::This(with_addresses(query, &["192.0.2.9"]))).await;
    let bench = Bench::start(&[host("web.default.svc.cluster.local", &["10.96.0.1"])], &[server.address]);
    bench.ask(&query("web.", RecordType::A)).await;
    bench.ask_tcp(&query("web.", RecordType::AAAA)).await;
    bench.ask(&query("www.example.com.", RecordType::A)).await;
    bench.ask(&query("www.example.com.", RecordType::A)).await;
    let page = bench.page();
    let line = |name: &str, kind: &str, protocol: &str, value: u32| {
        let line = format!(
            "{name}{{request_query_type=\"{kind}\",request_protocol=\"{protocol}\",\
             source_canonical_service=\"client\",source_canonical_revision=\"v1\"}} {value}\n"
        );
        assert!(page.contains(&line), "{line}{page}");
    };
    line("istio_dns_requests_total", "A", "udp", 3);
    line("istio_dns_requests_total", "AAAA", "tcp", 1);
    line("istio_dns_upstream_requests_total", "A", "udp", 1);
    line("istio_dns_upstream_request_duration_seconds_count", "A", "udp", 1);
    assert!(!page.contains("istio_dns_upstream_failures_total{"), "{page}");
    let dead = Bench::start(&[], &[]);
    dead.ask(&query("www.example.com.", RecordType::A)).await;
    assert!(dead.page().contains("istio_dns_upstream_failures_total{request_query_type=\"A\""));
}
