//! Nodes and pods out of network namespaces: a fabric that joins the nodes, a bridge in each node, a pair
//! of virtual interfaces for each pod. Nothing is done in the machine's own network.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use mesh_net::namespace::Namespace;
use tokio::net::{TcpSocket, TcpStream};

use super::addresses::{self, CONTROLLER, FABRIC_LENGTH};
use super::mesh::Mesh;
use super::tools;

/// The name of the namespace in which the controller runs and the nodes are joined.
pub(super) const FABRIC: &str = "fabric";

/// The name of the namespace of a node, and of the node.
pub(super) fn node_name(node: u8) -> String {
    format!("node-{node}")
}

/// The interface of a node on the fabric's side.
pub(super) fn fabric_port(node: u8) -> String {
    format!("node{node}")
}

/// A named network namespace of a mesh.
#[derive(Clone, Debug)]
pub(super) struct Netns {
    path: PathBuf,
    namespace: Namespace,
}

impl Netns {
    /// Makes one, with its loopback interface up.
    fn make(mesh: &Mesh, part: &str) -> Result<Self> {
        tools::ip(&["netns", "add", &format!("{}{part}", mesh.prefix())])?;
        let netns = Netns::open(mesh, part)?;
        // Proxies send from addresses that are not their own, and pods answer through their node.
        netns.set("net/ipv4/conf/all/rp_filter", "0")?;
        netns.set("net/ipv4/conf/default/rp_filter", "0")?;
        tools::ip_batch(&netns.namespace, "link set lo up\n")?;
        Ok(netns)
    }

    /// One that exists.
    pub(super) fn open(mesh: &Mesh, part: &str) -> Result<Self> {
        let path = mesh.netns(part);
        let namespace = Namespace::open(&path)?;
        Ok(Netns { path, namespace })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Sets a kernel parameter of this network.
    fn set(&self, parameter: &str, value: &str) -> Result<()> {
        let path = Path::new("/proc/sys").join(parameter);
        self.namespace.run(|| std::fs::write(&path, value)).with_context(|| path.display().to_string())
    }

    fn remove(&self) -> Result<()> {
        let name = self.path.file_name().context("a namespace has a name")?.to_string_lossy();
        tools::ip(&["netns", "delete", &name])
    }
}

/// Connects from inside a namespace.
pub(super) async fn connect(from: &Namespace, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = from.run(|| if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() })?;
    socket.connect(to).await
}

/// The networks of a mesh.
#[derive(Debug)]
pub(super) struct Network {
    mesh: Mesh,
    fabric: Netns,
    nodes: Vec<Netns>,
}

impl Network {
    /// Makes the fabric and its nodes.
    pub(super) fn make(mesh: &Mesh, nodes: u8) -> Result<Self> {
        let fabric = Netns::make(mesh, FABRIC)?;
        let bridge = format!(
            "link add fabric type bridge\naddr add {CONTROLLER}/{FABRIC_LENGTH} dev fabric\nlink set fabric up\n"
        );
        tools::ip_batch(&fabric.namespace, &bridge)?;
        let mut network = Network { mesh: mesh.clone(), fabric, nodes: Vec::new() };
        for node in 1..=nodes {
            let made = network.make_node(node).with_context(|| format!("making {}", node_name(node)))?;
            network.nodes.push(made);
        }
        network.join_nodes()?;
        Ok(network)
    }

    fn make_node(&self, node: u8) -> Result<Netns> {
        let made = Netns::make(&self.mesh, &node_name(node))?;
        let (port, peer) = (fabric_port(node), format!("{}{}", self.mesh.prefix(), node_name(node)));
        tools::ip_batch(
            &self.fabric.namespace,
            &format!(
                "link add {port} type veth peer name eth0 netns {peer}\nlink set {port} master fabric up\n"
            ),
        )?;
        let (own, router) = (addresses::node(node), addresses::bridge(node));
        tools::ip_batch(
            &made.namespace,
            &format!(
                "addr add {own}/{FABRIC_LENGTH} dev eth0\nlink set eth0 up\n\
                 link add br0 type bridge\naddr add {router}/24 dev br0\nlink set br0 up\n"
            ),
        )?;
        made.set("net/ipv4/ip_forward", "1")?;
        // Pods of a node talk through it, so that services work between them; it is not to tell them of
        // the direct way.
        for interface in ["all", "default", "br0"] {
            made.set(&format!("net/ipv4/conf/{interface}/send_redirects"), "0")?;
        }
        Ok(made)
    }

    /// Everyone learns the way to everyone's pods.
    fn join_nodes(&self) -> Result<()> {
        let numbers = 1..=self.nodes.len() as u8;
        let routes = |own: Option<u8>| -> String {
            let others = numbers.clone().filter(|node| Some(*node) != own);
            others
                .map(|it| format!("route add {} via {}\n", addresses::pods(it), addresses::node(it)))
                .collect()
        };
        tools::ip_batch(&self.fabric.namespace, &routes(None))?;
        for (node, netns) in numbers.clone().zip(&self.nodes) {
            tools::ip_batch(&netns.namespace, &routes(Some(node)))?;
        }
        Ok(())
    }

    pub(super) fn fabric(&self) -> &Netns {
        &self.fabric
    }

    /// Nodes count from 1.
    pub(super) fn node(&self, node: u8) -> Option<&Netns> {
        self.nodes.get(usize::from(node).checked_sub(1)?)
    }

    /// How many nodes there are.
    pub(super) fn nodes(&self) -> u8 {
        self.nodes.len() as u8
    }

    /// Makes a pod on a node. It reaches everything through its node's bridge, its neighbours too.
    pub(super) fn make_pod(&self, node: u8, address: Ipv4Addr) -> Result<Netns> {
        let on = self.node(node).with_context(|| format!("there is no {}", node_name(node)))?;
        let pod = Netns::make(&self.mesh, &pod_part(address))?;
        if let Err(error) = self.join_pod(node, on, &pod, address) {
            // What is half made is in the way of the next attempt.
            let _ = pod.remove();
            return Err(error);
        }
        Ok(pod)
    }

    fn join_pod(&self, node: u8, on: &Netns, pod: &Netns, address: Ipv4Addr) -> Result<()> {
        let [_, _, _, host] = address.octets();
        let peer = format!("{}{}", self.mesh.prefix(), pod_part(address));
        tools::ip_batch(
            &on.namespace,
            &format!(
                "link add pod{host} type veth peer name eth0 netns {peer}\nlink set pod{host} master br0 up\n"
            ),
        )?;
        let router = addresses::bridge(node);
        tools::ip_batch(
            &pod.namespace,
            &format!(
                "addr add {address}/32 dev eth0\nlink set eth0 up\n\
                 route add {router} dev eth0 scope link\nroute add default via {router}\n"
            ),
        )
    }

    /// Removes a pod's network. What still holds it open (ztunnel, for a moment) keeps an island.
    pub(super) fn remove_pod(&self, node: u8, pod: &Netns, address: Ipv4Addr) -> Result<()> {
        let [_, _, _, host] = address.octets();
        if let Some(on) = self.node(node) {
            tools::ip_batch(&on.namespace, &format!("link delete pod{host}\n"))?;
        }
        pod.remove()
    }
}

/// The name of a pod's namespace.
fn pod_part(address: Ipv4Addr) -> String {
    format!("pod-{}", address.to_string().replace('.', "-"))
}
