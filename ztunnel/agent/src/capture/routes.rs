//! Policy routing inside a pod: packets with mark 0x111 are delivered locally,
//! whatever their destination, which is how answers to a spoofed source reach ztunnel.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use mesh_net::namespace::Namespace;
use nix::errno::Errno;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::{RouteMessage, RouteScope, RouteType};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::{Error, Handle, RouteMessageBuilder};

const TABLE: u8 = 100;
const PREFERENCE: u32 = 32764;
const MARK: u32 = 0x111;
const MASK: u32 = 0xfff;
/// The loopback interface is the first of every namespace.
const LOOPBACK: u32 = 1;

pub(super) async fn add(namespace: &Namespace) -> io::Result<()> {
    let netlink = Netlink::open(namespace)?;
    for family in families(namespace)? {
        let mut rule = netlink.handle.rule().add();
        *rule.message_mut() = rule_for(family);
        ignore(rule.execute().await, Errno::EEXIST)?;
        let route = netlink.handle.route().add(route_for(family)).replace();
        ignore(route.execute().await, Errno::EEXIST)?;
    }
    Ok(())
}

pub(super) async fn remove(namespace: &Namespace) -> io::Result<()> {
    let netlink = Netlink::open(namespace)?;
    for family in families(namespace)? {
        ignore(netlink.handle.rule().del(rule_for(family)).execute().await, Errno::ENOENT)?;
        ignore(netlink.handle.route().del(route_for(family)).execute().await, Errno::ESRCH)?;
    }
    Ok(())
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

fn rule_for(family: AddressFamily) -> RuleMessage {
    let mut rule = RuleMessage::default();
    rule.header.family = family;
    rule.header.table = TABLE;
    rule.header.action = RuleAction::ToTable;
    rule.attributes =
        vec![RuleAttribute::Priority(PREFERENCE), RuleAttribute::FwMark(MARK), RuleAttribute::FwMask(MASK)];
    rule
}

fn route_for(family: AddressFamily) -> RouteMessage {
    macro_rules! everything_local {
        ($address:ty) => {
            RouteMessageBuilder::<$address>::new()
                .table_id(u32::from(TABLE))
                .kind(RouteType::Local)
                .scope(RouteScope::Host)
                .output_interface(LOOPBACK)
                .build()
        };
    }
    if family == AddressFamily::Inet6 { everything_local!(Ipv6Addr) } else { everything_local!(Ipv4Addr) }
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
