//! The control plane: resources from the controller, certificates from the CA.

use std::sync::Arc;
use std::time::Duration;

use mesh_identity::{CaClient, ControlPlane, ControlPlaneSettings, Store, StoreSettings, TokenSource};
use mesh_model::Identity;
use mesh_proto::discovery::Node;
use mesh_runtime::drain::DrainWatcher;
use mesh_runtime::readiness::ReadinessTask;
use mesh_state::Writer;
use mesh_xds::{Client, ConnectError, Handler, NodeId};

use crate::config::{Config, OwnPod, Server};

/// Between two looks whether the CA has answered.
const CERTIFICATE_PAUSE: Duration = Duration::from_millis(500);

/// The waypoint's certificates.
pub(crate) fn certificate_store(config: &Config) -> anyhow::Result<Store> {
    let ca = ControlPlane::new(control_plane(config, &config.ca))?;
    let client = CaClient::new(ca, config.certificate_ttl).with_own_identity(config.identity());
    let settings = StoreSettings { profile: config.tls, ..StoreSettings::default() };
    Ok(Store::new(Arc::new(client), settings))
}

/// Holds the waypoint unready until it can prove who it is.
pub(crate) async fn hold_until_certified(certificates: Store, own: Identity, unready: ReadinessTask) {
    while certificates.fetch(&own).await.is_err() {
        tokio::time::sleep(CERTIFICATE_PAUSE).await;
    }
    unready.done();
}

/// Keeps a stream to the controller open until the drain starts. Where the controller is back, so is
/// mostly the CA.
pub(crate) fn follow_controller(
    config: &Config,
    writer: &Writer,
    certificates: Store,
    unready: ReadinessTask,
    drain: DrainWatcher,
) -> anyhow::Result<impl Future<Output = ()> + Send + use<>> {
    let controller = ControlPlane::new(control_plane(config, &config.controller))?;
    let connect = move || {
        let channel = controller.channel().map_err(|error| ConnectError(error.into()));
        std::future::ready(channel)
    };
    let handlers: Vec<Box<dyn Handler>> = vec![
        Box::new(writer.waypoint_config_handler()),
        Box::new(writer.service_config_handler()),
        Box::new(writer.address_handler()),
    ];
    let client = Client::new(connect, node(config), handlers).on_answer(move || certificates.retry_soon());
    Ok(async move {
        let stop = async {
            drain.signaled().await;
        };
        client.run(|| unready.done(), stop).await;
    })
}

fn control_plane(config: &Config, server: &Server) -> ControlPlaneSettings {
    ControlPlaneSettings {
        address: server.address.clone(),
        root: server.root.as_str().into(),
        token: TokenSource::from(config.token.as_str()),
        cluster_id: config.place.cluster_id.clone(),
        verified_name: server.verified_name.clone(),
        headers: Vec::new(),
    }
}

/// What a waypoint is called among proxies (wire.md §5.1).
pub(crate) fn node_id(own: &OwnPod) -> String {
    let id = NodeId {
        kind: "waypoint".to_owned(),
        ip: own.ip,
        name: own.name.clone(),
        namespace: own.namespace.clone(),
        domain: format!("{}.svc.cluster.local", own.namespace),
    };
    id.to_string()
}

/// How a waypoint introduces itself.
fn node(config: &Config) -> Node {
    let own = &config.own;
    let text = |value: &str| prost_types::Value {
        kind: Some(prost_types::value::Kind::StringValue(value.to_owned())),
    };
    let fields = [
        ("NAME", own.name.as_str()),
        ("NAMESPACE", &own.namespace),
        ("INSTANCE_IPS", &own.ip.to_string()),
        ("SERVICE_ACCOUNT", &own.service_account),
        ("NODE_NAME", &own.node),
        ("CLUSTER_ID", &config.place.cluster_id),
    ]
    .map(|(name, value)| (name.to_owned(), text(value)));
    let metadata = prost_types::Struct { fields: fields.into() };
    Node { id: node_id(own), metadata: Some(metadata), ..Node::default() }
}
