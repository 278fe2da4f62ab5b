//! Endpoints whose addresses the mesh does not say: known by a host name, which somebody has to look up (DNS-25), or
//! wherever the connection was going (EG-10, EG-11).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mesh_model::{
    Health, IpFamilies, LoadBalancingMode, Locality, NetworkAddress, NetworkMode, Service, SmallMap,
    TunnelProtocol, Uid, Workload, WorkloadKind,
};

use crate::balance::{candidates_and_names, pick, target_port};
use crate::{Endpoint, NamedHop, Snapshot};

/// Chooses one of the endpoints of a service port that have no address, among those on the source's network; none
/// if there is none.
pub fn choose_named(
    snapshot: &Snapshot,
    source: &Workload,
    service: &Arc<Service>,
    service_port: u16,
    filter: impl Fn(&Workload) -> bool,
) -> Option<NamedHop> {
    let port_of = |workload: &Workload| target_port(service, workload, service_port);
    let near = |workload: &Workload| workload.network == source.network;
    // They have no addresses, so that no family is like another.
    let like = IpAddr::from([0, 0, 0, 0]);
    let named = candidates_and_names(snapshot, service, like, near, port_of)
        .filter(|candidate| candidate.named && filter(candidate.workload));
    let chosen = pick(&service.load_balancing, source, named, |candidate| candidate.workload)?;
    Some(NamedHop { workload: chosen.workload.clone(), service: service.clone(), port: chosen.port })
}

/// Those of a host's addresses that a service uses, the family of `like` first.
pub fn usable_addresses(addresses: &[IpAddr], families: IpFamilies, like: IpAddr) -> Vec<IpAddr> {
    let used = |ip: &&IpAddr| match families {
        IpFamilies::Ipv4 => ip.is_ipv4(),
        IpFamilies::Ipv6 => ip.is_ipv6(),
        IpFamilies::Automatic | IpFamilies::Dual => true,
    };
    let mut usable: Vec<IpAddr> = addresses.iter().filter(used).copied().collect();
    usable.sort_by_key(|ip| ip.is_ipv4() != like.is_ipv4());
    usable
}

/// Where a connection to a service was going, if that is where the service wants it to go: to whoever is at the
/// address, known or not.
pub fn original_destination(
    snapshot: &Snapshot,
    source: &Workload,
    service: &Arc<Service>,
    destination: SocketAddr,
) -> Option<Endpoint> {
    if service.load_balancing.mode != LoadBalancingMode::Passthrough {
        return None;
    }
    let destination = SocketAddr::new(destination.ip().to_canonical(), destination.port());
    let address = NetworkAddress::new(source.network.clone(), destination.ip());
    let workload = snapshot.find_workload(&address).unwrap_or_else(|| Arc::new(stranger(&address)));
    Some(Endpoint::of(&workload, Some(service), destination))
}

/// Somebody outside at an address that the name of a host has, for a service that knows neither. What the mesh may
/// know of the address does not count: it is reached as plain TCP, as anybody would.
pub fn endpoint_of_host(
    service: &Arc<Service>,
    host: &Arc<str>,
    network: &Arc<str>,
    at: SocketAddr,
) -> Endpoint {
    let place = NetworkAddress::new(network.clone(), at.ip());
    let workload = Workload { hostname: host.clone(), ..stranger(&place) };
    Endpoint::of(&Arc::new(workload), Some(service), at)
}

/// Whether traffic to an address is judged on its way by who sent it: it is a captured workload's, or a service's
/// that has a waypoint or captured endpoints.
pub fn is_guarded_address(snapshot: &Snapshot, network: &Arc<str>, ip: IpAddr) -> bool {
    let place = NetworkAddress::new(network.clone(), ip.to_canonical());
    let workload = snapshot.workloads.at(&place);
    workload.is_some_and(|workload| is_guarded(workload))
        || snapshot.services.all_at(&place).any(|service| is_guarded_service(snapshot, service))
}

/// The same of a service.
pub fn is_guarded_service(snapshot: &Snapshot, service: &Service) -> bool {
    service.waypoint.is_some() || snapshot.endpoints(&service.key).any(|(workload, _)| is_guarded(workload))
}

fn is_guarded(workload: &Workload) -> bool {
    workload.tunnel == TunnelProtocol::Hbone || workload.waypoint.is_some()
}

/// Somebody at an address that the mesh knows nothing of: what reports leave empty is unknown.
fn stranger(address: &NetworkAddress) -> Workload {
    let nothing: Arc<str> = "".into();
    Workload {
        uid: Uid(nothing.clone()),
        name: nothing.clone(),
        namespace: nothing.clone(),
        addresses: vec![address.ip],
        network: address.network.clone(),
        tunnel: TunnelProtocol::Tcp,
        native_tunnel: false,
        trust_domain: nothing.clone(),
        service_account: nothing.clone(),
        waypoint: None,
        network_gateway: None,
        node: nothing.clone(),
        canonical_name: nothing.clone(),
        canonical_revision: nothing.clone(),
        kind: WorkloadKind::Pod,
        workload_name: nothing.clone(),
        authorization_policies: Vec::new(),
        health: Health::Healthy,
        cluster_id: nothing.clone(),
        hostname: nothing,
        services: SmallMap::new(),
        application_tunnel: None,
        locality: Locality::default(),
        network_mode: NetworkMode::Standard,
        capacity: 1,
        labels: SmallMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn eg_11_a_connection_goes_where_it_was_going_if_the_service_wants_that() {
        let mut service = samples::service("block", &[]);
        let mut known = samples::workload("known");
        known.addresses = vec![samples::ip("10.1.0.1")];
        let snapshot = samples::snapshot(|edit| edit.insert_workload(known.clone()));
        let source = samples::workload("client");
        let to = |service: &Service, address: &str| {
            let destination = address.parse().unwrap();
            original_destination(&snapshot, &source, &Arc::new(service.clone()), destination)
        };
        assert_eq!(to(&service, "10.1.0.9:443"), None);
        service.load_balancing.mode = LoadBalancingMode::Passthrough;
        let stranger = to(&service, "10.1.0.9:443").unwrap();
        assert_eq!(
            (stranger.address.to_string().as_str(), stranger.tunnel),
            ("10.1.0.9:443", TunnelProtocol::Tcp)
        );
        let found = to(&service, "10.1.0.1:443").unwrap();
        assert_eq!((&found.workload.name, found.tunnel), (&known.name, TunnelProtocol::Hbone));
    }

    #[test]
    fn eg_15_what_the_mesh_guards_is_known_by_its_address() {
        let mut uncaptured = samples::endpoint("uncaptured", "10.1.0.2", "open");
        uncaptured.tunnel = TunnelProtocol::Tcp;
        let mut behind = samples::service("behind", &["10.96.0.3"]);
        behind.waypoint = Some(samples::gateway("waypoint"));
        let snapshot = samples::snapshot(|edit| {
            edit.insert_workload(samples::endpoint("captured", "10.1.0.1", "shut"));
            edit.insert_workload(uncaptured);
            edit.insert_service(samples::service("shut", &["10.96.0.1"]));
            edit.insert_service(samples::service("open", &["10.96.0.2"]));
            edit.insert_service(behind);
        });
        for (address, expected) in [
            ("10.1.0.1", true),
            ("::ffff:10.1.0.1", true),
            ("10.1.0.2", false),
            ("10.96.0.1", true),
            ("10.96.0.2", false),
            ("10.96.0.3", true),
            ("192.0.2.1", false),
        ] {
            assert_eq!(
                is_guarded_address(&snapshot, &"".into(), samples::ip(address)),
                expected,
                "{address}"
            );
        }
    }

    #[test]
    fn dns_26_the_client_s_family_goes_first_among_those_the_service_uses() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let all = [ip("fd00::1"), ip("10.0.0.1"), ip("fd00::2")];
        let order = |families, like| usable_addresses(&all, families, ip(like));
        assert_eq!(order(IpFamilies::Automatic, "10.9.9.9"), [all[1], all[0], all[2]]);
        assert_eq!(order(IpFamilies::Dual, "fd00::9"), [all[0], all[2], all[1]]);
        assert_eq!(order(IpFamilies::Ipv4, "fd00::9"), [all[1]]);
        assert_eq!(order(IpFamilies::Ipv6, "10.9.9.9"), [all[0], all[2]]);
    }
}
