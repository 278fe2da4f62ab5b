//! Namespaces and nodes: what their labels say about everything in them.

use k8s_openapi::api::core::v1;

use super::table::Facts;

/// A namespace.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Namespace {
    pub(crate) facts: Facts,
}

impl From<v1::Namespace> for Namespace {
    fn from(object: v1::Namespace) -> Self {
        Namespace { facts: Facts::new(&object.metadata) }
    }
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Node {
    pub(crate) facts: Facts,
}

impl From<v1::Node> for Node {
    fn from(object: v1::Node) -> Self {
        let mut facts = Facts::new(&object.metadata);
        // Nodes are updated all the time; only their labels are used.
        facts.annotations.clear();
        Node { facts }
    }
}
