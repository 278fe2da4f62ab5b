//! Nodes and pods made of network namespaces: every node has a bridge, every pod
//! an address of its own, nodes reach each other over a fabric. The host's own
//! network is never touched, and everything goes when its value is dropped.
//!
//! ```text
//! fabric 172.30.0.1 ── node N 172.30.0.(10+N), 10.244.N.1 ── pod 10.244.N.x
//! ```

mod echo;
mod ip;
mod netns;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};

pub use echo::Echo;
pub use netns::{Netns, Process, Running};

const MOST_NODES: u8 = 100;

/// A few nodes and what connects them.
pub struct Testnet {
    fabric: Netns,
    nodes: Vec<Node>,
}

impl Testnet {
    /// Makes `nodes` nodes.
    ///
    /// `None`, with the reason printed, where the process may not make network
    /// namespaces; with `CI=true` that is an error, so that no test is lost there.
    pub fn new(nodes: u8) -> Result<Option<Self>> {
        if let Err(reason) = ip::check_allowed() {
            ensure!(
                std::env::var("CI").as_deref() != Ok("true"),
                "network namespaces are needed: {reason:#}"
            );
            println!("not run: {reason:#}");
            return Ok(None);
        }
        Self::build(nodes).map(Some)
    }

    fn build(nodes: u8) -> Result<Self> {
        ensure!((1..=MOST_NODES).contains(&nodes), "a test network has 1 to {MOST_NODES} nodes, not {nodes}");
        ip::sweep_dead_processes()?;
        static NETWORKS: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("{}{}", ip::own_prefix(), NETWORKS.fetch_add(1, Ordering::Relaxed));
        let fabric = Netns::new(format!("{prefix}-fabric"))?;
        fabric.ip(&ip::bridge(&[Ipv4Addr::new(172, 30, 0, 1).into(), fabric_v6(1).into()]))?;
        let nodes = (1..=nodes)
            .map(|index| Node::new(&prefix, &fabric, index, nodes))
            .collect::<Result<_>>()
            .context("making the nodes")?;
        Ok(Self { fabric, nodes })
    }

    /// What connects the nodes; the place of a controller.
    pub fn fabric(&self) -> &Netns {
        &self.fabric
    }

    /// Node `index`, counted from 1.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn node(&self, index: u8) -> &Node {
        &self.nodes[usize::from(index) - 1]
    }
}

/// One node: a bridge for its pods and a route to every other node's.
pub struct Node {
    netns: Netns,
    index: u8,
    prefix: String,
    next_pod: AtomicU8,
}

impl Node {
    fn new(prefix: &str, fabric: &Netns, index: u8, nodes: u8) -> Result<Self> {
        let netns = Netns::new(format!("{prefix}-node{index}"))?;
        fabric.ip(&(ip::port(&format!("node{index}"), netns.name()) + &routes_to(index)))?;
        let mut batch = ip::bridge(&[pod_v4(index, 1).into(), pod_v6(index, 1).into()]);
        batch += &ip::address("eth0", node_v4(index).into());
        batch += &ip::address("eth0", node_v6(index).into());
        for other in (1..=nodes).filter(|other| *other != index) {
            batch += &routes_to(other);
        }
        netns.ip(&batch)?;
        netns.set("net/ipv4/ip_forward", "1")?;
        netns.set("net/ipv6/conf/all/forwarding", "1")?;
        Ok(Self { netns, index, prefix: prefix.to_owned(), next_pod: AtomicU8::new(2) })
    }

    /// The node's own network, where ztunnel and the node agent run.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// The node's address between nodes.
    pub fn address(&self) -> IpAddr {
        node_v4(self.index).into()
    }

    /// Makes a pod on this node; at most 253.
    pub fn pod(&self, name: &str) -> Result<Pod> {
        let host = self.next_pod.fetch_add(1, Ordering::Relaxed);
        ensure!((2..255).contains(&host), "node {} has no addresses left", self.index);
        let (v4, v6) = (pod_v4(self.index, host), pod_v6(self.index, host));
        let netns = Netns::new(format!("{}-{}-{name}", self.prefix, self.index))?;
        self.netns.ip(&ip::port(&format!("pod{host}"), netns.name()))?;
        let mut batch = ip::address("eth0", v4.into());
        batch += &ip::address("eth0", v6.into());
        batch += &format!("route add default via {}\n", pod_v4(self.index, 1));
        batch += &format!("route add ::/0 via {}\n", pod_v6(self.index, 1));
        netns.ip(&batch)?;
        Ok(Pod { netns, v4, v6 })
    }
}

/// The lines that send what is for the pods of `node` to that node.
fn routes_to(node: u8) -> String {
    format!(
        "route add {}/24 via {}\nroute add {}/64 via {}\n",
        pod_v4(node, 0),
        node_v4(node),
        pod_v6(node, 0),
        node_v6(node)
    )
}

/// One pod: a network of its own with one address of each family.
pub struct Pod {
    netns: Netns,
    v4: Ipv4Addr,
    v6: Ipv6Addr,
}

impl Pod {
    /// The pod's own network.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// The pod's address.
    pub fn address(&self) -> IpAddr {
        self.v4.into()
    }

    /// The pod's IPv6 address.
    pub fn address_v6(&self) -> IpAddr {
        self.v6.into()
    }
}

fn node_v4(node: u8) -> Ipv4Addr {
    Ipv4Addr::new(172, 30, 0, 10 + node)
}

fn node_v6(node: u8) -> Ipv6Addr {
    fabric_v6(10 + u16::from(node))
}

fn fabric_v6(host: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0x172, 0x30, 0, 0, 0, 0, host)
}

fn pod_v4(node: u8, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 244, node, host)
}

fn pod_v6(node: u8, host: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0x10, 0x244, u16::from(node), 0, 0, 0, u16::from(host))
}

#[cfg(test)]
mod tests;
