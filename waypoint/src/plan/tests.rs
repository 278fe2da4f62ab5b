//! Targets in, plans or refusals out.

use std::net::IpAddr;

use mesh_model::AppProtocol::{Http11, Tcp, Unknown};

use super::*;
use crate::tests::samples::{gateway, key, service, workload};

const ME: [u8; 4] = [10, 0, 0, 1];

fn ip(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

/// A waypoint at .1; an attached service at .100 (HTTP 80 → 8080, TCP 9090 → 9090) with
/// endpoint .10; an unattached one at .101; an attached pod .20 behind the first service.
fn known() -> (std::sync::Arc<Snapshot>, Workload) {
    let (writer, reader) = mesh_state::new();
    let me = workload("waypoint", ME.into());
    let attached = service("attached", ip(100), ME.into(), &[(80, Http11), (9090, Tcp), (15008, Tcp)]);
    let mut foreign = service("foreign", ip(101), ME.into(), &[(80, Http11)]);
    foreign.waypoint = None;
    let mut by_other = service("by-other", ip(102), ip(2), &[(80, Http11)]);
    by_other.waypoint = Some(gateway(ip(2)));
    let mut pod = workload("pod", ip(20));
    pod.waypoint = Some(gateway(ME.into()));
    pod.services.insert(key("attached"), [(80, 8080), (9090, 9090)].into());
    writer.change(|edit| {
        edit.insert_workload(me.clone());
        edit.insert_workload(workload("endpoint", ip(10)));
        edit.insert_workload(pod);
        edit.insert_service(attached);
        edit.insert_service(foreign);
        edit.insert_service(by_other);
    });
    (reader.snapshot(), me)
}

fn planned(target: &str) -> Result<String, u16> {
    let (snapshot, me) = known();
    Plan::make(&snapshot, &me, &target.parse().unwrap())
        .map(|plan| match plan {
            Plan::Service(service, port) => {
                format!("{} {} {:?}", service.name, port.service_port, port.app_protocol)
            }
            Plan::Workload(workload, spoken) => format!("{} {spoken:?}", workload.name),
        })
        .map_err(|refusal| refusal.status().as_u16())
}

#[test]
fn wp_14_only_what_is_attached() {
    for (target, expected) in [
        ("10.0.0.100:80", Ok("attached 80 Http11")),
        ("10.0.0.100:9090", Ok("attached 9090 Tcp")),
        ("10.0.0.100:81", Err(404)),
        ("10.0.0.101:80", Err(404)),
        ("10.0.0.102:80", Err(404)),
        ("10.0.0.10:8080", Err(404)),
        ("10.0.0.1:15000", Err(404)),
        ("10.0.0.1:80", Err(404)),
        ("127.0.0.1:15000", Err(404)),
        ("8.8.8.8:53", Err(404)),
        ("[::ffff:10.0.0.100]:80", Ok("attached 80 Http11")),
        ("attached.shop.svc.cluster.local:80", Err(400)),
    ] {
        assert_eq!(planned(target), expected.map(str::to_owned), "{target}");
    }
}

#[test]
fn wp_14_an_attached_pod_on_any_port_and_what_its_services_say_of_it() {
    assert_eq!(planned("10.0.0.20:8080"), Ok(format!("pod {Http11:?}")));
    assert_eq!(planned("10.0.0.20:9090"), Ok(format!("pod {Tcp:?}")));
    assert_eq!(planned("10.0.0.20:4711"), Ok(format!("pod {Unknown:?}")));
}

#[test]
fn hb_11_reserved_ports_lead_nowhere() {
    for port in RESERVED_PORTS {
        assert_eq!(planned(&format!("10.0.0.20:{port}")), Err(503));
        assert_eq!(planned(&format!("10.0.0.100:{port}")), Err(503));
    }
}
