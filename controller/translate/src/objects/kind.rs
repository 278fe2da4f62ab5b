//! The kinds of object that mean something here, and the names by which the others are recognised.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

/// A kind of object that means something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // the names say it
pub enum Kind {
    Namespace,
    ServiceAccount,
    Node,
    ConfigMap,
    Pod,
    Deployment,
    Service,
    EndpointSlice,
    GatewayClass,
    Gateway,
    HttpRoute,
    GrpcRoute,
    TcpRoute,
    TlsRoute,
    BackendTlsPolicy,
    VirtualService,
    DestinationRule,
    AuthorizationPolicy,
    PeerAuthentication,
    ServiceEntry,
    WorkloadEntry,
    RequestAuthentication,
    Telemetry,
    WorkloadGroup,
    Sidecar,
    IstioGateway,
    EnvoyFilter,
    WasmPlugin,
    TrafficExtension,
    ProxyConfig,
    RateLimitPolicy,
    ResiliencePolicy,
}

/// Why a document is not an object that means something here.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KindError {
    /// Nothing is wrong with it; whoever reads it goes on without it.
    #[error("{kind} ({api_version}) has no effect here and is left out")]
    Unused {
        /// As written.
        api_version: String,
        /// As written.
        kind: String,
    },
    /// The kind exists, but not in this version.
    #[error("{kind} is not served as {api_version}; use {expected}")]
    Version {
        /// As written.
        api_version: String,
        /// The kind.
        kind: Kind,
        /// The version to use.
        expected: String,
    },
    /// Probably a misspelling.
    #[error("unknown kind {kind:?} in {api_version:?}; check both, upper and lower case matter")]
    Unknown {
        /// As written.
        api_version: String,
        /// As written.
        kind: String,
    },
}

/// The name of an object, unique in a cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; empty for kinds without.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

struct Facts {
    kind: Kind,
    name: &'static str,
    group: &'static str,
    /// The first is the one to recommend.
    versions: &'static [&'static str],
    namespaced: bool,
}

const ISTIO_NETWORKING: &[&str] = &["v1", "v1beta1", "v1alpha3"];
const ISTIO_SECURITY: &[&str] = &["v1", "v1beta1"];
const GATEWAY: &str = "gateway.networking.k8s.io";

#[rustfmt::skip]
const KINDS: [Facts; 32] = [
    Facts { kind: Kind::Namespace, name: "Namespace", group: "", versions: &["v1"], namespaced: false },
    Facts { kind: Kind::ServiceAccount, name: "ServiceAccount", group: "", versions: &["v1"], namespaced: true },
    Facts { kind: Kind::Node, name: "Node", group: "", versions: &["v1"], namespaced: false },
    Facts { kind: Kind::ConfigMap, name: "ConfigMap", group: "", versions: &["v1"], namespaced: true },
    Facts { kind: Kind::Pod, name: "Pod", group: "", versions: &["v1"], namespaced: true },
    Facts { kind: Kind::Deployment, name: "Deployment", group: "apps", versions: &["v1"], namespaced: true },
    Facts { kind: Kind::Service, name: "Service", group: "", versions: &["v1"], namespaced: true },
    Facts { kind: Kind::EndpointSlice, name: "EndpointSlice", group: "discovery.k8s.io", versions: &["v1"], namespaced: true },
    Facts { kind: Kind::GatewayClass, name: "GatewayClass", group: GATEWAY, versions: &["v1", "v1beta1"], namespaced: false },
    Facts { kind: Kind::Gateway, name: "Gateway", group: GATEWAY, versions: &["v1", "v1beta1"], namespaced: true },
    Facts { kind: Kind::HttpRoute, name: "HTTPRoute", group: GATEWAY, versions: &["v1", "v1beta1"], namespaced: true },
    Facts { kind: Kind::GrpcRoute, name: "GRPCRoute", group: GATEWAY, versions: &["v1"], namespaced: true },
    Facts { kind: Kind::TcpRoute, name: "TCPRoute", group: GATEWAY, versions: &["v1alpha2", "v1"], namespaced: true },
    Facts { kind: Kind::TlsRoute, name: "TLSRoute", group: GATEWAY, versions: &["v1", "v1alpha3", "v1alpha2"], namespaced: true },
    Facts { kind: Kind::BackendTlsPolicy, name: "BackendTLSPolicy", group: GATEWAY, versions: &["v1"], namespaced: true },
    Facts { kind: Kind::VirtualService, name: "VirtualService", group: "networking.istio.io", versions: ISTIO_NETWORKING, namespaced: true },
    Facts { kind: Kind::DestinationRule, name: "DestinationRule", group: "networking.istio.io", versions: ISTIO_NETWORKING, namespaced: true },
    Facts { kind: Kind::AuthorizationPolicy, name: "AuthorizationPolicy", group: "security.istio.io", versions: ISTIO_SECURITY, namespaced: true },
    Facts { kind: Kind::PeerAuthentication, name: "PeerAuthentication", group: "security.istio.io", versions: ISTIO_SECURITY, namespaced: true },
    Facts { kind: Kind::ServiceEntry, name: "ServiceEntry", group: "networking.istio.io", versions: ISTIO_NETWORKING, namespaced: true },
    Facts { kind: Kind::WorkloadEntry, name: "WorkloadEntry", group: "networking.istio.io", versions: ISTIO_NETWORKING, namespaced: true },
    Facts { kind: Kind::RequestAuthentication, name: "RequestAuthentication", group: "security.istio.io", versions: ISTIO_SECURITY, namespaced: true },
    Facts { kind: Kind::Telemetry, name: "Telemetry", group: "telemetry.istio.io", versions: &["v1", "v1alpha1"], namespaced: true },
    Facts { kind: Kind::WorkloadGroup, name: "WorkloadGroup", group: "networking.istio.io", versions: ISTIO_NETWORKING, namespaced: true },
    Facts { kind: Kind::Sidecar, name: "Sidecar", group: "networking.istio.io", versions: ISTIO_NETWORKING, namespaced: true },
    Facts { kind: Kind::IstioGateway, name: "Gateway", group: "networking.istio.io", versions: ISTIO_NETWORKING, namespaced: true },
    Facts { kind: Kind::EnvoyFilter, name: "EnvoyFilter", group: "networking.istio.io", versions: &["v1alpha3"], namespaced: true },
    Facts { kind: Kind::WasmPlugin, name: "WasmPlugin", group: "extensions.istio.io", versions: &["v1alpha1"], namespaced: true },
    Facts { kind: Kind::TrafficExtension, name: "TrafficExtension", group: "extensions.istio.io", versions: &["v1alpha1"], namespaced: true },
    Facts { kind: Kind::ProxyConfig, name: "ProxyConfig", group: "networking.istio.io", versions: &["v1beta1"], namespaced: true },
    Facts { kind: Kind::RateLimitPolicy, name: "RateLimitPolicy", group: "policy.adit.io", versions: &["v1alpha1"], namespaced: true },
    Facts { kind: Kind::ResiliencePolicy, name: "ResiliencePolicy", group: "policy.adit.io", versions: &["v1alpha1"], namespaced: true },
];

/// Kinds of the core group that mean nothing here; in the other groups of
/// Kubernetes every kind is taken for one of those.
const UNUSED_CORE: [&str; 11] = [
    "Secret",
    "Endpoints",
    "Event",
    "LimitRange",
    "List",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "PodTemplate",
    "ReplicationController",
    "ResourceQuota",
    "Binding",
];
const UNUSED_GROUPS: [&str; 8] = [
    "apps",
    "batch",
    "autoscaling",
    "policy",
    "extensions",
    "networking.istio.io",
    "security.istio.io",
    GATEWAY,
];
const UNUSED_GROUP_SUFFIXES: [&str; 3] = [".k8s.io", ".istio.io", ".x-k8s.io"];

impl Kind {
    /// The kind that a document with these two fields is of.
    pub fn find(api_version: &str, kind: &str) -> Result<Kind, KindError> {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        let Some(facts) = KINDS.iter().find(|facts| facts.group == group && facts.name == kind) else {
            let (api_version, kind) = (api_version.to_owned(), kind.to_owned());
            return Err(match is_unused(group, &kind) {
                true => KindError::Unused { api_version, kind },
                false => KindError::Unknown { api_version, kind },
            });
        };
        if facts.versions.contains(&version) {
            return Ok(facts.kind);
        }
        Err(KindError::Version {
            api_version: api_version.to_owned(),
            kind: facts.kind,
            expected: facts.kind.api_version(),
        })
    }

    /// Every kind there is.
    pub fn all() -> impl Iterator<Item = Kind> {
        KINDS.iter().map(|facts| facts.kind)
    }

    fn facts(self) -> &'static Facts {
        // `KINDS` is in the order of the variants; a test holds it to that.
        &KINDS[self as usize]
    }

    /// As manifests write it.
    pub fn as_str(self) -> &'static str {
        self.facts().name
    }

    /// The versions it is served in; the first is the one to recommend.
    pub fn versions(self) -> &'static [&'static str] {
        self.facts().versions
    }

    /// The API group; empty for the core group.
    pub fn group(self) -> &'static str {
        self.facts().group
    }

    /// The `apiVersion` to write.
    pub fn api_version(self) -> String {
        match self.facts() {
            Facts { group: "", versions, .. } => versions[0].to_owned(),
            Facts { group, versions, .. } => format!("{group}/{}", versions[0]),
        }
    }

    /// Its objects live in namespaces.
    pub fn is_namespaced(self) -> bool {
        self.facts().namespaced
    }
}

fn is_unused(group: &str, kind: &str) -> bool {
    // A misspelt name of a kind we know is more likely than an unknown kind of
    // the same name in another case.
    let misspelt = KINDS.iter().any(|facts| facts.group == group && facts.name.eq_ignore_ascii_case(kind));
    let known_group = match group {
        "" => UNUSED_CORE.contains(&kind),
        _ => {
            UNUSED_GROUPS.contains(&group)
                || UNUSED_GROUP_SUFFIXES.iter().any(|suffix| group.ends_with(suffix))
        }
    };
    known_group && !misspelt
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl ObjectKey {
    /// A key from its parts; `namespace` is empty for kinds without.
    pub fn new(kind: Kind, namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        ObjectKey { kind, namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_ref() {
            "" => write!(f, "{} {}", self.kind, self.name),
            namespace => write!(f, "{} {namespace}/{}", self.kind, self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_variants() {
        for facts in &KINDS {
            assert_eq!(facts.kind.as_str(), facts.name);
            assert_eq!(Kind::find(&facts.kind.api_version(), facts.name), Ok(facts.kind));
        }
    }

    #[test]
    fn served_versions_are_told_from_others() {
        assert_eq!(Kind::find("networking.istio.io/v1alpha3", "VirtualService"), Ok(Kind::VirtualService));
        assert_eq!(Kind::find("gateway.networking.k8s.io/v1beta1", "HTTPRoute"), Ok(Kind::HttpRoute));
        let error = Kind::find("security.istio.io/v1alpha1", "AuthorizationPolicy").unwrap_err();
        assert_eq!(
            error.to_string(),
            "AuthorizationPolicy is not served as security.istio.io/v1alpha1; use security.istio.io/v1"
        );
    }

    #[test]
    fn unused_kinds_are_told_from_misspelt_ones() {
        for (api_version, kind) in
            [("v1", "Secret"), ("rbac.authorization.k8s.io/v1", "Role"), ("apps/v1", "StatefulSet")]
        {
            assert!(matches!(Kind::find(api_version, kind), Err(KindError::Unused { .. })), "{kind}");
        }
        for (api_version, kind) in [
            ("v1", "Pods"),
            ("v1", "Deployment"),
            ("gateway.networking.k8s.io/v1", "HttpRoute"),
            ("example.com/v1", "Thing"),
            ("", ""),
        ] {
            assert!(matches!(Kind::find(api_version, kind), Err(KindError::Unknown { .. })), "{kind}");
        }
    }
}
