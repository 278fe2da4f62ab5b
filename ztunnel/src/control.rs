//! The control plane: resources from the controller, certificates from the CA.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use mesh_identity::{
    CaClient, ControlPlane, ControlPlaneError, ControlPlaneSettings, Profile, Store, StoreSettings,
    TokenSource,
};
use mesh_proto::discovery::Node;
use mesh_proto::type_urls;
use mesh_runtime::drain::DrainWatcher;
use mesh_runtime::readiness::ReadinessTask;
use mesh_state::{Reader, Writer};
use mesh_telemetry::XdsMetrics;
use mesh_xds::{Client, ConnectError, Handler, NodeId, RawResource, Rejected, StreamEnd};
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

use crate::config::{self, Config, Endpoint};
use crate::discovery::{Answers, Asked, Discovery};

/// The certificates of the node's workloads.
pub(crate) fn certificate_store(config: &Config) -> Result<Store, ControlPlaneError> {
    let ca = ControlPlane::new(settings(config, &config.control_plane.ca))?;
    let client = CaClient::new(ca, config.control_plane.certificate_ttl);
    let profile = Profile { tls12: config.tls12, post_quantum_only: config.post_quantum_only };
    Ok(Store::new(Arc::new(client), StoreSettings { profile, ..StoreSettings::default() }))
}

/// What becomes of the controller's answers.
pub(crate) struct Receivers<'a> {
    pub(crate) writer: &'a Writer,
    pub(crate) reader: &'a Reader,
    /// Where the controller is back, so is mostly the CA.
    pub(crate) store: Store,
    pub(crate) metrics: XdsMetrics,
}

/// Counts the responses of one type on their way.
struct Counted {
    handler: Box<dyn Handler>,
    metrics: XdsMetrics,
}

impl Handler for Counted {
    fn type_url(&self) -> &'static str {
        self.handler.type_url()
    }

    fn apply(&mut self, upserts: Vec<RawResource>, removed: Vec<String>) -> Vec<Rejected> {
        let bytes: usize = upserts.iter().map(|resource| resource.bytes.len()).sum();
        self.metrics.received(self.type_url(), bytes as u64);
        self.handler.apply(upserts, removed)
    }
}

/// Keeps a stream to the controller open until the drain starts. `unready` is
/// held until the first answer of every type that is sent unasked. With resources on demand, what asks for them.
pub(crate) fn follow_controller(
    config: &Config,
    receivers: Receivers<'_>,
    unready: ReadinessTask,
    drain: DrainWatcher,
) -> Result<(impl Future<Output = ()> + Send + use<>, Option<Discovery>), ControlPlaneError> {
    let Receivers { writer, reader, store, metrics } = receivers;
    let controller = ControlPlane::new(settings(config, &config.control_plane.xds))?;
    let connect = move || {
        let channel = controller.channel().map_err(|error| ConnectError(error.into()));
        std::future::ready(channel)
    };
    let asked = config.control_plane.on_demand.then(Arc::<Asked>::default);
    let addresses: Box<dyn Handler> = match &asked {
        Some(asked) => Box::new(Answers::new(Arc::clone(asked), writer.address_handler(), reader.clone())),
        None => Box::new(writer.address_handler()),
    };
    let handlers = [addresses, Box::new(writer.authorization_handler())];
    let counted = |handler| -> Box<dyn Handler> { Box::new(Counted { handler, metrics: metrics.clone() }) };
    let mut client = Client::new(connect, node(config), handlers.map(counted).into())
        .on_answer(move || store.retry_soon())
        .on_end(move |end| metrics.terminated(reason(end)));
    let discovery = asked.and_then(|asked| {
        let demand = client.on_demand(type_urls::ADDRESS)?;
        Some(Discovery::new(asked, demand, reader.clone()))
    });
    let followed = async move {
        let stop = async {
            drain.signaled().await;
        };
        client.run(|| unready.done(), stop).await;
    };
    Ok((followed, discovery))
}

/// As telemetry.md §1.1 calls them.
fn reason(end: StreamEnd) -> &'static str {
    match end {
        StreamEnd::NotReached => "ConnectionError",
        StreamEnd::Failed => "Error",
        StreamEnd::Complete => "Complete",
    }
}

fn settings(config: &Config, endpoint: &Endpoint) -> ControlPlaneSettings {
    ControlPlaneSettings {
        address: endpoint.address.clone(),
        root: endpoint.root.as_str().into(),
        token: TokenSource::from(config.control_plane.token.0.as_str()),
        cluster_id: config.place.cluster_id.clone(),
        verified_name: endpoint.verified_name.clone(),
        headers: endpoint.headers.iter().map(|(name, value)| (name.clone(), value.0.clone())).collect(),
    }
}

/// How ztunnel names itself (wire.md §5.1).
fn node(config: &Config) -> Node {
    let config::OwnPod { name, namespace, ip, .. } = &config.own;
    let id = NodeId {
        kind: "ztunnel".to_owned(),
        ip: ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        name: name.clone(),
        namespace: namespace.clone(),
        domain: format!("{namespace}.svc.cluster.local"),
    };
    let metadata = to_struct(&config.control_plane.node_metadata);
    Node { id: id.to_string(), metadata: Some(metadata), ..Node::default() }
}

fn to_struct(values: &BTreeMap<String, serde_json::Value>) -> Struct {
    Struct { fields: values.iter().map(|(name, value)| (name.clone(), to_value(value))).collect() }
}

fn to_value(json: &serde_json::Value) -> Value {
    let kind = match json {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(flag) => Kind::BoolValue(*flag),
        serde_json::Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        serde_json::Value::String(text) => Kind::StringValue(text.clone()),
        serde_json::Value::Array(list) => {
            Kind::ListValue(ListValue { values: list.iter().map(to_value).collect() })
        }
        serde_json::Value::Object(map) => {
            let fields = map.iter().map(|(name, value)| (name.clone(), to_value(value))).collect();
            Kind::StructValue(Struct { fields })
        }
    };
    Value { kind: Some(kind) }
}
