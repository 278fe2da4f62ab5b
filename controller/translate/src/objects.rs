//! Objects of Kubernetes as they are written: the types of `k8s-openapi` and `gateway-api`, and our own
//! for the kinds of Istio.
//!
//! Reading a YAML document with line and column in the errors, for instance with serde-saphyr:
//! `with_deserializer_from_str(text, |yaml| Object::deserialize_as(kind, yaml))`, where `kind` comes from
//! `Kind::find` on the document's `apiVersion` and `kind`. Fields that do not exist are errors in the kinds
//! of Istio, where a typing error would open or misroute traffic; in the kinds of Kubernetes, whose API
//! grows with every release, `find_unknown_fields` names them for a warning.

mod authorization_policy;
mod custom;
mod destination_rule;
mod duration;
mod kind;
mod peer_authentication;
mod unknown;
mod validate;
mod value;
mod virtual_service;

use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Service, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

pub use authorization_policy::{
    AuthorizationPolicy, AuthorizationPolicySpec, Condition, Operation, OperationEntry, PolicyAction,
    PolicyRule, Provider, Source, SourceEntry, TargetRef,
};
pub use custom::Custom;
pub use destination_rule::{DestinationRule, DestinationRuleSpec, RuleSubset};
pub use duration::GoDuration;
pub use gateway_api::experimental::gatewayclasses::GatewayClass;
pub use gateway_api::experimental::gateways::Gateway;
pub use gateway_api::experimental::httproutes::HttpRoute;
pub use kind::{Kind, KindError, ObjectKey};
pub use peer_authentication::{MtlsMode, MutualTls, PeerAuthentication, PeerAuthenticationSpec};
pub use unknown::find_unknown_fields;
pub use validate::{Invalid, validate};
pub use value::{IpBlock, LabelSelector, Percent, Port, PortText};
pub use virtual_service::{
    Destination, DirectResponse, DirectResponseBody, FaultAbort, FaultDelay, FaultInjection,
    HeaderOperations, Headers, HttpMatchRequest, HttpRedirect, HttpRetry, HttpRewrite, HttpRouteEntry,
    MirrorPolicy, PortSelector, RedirectPort, RegexRewrite, RouteDestination, StringMatch, VirtualService,
    VirtualServiceSpec,
};

/// An object of one of the kinds that mean something here.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // the names say it
pub enum Object {
    Namespace(Box<Namespace>),
    ServiceAccount(Box<ServiceAccount>),
    Node(Box<Node>),
    Pod(Box<Pod>),
    Deployment(Box<Deployment>),
    Service(Box<Service>),
    GatewayClass(Box<GatewayClass>),
    Gateway(Box<Gateway>),
    HttpRoute(Box<HttpRoute>),
    VirtualService(Box<VirtualService>),
    DestinationRule(Box<DestinationRule>),
    AuthorizationPolicy(Box<AuthorizationPolicy>),
    PeerAuthentication(Box<PeerAuthentication>),
}

/// `$body` for the one value inside any variant.
macro_rules! each {
    ($object:expr, $value:ident => $body:expr) => {
        match $object {
            Object::Namespace($value) => $body,
            Object::ServiceAccount($value) => $body,
            Object::Node($value) => $body,
            Object::Pod($value) => $body,
            Object::Deployment($value) => $body,
            Object::Service($value) => $body,
            Object::GatewayClass($value) => $body,
            Object::Gateway($value) => $body,
            Object::HttpRoute($value) => $body,
            Object::VirtualService($value) => $body,
            Object::DestinationRule($value) => $body,
            Object::AuthorizationPolicy($value) => $body,
            Object::PeerAuthentication($value) => $body,
        }
    };
}

impl Object {
    /// Reads a whole object (`apiVersion`, `kind`, `metadata`, `spec`, …) of a known kind.
    pub fn deserialize_as<'de, D: Deserializer<'de>>(kind: Kind, deserializer: D) -> Result<Self, D::Error> {
        let d = deserializer;
        Ok(match kind {
            Kind::Namespace => Object::Namespace(Deserialize::deserialize(d)?),
            Kind::ServiceAccount => Object::ServiceAccount(Deserialize::deserialize(d)?),
            Kind::Node => Object::Node(Deserialize::deserialize(d)?),
            Kind::Pod => Object::Pod(Deserialize::deserialize(d)?),
            Kind::Deployment => Object::Deployment(Deserialize::deserialize(d)?),
            Kind::Service => Object::Service(Deserialize::deserialize(d)?),
            Kind::GatewayClass => Object::GatewayClass(Deserialize::deserialize(d)?),
            Kind::Gateway => Object::Gateway(Deserialize::deserialize(d)?),
            Kind::HttpRoute => Object::HttpRoute(Deserialize::deserialize(d)?),
            Kind::VirtualService => Object::VirtualService(Deserialize::deserialize(d)?),
            Kind::DestinationRule => Object::DestinationRule(Deserialize::deserialize(d)?),
            Kind::AuthorizationPolicy => Object::AuthorizationPolicy(Deserialize::deserialize(d)?),
            Kind::PeerAuthentication => Object::PeerAuthentication(Deserialize::deserialize(d)?),
        })
    }

    /// Reads a whole object of a known kind from JSON, for sources whose errors need no position.
    pub fn from_value(kind: Kind, value: Value) -> Result<Self, serde_json::Error> {
        Object::deserialize_as(kind, value)
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Object::Namespace(_) => Kind::Namespace,
            Object::ServiceAccount(_) => Kind::ServiceAccount,
            Object::Node(_) => Kind::Node,
            Object::Pod(_) => Kind::Pod,
            Object::Deployment(_) => Kind::Deployment,
            Object::Service(_) => Kind::Service,
            Object::GatewayClass(_) => Kind::GatewayClass,
            Object::Gateway(_) => Kind::Gateway,
            Object::HttpRoute(_) => Kind::HttpRoute,
            Object::VirtualService(_) => Kind::VirtualService,
            Object::DestinationRule(_) => Kind::DestinationRule,
            Object::AuthorizationPolicy(_) => Kind::AuthorizationPolicy,
            Object::PeerAuthentication(_) => Kind::PeerAuthentication,
        }
    }

    /// Its metadata.
    pub fn metadata(&self) -> &ObjectMeta {
        each!(self, object => &object.metadata)
    }

    /// Its metadata, to change.
    pub fn metadata_mut(&mut self) -> &mut ObjectMeta {
        each!(self, object => &mut object.metadata)
    }

    /// Its name. An object without a namespace, of a kind that has one, is in `default` (as kubectl has it).
    pub fn key(&self) -> ObjectKey {
        let (kind, metadata) = (self.kind(), self.metadata());
        let namespace: Arc<str> = match (kind.is_namespaced(), metadata.namespace.as_deref()) {
            (false, _) => Arc::from(""),
            (true, None | Some("")) => Arc::from("default"),
            (true, Some(namespace)) => Arc::from(namespace),
        };
        ObjectKey { kind, namespace, name: metadata.name.as_deref().unwrap_or_default().into() }
    }
}

/// As a manifest has it, `apiVersion` and `kind` included.
impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        each!(self, object => object.serialize(serializer))
    }
}
