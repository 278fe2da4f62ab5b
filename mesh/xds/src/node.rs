//! The id of a node on a discovery stream: `type~ip~name.namespace~domain`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use thiserror::Error;

/// Who opens a stream (wire.md §5.1): `ztunnel~10.0.0.1~ztunnel-x.istio-system~istio-system.svc.cluster.local`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeId {
    /// `ztunnel`, `waypoint`, ….
    pub kind: String,
    /// Its address.
    pub ip: IpAddr,
    /// The pod's name.
    pub name: String,
    /// The pod's namespace.
    pub namespace: String,
    /// The DNS domain of its namespace.
    pub domain: String,
}

/// A text that is not a node id.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not a node id; expected <type>~<ip>~<pod>.<namespace>~<domain>")]
pub struct InvalidNodeId(pub String);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}~{}~{}.{}~{}", self.kind, self.ip, self.name, self.namespace, self.domain)
    }
}

impl FromStr for NodeId {
    type Err = InvalidNodeId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidNodeId(text.chars().take(200).collect());
        let mut parts = text.split('~');
        let mut next = || parts.next().filter(|part| !part.is_empty());
        let (Some(kind), Some(ip), Some(id), Some(domain), None) = (next(), next(), next(), next(), next())
        else {
            return Err(invalid());
        };
        // A pod's name may contain dots, its namespace cannot.
        let (name, namespace) = id.rsplit_once('.').ok_or_else(invalid)?;
        if name.is_empty() || namespace.is_empty() {
            return Err(invalid());
        }
        Ok(NodeId {
            kind: kind.to_owned(),
            ip: ip.parse().map_err(|_| invalid())?,
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            domain: domain.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_id_has_four_parts_and_a_valid_address() {
        let text = "ztunnel~10.0.0.1~ztunnel.v2-x.istio-system~istio-system.svc.cluster.local";
        let id: NodeId = text.parse().unwrap();
        assert_eq!((id.name.as_str(), id.namespace.as_str()), ("ztunnel.v2-x", "istio-system"));
        assert_eq!(id.to_string(), text);
        assert!("waypoint~fd00::1~w.prod~prod.svc.cluster.local".parse::<NodeId>().is_ok());
        for bad in
            ["", "a~b~c~d", "z~10.0.0.1~pod~d", "z~10.0.0.1~.ns~d", "z~10.0.0.1~p.ns", "z~10.0.0.1~p.ns~d~e"]
        {
            assert_eq!(bad.parse::<NodeId>(), Err(InvalidNodeId(bad.to_owned())));
        }
    }
}
