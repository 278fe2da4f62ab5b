//! Admits proxies to the discovery server, each with its own view.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use mesh_proto::discovery::Node;
use mesh_proto::type_urls::{ADDRESS, AUTHORIZATION, SERVICE_CONFIG, WAYPOINT_CONFIG};
use mesh_xds::{Admission, Caller, Entry, NodeId, View};
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::{Proven, TokenAuthenticator, authenticate};
use crate::picture::Picture;
use crate::publish::{node_name, waypoint_tags};

/// How long a pod that was just made may take to get here.
const PATIENCE: Duration = Duration::from_secs(2);

/// Decides who may open a discovery stream.
pub struct Gate {
    authenticator: Arc<dyn TokenAuthenticator>,
    picture: Arc<Picture>,
    node_accounts: Arc<BTreeSet<String>>,
}

impl Gate {
    /// Admits node proxies (those with one of these accounts, `namespace/name`) and waypoints.
    pub fn new(
        authenticator: Arc<dyn TokenAuthenticator>,
        picture: Arc<Picture>,
        node_accounts: Arc<BTreeSet<String>>,
    ) -> Self {
        Gate { authenticator, picture, node_accounts }
    }
}

#[tonic::async_trait]
impl Admission for Gate {
    async fn admit(&self, metadata: &MetadataMap) -> Result<Box<dyn Caller>, Status> {
        let proven = authenticate(&*self.authenticator, metadata).await?;
        let is_node_proxy = self.node_accounts.contains(&proven.account());
        if !is_node_proxy && proven.pod.is_some() {
            // A waypoint that was just made calls before its pod has been heard of here.
            self.picture.wait_until(PATIENCE, |cluster| proven.find_pod(cluster).is_some()).await;
        }
        Ok(Box::new(Proxy { proven, is_node_proxy, picture: self.picture.clone() }))
    }
}

struct Proxy {
    proven: Proven,
    is_node_proxy: bool,
    picture: Arc<Picture>,
}

impl Caller for Proxy {
    fn view(&self, node: &Node) -> Result<Arc<dyn View>, Status> {
        let id: NodeId = node.id.parse().map_err(|error| Status::invalid_argument(format!("{error}")))?;
        if id.namespace != self.proven.namespace {
            let (claimed, proven) = (id.namespace, &self.proven.namespace);
            return Err(Status::unauthenticated(format!(
                "the node is in namespace {claimed:?}, its token is of {proven:?}"
            )));
        }
        let field = |name: &str| {
            let value = node.metadata.as_ref().and_then(|metadata| metadata.fields.get(name));
            match value.and_then(|value| value.kind.as_ref()) {
                Some(prost_types::value::Kind::StringValue(text)) => Some(text.as_str()),
                _ => None,
            }
        };
        if field("SERVICE_ACCOUNT").is_some_and(|account| account != self.proven.service_account) {
            return Err(Status::unauthenticated("the node names another service account than its token"));
        }
        if self.is_node_proxy {
            return Ok(Arc::new(NodeProxyView { node: field("NODE_NAME").unwrap_or_default().to_owned() }));
        }
        self.waypoint_view()
    }
}

impl Proxy {
    fn waypoint_view(&self) -> Result<Arc<dyn View>, Status> {
        let cluster = self.picture.read();
        let Some((pod, _)) = self.proven.find_pod(&cluster) else {
            return Err(Status::unauthenticated("the token is of no pod that runs now"));
        };
        let tags = waypoint_tags(&cluster, &pod);
        if tags.is_empty() {
            // It may become one: its Service may be on its way here.
            return Err(Status::unavailable(format!(
                "{pod} is not an endpoint of any service, so no waypoint"
            )));
        }
        Ok(Arc::new(WaypointView { tags }))
    }
}

/// A node proxy sees where everything is, and the policies it enforces.
struct NodeProxyView {
    node: String,
}

impl View for NodeProxyView {
    fn sees(&self, type_url: &str, _: &Entry) -> bool {
        matches!(type_url, ADDRESS | AUTHORIZATION)
    }

    fn implied(&self, type_url: &str) -> Vec<String> {
        let is_known = type_url == ADDRESS && !self.node.is_empty();
        is_known.then(|| node_name(&self.node).to_string()).into_iter().collect()
    }
}

/// A waypoint sees where everything is, and what concerns the services bound to it and itself.
struct WaypointView {
    tags: Vec<Arc<str>>,
}

impl View for WaypointView {
    fn sees(&self, type_url: &str, entry: &Entry) -> bool {
        match type_url {
            ADDRESS => true,
            SERVICE_CONFIG | WAYPOINT_CONFIG => self.tags.iter().any(|tag| entry.audience.includes(tag)),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
