//! Where controller and CA are, how they prove who they are and how ztunnel does.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use mesh_runtime::env::InvalidEnv;
use serde::Serialize;
use serde_json::Value;

use super::proxy_config::ProxyConfig;
use super::variables::{Variables, invalid};
use super::{OwnPod, Place};

/// Where the controller is when nobody says so.
const IN_CLUSTER: &str = "https://istiod.istio-system.svc:15012";
const ROOT_FILE: &str = "./var/run/secrets/istio/root-cert.pem";
const TOKEN_FILE: &str = "./var/run/secrets/tokens/istio-token";

/// Controller and CA.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ControlPlane {
    /// The discovery service.
    pub xds: Endpoint,
    /// The CA.
    pub ca: Endpoint,
    /// How ztunnel proves who it is: a file, or the token itself.
    #[serde(skip)]
    pub token: Secret,
    /// What the controller is told of this ztunnel.
    pub node_metadata: BTreeMap<String, Value>,
    /// Lifetime asked for in certificates.
    pub certificate_ttl: Duration,
    /// Ask for workloads and services when they are needed, instead of being sent all (AD-14).
    pub on_demand: bool,
}

/// One service of the control plane.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// URI.
    pub address: String,
    /// A file, `SYSTEM`, or PEM text.
    pub root: String,
    /// The name its certificate is held against, if not the address's.
    pub verified_name: Option<String>,
    /// Sent with every call.
    #[serde(skip)]
    pub headers: Vec<(String, Secret)>,
}

/// A text that appears in no log and no dump.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl ControlPlane {
    pub(super) fn read(
        variables: &Variables,
        proxy_config: &ProxyConfig,
        own: &OwnPod,
        place: &Place,
    ) -> Result<Self, InvalidEnv> {
        let discovery = proxy_config.discovery_address.as_deref().unwrap_or(IN_CLUSTER);
        let xds_address = variables.find("XDS_ADDRESS").unwrap_or(discovery);
        let ca_address = variables.find("CA_ADDRESS").unwrap_or(xds_address);
        Ok(ControlPlane {
            xds: Endpoint::read(variables, "XDS", xds_address),
            ca: Endpoint::read(variables, "CA", ca_address),
            token: Secret(variables.text("AUTH_TOKEN", TOKEN_FILE)),
            node_metadata: node_metadata(variables, own, place)?,
            certificate_ttl: variables.duration("SECRET_TTL", Duration::from_secs(86_400))?,
            on_demand: variables.boolean("XDS_ON_DEMAND", false)?,
        })
    }
}

impl Endpoint {
    fn read(variables: &Variables, kind: &str, address: &str) -> Self {
        let address = if address.contains("://") { address.to_owned() } else { format!("https://{address}") };
        let prefix = format!("{kind}_HEADER_");
        let headers = variables.with_prefix(&prefix);
        Endpoint {
            address,
            root: variables.text(&format!("{kind}_ROOT_CA"), ROOT_FILE),
            verified_name: variables.find(&format!("ALT_{kind}_HOSTNAME")).map(str::to_owned),
            headers: headers.map(|(name, value)| (name.to_owned(), Secret(value.to_owned()))).collect(),
        }
    }
}

/// `ISTIO_META_<name>` is text, `ISTIO_METAJSON_<name>` is JSON; what ztunnel knows of itself comes last.
fn node_metadata(
    variables: &Variables,
    own: &OwnPod,
    place: &Place,
) -> Result<BTreeMap<String, Value>, InvalidEnv> {
    let mut metadata = BTreeMap::new();
    for (name, value) in variables.with_prefix("ISTIO_META_") {
        metadata.insert(name.to_owned(), Value::from(value));
    }
    for (name, value) in variables.with_prefix("ISTIO_METAJSON_") {
        let json = serde_json::from_str(value)
            .map_err(|error| invalid(&format!("ISTIO_METAJSON_{name}"), value, format!("JSON: {error}")))?;
        metadata.insert(name.to_owned(), json);
    }
    let ip = own.ip.map(|ip| ip.to_string()).unwrap_or_default();
    for (name, value) in [
        ("NAME", own.name.as_str()),
        ("NAMESPACE", own.namespace.as_str()),
        ("SERVICE_ACCOUNT", own.service_account.as_str()),
        ("INSTANCE_IPS", ip.as_str()),
        ("NODE_NAME", own.node.as_str()),
        ("CLUSTER_ID", place.cluster_id.as_str()),
    ] {
        if !value.is_empty() {
            metadata.insert(name.to_owned(), Value::from(value));
        }
    }
    Ok(metadata)
}
