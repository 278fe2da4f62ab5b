//! Policy routing inside a pod. Packets with mark 0x111 are delivered locally,
//! whatever their destination, which is how answers to a spoofed source reach ztunnel.
//! In a pod that is steered, so is whatever TCP the pod itself sends without ztunnel's mark.

mod messages;
mod netlink;

use std::io;
use std::net::IpAddr;

use mesh_net::namespace::Namespace;
use rtnetlink::IpVersion;
use rtnetlink::packet_route::AddressFamily;

use super::steering::Network;
use netlink::Netlink;

pub(super) async fn add(namespace: &Namespace) -> io::Result<()> {
    let netlink = Netlink::open(namespace)?;
    for family in families(namespace)? {
        netlink.add_rule(messages::answers_rule(family)).await?;
        netlink.add_route(messages::to_ztunnel(family)).await?;
    }
    Ok(())
}

pub(super) async fn remove(namespace: &Namespace) -> io::Result<()> {
    let netlink = Netlink::open(namespace)?;
    for family in families(namespace)? {
        netlink.remove_rule(messages::answers_rule(family)).await?;
        netlink.remove_route(messages::to_ztunnel(family)).await?;
    }
    Ok(())
}

/// Routes what the rules of steering will mark.
pub(super) async fn expect_marks(namespace: &Namespace) -> io::Result<()> {
    let netlink = Netlink::open(namespace)?;
    for family in families(namespace)? {
        for rule in messages::expecting_rules(family) {
            netlink.add_rule(rule).await?;
        }
    }
    Ok(())
}

/// Brings what the pod sends to its loopback interface.
pub(super) async fn steer(namespace: &Namespace, network: &Network) -> io::Result<()> {
    let netlink = Netlink::open(namespace)?;
    for family in families(namespace)? {
        let source = match family {
            AddressFamily::Inet6 => network.sources.v6.map(IpAddr::from),
            _ => network.sources.v4.map(IpAddr::from),
        };
        if source.is_none() {
            continue;
        }
        netlink.add_route(messages::steered(family, source)).await?;
        for interface in &network.interfaces {
            netlink.add_route(messages::steered_bound(family, *interface, source)).await?;
        }
        netlink.add_rule(messages::steering_rule(family)).await?;
    }
    Ok(())
}

/// The same, or not, for its questions for names, in the families that are steered.
pub(super) async fn steer_names(namespace: &Namespace, dns: bool) -> io::Result<()> {
    let netlink = Netlink::open(namespace)?;
    for family in families(namespace)? {
        let version = if family == AddressFamily::Inet6 { IpVersion::V6 } else { IpVersion::V4 };
        let rule = messages::names_rule(family);
        if !dns {
            netlink.remove_rule(rule).await?;
        } else if netlink.rules(version).await?.iter().any(messages::is_steering) {
            netlink.add_rule(rule).await?;
        }
    }
    Ok(())
}

pub(super) async fn unsteer(namespace: &Namespace) -> io::Result<()> {
    let netlink = Netlink::open(namespace)?;
    for family in families(namespace)? {
        // Passing last: it keeps what is ztunnel's apart.
        let rules = [messages::names_rule(family), messages::steering_rule(family)];
        for rule in rules.into_iter().chain(messages::expecting_rules(family)) {
            netlink.remove_rule(rule).await?;
        }
        netlink.remove_routes(messages::any_steered(family)).await?;
    }
    Ok(())
}

/// Whether what a pod sends is steered, in any family.
pub(super) async fn is_steered(namespace: &Namespace) -> io::Result<bool> {
    let netlink = Netlink::open(namespace)?;
    for version in [IpVersion::V4, IpVersion::V6] {
        if netlink.rules(version).await?.iter().any(messages::is_steering) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// IPv6 only where the pod's loopback has it: elsewhere the kernel refuses the route.
fn families(namespace: &Namespace) -> io::Result<Vec<AddressFamily>> {
    let disabled = namespace.run(|| std::fs::read_to_string("/proc/sys/net/ipv6/conf/lo/disable_ipv6"));
    match disabled {
        Ok(flag) if flag.trim() == "0" => Ok(vec![AddressFamily::Inet, AddressFamily::Inet6]),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(vec![AddressFamily::Inet]),
    }
}
