//! Policy routing inside a pod. Packets with mark 0x111 are delivered locally,
//! whatever their destination, which is how answers to a spoofed source reach ztunnel.
//! In a pod that is steered, so is whatever TCP the pod itself sends without ztunnel's mark.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures_util::TryStreamExt as _;
use mesh_net::namespace::Namespace;
use nix::errno::Errno;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::IpProtocol;
use rtnetlink::packet_route::route::{RouteMessage, RouteScope, RouteType};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::{Error, Handle, IpVersion, RouteMessageBuilder};

use super::steering::Sources;

/// Answers to ztunnel: table, and preference of the rule that looks it up.
const TABLE: u8 = 100;
const PREFERENCE: u32 = 32764;
const MARK: u32 = 0x111;
const MASK: u32 = 0xfff;
/// What is steered.
const STEERED_TABLE: u8 = 101;
const STEERED_PREFERENCE: u32 = 32765;
/// What ztunnel sends takes the usual way, from the rule of the main table on.
const PASSING_PREFERENCE: u32 = 32763;
const PASSING_MARK: u32 = 0x539;
const MAIN_PREFERENCE: u32 = 32766;
/// The loopback interface is the first of every namespace.
const LOOPBACK: u32 = 1;
const LOOPBACK_NAME: &str = "lo";

pub(super) async fn add(namespace: &Namespace) -> io::Result<()> {
    let netlink = Netlink::open(namespace)?;
    for family in families(namespace)? {
        netlink.add_rule(marked_rule(family)).await?;
        netlink.add_route(everything_local(family, TABLE, None)).await?;
    }
    Ok(())
}

pub(super) async fn remove(namespace: &Namespace) -> io::Result<()> {
    let netlink = Netlink::open(namespace)?;
    for family in families(namespace)? {
        netlink.remove_rule(marked_rule(family)).await?;
        netlink.remove_route(everything_local(family, TABLE, None)).await?;
    }
    Ok(())
}

/// Brings what the pod sends to its loopback interface, as from `sources`.
pub(super) async fn steer(namespace: &Namespace, sources: &Sources) -> io::Result<()> {
    let netlink = Netlink::open(namespace)?;
    for (family, source) in steered_families(namespace, sources)? {
        netlink.add_route(everything_local(family, STEERED_TABLE, Some(source))).await?;
        // What must not be steered is let pass before anything is.
        netlink.add_rule(passing_rule(family)).await?;
        netlink.add_rule(steering_rule(family)).await?;
    }
    Ok(())
}

pub(super) async fn unsteer(namespace: &Namespace) -> io::Result<()> {
    let netlink = Netlink::open(namespace)?;
    for family in families(namespace)? {
        netlink.remove_rule(steering_rule(family)).await?;
        netlink.remove_rule(passing_rule(family)).await?;
        netlink.remove_route(everything_local(family, STEERED_TABLE, None)).await?;
    }
    Ok(())
}

/// Whether what a pod sends is steered, in any family.
pub(super) async fn is_steered(namespace: &Namespace) -> io::Result<bool> {
    let netlink = Netlink::open(namespace)?;
    for version in [IpVersion::V4, IpVersion::V6] {
        let mut rules = std::pin::pin!(netlink.handle.rule().get(version).execute());
        loop {
            match rules.try_next().await {
                Ok(Some(rule)) if is_steering(&rule) => return Ok(true),
                Ok(Some(_)) => {}
                Ok(None) => break,
                // A kernel without the family has no rules of it.
                Err(error) => {
                    ignore(Err(error), Errno::EAFNOSUPPORT)?;
                    break;
                }
            }
        }
    }
    Ok(false)
}

fn is_steering(rule: &RuleMessage) -> bool {
    let preferred = rule.attributes.contains(&RuleAttribute::Priority(STEERED_PREFERENCE));
    preferred && rule.header.table == STEERED_TABLE
}

fn steered_families(
    namespace: &Namespace,
    sources: &Sources,
) -> io::Result<impl Iterator<Item = (AddressFamily, IpAddr)>> {
    let families = families(namespace)?;
    let v4 = sources.v4.map(|ip| (AddressFamily::Inet, IpAddr::from(ip)));
    let v6 = sources.v6.map(|ip| (AddressFamily::Inet6, IpAddr::from(ip)));
    Ok([v4, v6].into_iter().flatten().filter(move |(family, _)| families.contains(family)))
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

fn marked_rule(family: AddressFamily) -> RuleMessage {
    let mark = [RuleAttribute::FwMark(MARK), RuleAttribute::FwMask(MASK)];
    rule(family, PREFERENCE, (RuleAction::ToTable, TABLE), mark)
}

fn passing_rule(family: AddressFamily) -> RuleMessage {
    let mark = [
        RuleAttribute::FwMark(PASSING_MARK),
        RuleAttribute::FwMask(MASK),
        RuleAttribute::Goto(MAIN_PREFERENCE),
    ];
    rule(family, PASSING_PREFERENCE, (RuleAction::Goto, 0), mark)
}

/// What a host sends itself comes from its loopback interface, in the eyes of rules.
fn steering_rule(family: AddressFamily) -> RuleMessage {
    let own = [RuleAttribute::Iifname(LOOPBACK_NAME.to_owned()), RuleAttribute::IpProtocol(IpProtocol::Tcp)];
    rule(family, STEERED_PREFERENCE, (RuleAction::ToTable, STEERED_TABLE), own)
}

fn rule(
    family: AddressFamily,
    preference: u32,
    (action, table): (RuleAction, u8),
    matches: impl IntoIterator<Item = RuleAttribute>,
) -> RuleMessage {
    let mut rule = RuleMessage::default();
    rule.header.family = family;
    rule.header.table = table;
    rule.header.action = action;
    rule.attributes = vec![RuleAttribute::Priority(preference)];
    rule.attributes.extend(matches);
    rule
}

/// `source` is what connections come from that have not chosen.
fn everything_local(family: AddressFamily, table: u8, source: Option<IpAddr>) -> RouteMessage {
    macro_rules! local {
        ($address:ty, $source:expr) => {{
            let route = RouteMessageBuilder::<$address>::new()
                .table_id(u32::from(table))
                .kind(RouteType::Local)
                .scope(RouteScope::Host)
                .output_interface(LOOPBACK);
            match $source {
                Some(source) => route.pref_source(source).build(),
                None => route.build(),
            }
        }};
    }
    let (v4, v6) = match source {
        Some(IpAddr::V4(source)) => (Some(source), None),
        Some(IpAddr::V6(source)) => (None, Some(source)),
        None => (None, None),
    };
    if family == AddressFamily::Inet6 { local!(Ipv6Addr, v6) } else { local!(Ipv4Addr, v4) }
}

/// A connection to the kernel's routing inside one namespace.
struct Netlink {
    handle: Handle,
    driver: tokio::task::JoinHandle<()>,
}

impl Netlink {
    fn open(namespace: &Namespace) -> io::Result<Self> {
        let (connection, handle, _notifications) = namespace.run(rtnetlink::new_connection)?;
        Ok(Self { handle, driver: tokio::spawn(connection) })
    }

    async fn add_rule(&self, rule: RuleMessage) -> io::Result<()> {
        let mut request = self.handle.rule().add();
        *request.message_mut() = rule;
        ignore(request.execute().await, Errno::EEXIST)
    }

    async fn remove_rule(&self, rule: RuleMessage) -> io::Result<()> {
        ignore(self.handle.rule().del(rule).execute().await, Errno::ENOENT)
    }

    async fn add_route(&self, route: RouteMessage) -> io::Result<()> {
        ignore(self.handle.route().add(route).replace().execute().await, Errno::EEXIST)
    }

    async fn remove_route(&self, route: RouteMessage) -> io::Result<()> {
        ignore(self.handle.route().del(route).execute().await, Errno::ESRCH)
    }
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// `result`, where `expected` says that there is nothing to do.
fn ignore(result: Result<(), Error>, expected: Errno) -> io::Result<()> {
    match result {
        Ok(()) => Ok(()),
        Err(Error::NetlinkError(message)) if message.raw_code() == -(expected as i32) => Ok(()),
        Err(Error::NetlinkError(message)) => Err(message.to_io()),
        Err(error) => Err(io::Error::other(error)),
    }
}
