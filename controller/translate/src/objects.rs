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
mod entry_visibility;
mod envoy_filter;
mod extension;
mod grpc_route;
mod istio_gateway;
mod kind;
mod mesh_config;
mod mesh_reporting;
mod peer_authentication;
mod proxy_config;
mod rate_limit_policy;
mod request_authentication;
mod resilience_policy;
mod service_entry;
mod sidecar;
mod stream_route;
mod telemetry;
mod unknown;
mod validate;
mod value;
mod virtual_service;
mod workload_entry;

use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Pod, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

pub use authorization_policy::{
    AuthorizationPolicy, AuthorizationPolicySpec, Condition, Operation, OperationEntry, PolicyAction,
    PolicyRule, Provider, Source, SourceEntry, TargetRef,
};
pub use custom::Custom;
pub use destination_rule::{
    ClientTlsMode, ClientTlsSettings, ConnectionPoolSettings, ConsistentHash, CookieAttribute,
    DestinationRule, DestinationRuleSpec, Distribution, Failover, H2UpgradePolicy, HttpCookie, HttpKeepAlive,
    HttpPoolSettings, LoadBalancerSettings, LocalityLoadBalancing, Maglev, OutlierDetection,
    PortTrafficPolicy, ProxyProtocol, ProxyProtocolVersion, RetryBudget, RingHash, RuleSubset,
    SimpleLoadBalancer, TcpKeepalive, TcpPoolSettings, TrafficPolicy, TunnelSettings, Warmup,
    ZoneAwareLoadBalancing,
};
pub use duration::GoDuration;
pub use entry_visibility::{EntryVisibility, ServiceEntryVisibility, VisibilityPolicy, VisibilityRule};
pub use envoy_filter::{
    ApplyTo, ConfigPatch, EnvoyFilter, EnvoyFilterSpec, FilterClass, Patch, PatchContext, PatchMatch,
    PatchOperation,
};
pub use extension::{
    FailStrategy, LuaConfig, PluginPhase, PluginType, PullPolicy, SelectedPort, TrafficExtension,
    TrafficExtensionSpec, TrafficSelector, VariableSource, VmConfig, VmVariable, WasmConfig, WasmPlugin,
    WasmPluginSpec, WorkloadMode,
};
pub use gateway_api::backendtlspolicies::BackendTlsPolicy;
pub use gateway_api::experimental::gatewayclasses::GatewayClass;
pub use gateway_api::experimental::gateways::Gateway;
pub use gateway_api::experimental::grpcroutes::GrpcRoute;
pub use gateway_api::experimental::httproutes::HttpRoute;
pub use gateway_api::experimental::tcproutes::TcpRoute;
pub use gateway_api::experimental::tlsroutes::TlsRoute;
pub(crate) use grpc_route::{as_http as grpc_route_as_http, named_lengths as grpc_method_lengths};
pub use istio_gateway::{
    GatewayPort, GatewayServer, IstioGateway, IstioGatewaySpec, ServerTlsMode, ServerTlsSettings,
    TlsCertificate, TlsProtocol,
};
pub use kind::{Kind, KindError, ObjectKey};
pub(crate) use mesh_config::KEY as MESH_CONFIG_KEY;
pub use mesh_config::{
    Authorizer, CheckedRequestBody, ExtensionProvider, GrpcAuthorizer, HttpAuthorizer, MeshConfig,
};
pub use mesh_reporting::{
    AccessLogEncoding, DefaultProviders, FileAccessLog, LogFormat, MeshReporting, OpenTelemetryCollector,
    OpenTelemetryGrpc, OpenTelemetryHttp, Prometheus, ProviderHeader, ProxyDefaults, ProxyTracing,
    TraceContextOption, ZipkinAddress, ZipkinCollector,
};
pub use peer_authentication::{MtlsMode, MutualTls, PeerAuthentication, PeerAuthenticationSpec};
pub use proxy_config::{ProxyConfig, ProxyConfigSpec, ProxyImage};
pub use rate_limit_policy::{
    CountingService, GlobalCount, HeaderMatch, HeaderMatchType, KeyProperty, LimitKey, PathMatch,
    PathMatchType, PolicyLimit, RateLimitPolicy, RateLimitPolicySpec, RateLimitTarget, RequestMatch,
};
pub use request_authentication::{
    ClaimToHeader, JwtHeader, JwtRule, RequestAuthentication, RequestAuthenticationSpec,
};
pub use resilience_policy::{
    CheckMethod, GrpcCheck, HttpCheck, Percentage, PolicyHealthCheck, PolicyHedging, ResiliencePolicy,
    ResiliencePolicySpec, ResilienceTarget, StatusRange, TcpCheck,
};
pub use service_entry::{
    Location, Resolution, ServiceEntry, ServiceEntryPort, ServiceEntrySpec, WorkloadSelector,
};
pub use sidecar::{
    CaptureMode, EgressListener, IngressListener, OutboundMode, OutboundTrafficPolicy, Sidecar, SidecarSpec,
};
pub(crate) use stream_route::as_http as stream_route_as_http;
pub use telemetry::{
    AccessLogging, CustomTag, IstioMetric, LogFilter, MetricMatch, MetricOverride, Metrics, ModeMatch,
    ProviderRef, TagOperation, TagOverride, TagSource, TagValue, Telemetry, TelemetryMode, TelemetrySpec,
    Tracing,
};
pub use unknown::find_unknown_fields;
pub(crate) use validate::is_token;
pub use validate::{Invalid, validate};
pub use value::{FreeForm, IpBlock, LabelSelector, Percent, Port, PortText};
pub use virtual_service::{
    CorsPolicy, Delegate, Destination, DirectResponse, DirectResponseBody, FaultAbort, FaultDelay,
    FaultInjection, HeaderOperations, Headers, HttpMatchRequest, HttpRedirect, HttpRetry, HttpRewrite,
    HttpRouteEntry, L4MatchAttributes, L4RouteDestination, MirrorPolicy, PortSelector, RedirectPort,
    RegexRewrite, RouteDestination, StringMatch, TcpRouteEntry, TlsMatchAttributes, TlsRouteEntry,
    UnmatchedPreflights, VirtualService, VirtualServiceSpec,
};
pub use workload_entry::{
    ExecProbe, GroupMetadata, GrpcProbe, HttpProbe, HttpProbeHeader, ReadinessProbe, TcpProbe, WorkloadEntry,
    WorkloadEntrySpec, WorkloadGroup, WorkloadGroupSpec,
};

/// An object of one of the kinds that mean something here.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // the names say it
pub enum Object {
    Namespace(Box<Namespace>),
    ServiceAccount(Box<ServiceAccount>),
    Node(Box<Node>),
    ConfigMap(Box<ConfigMap>),
    Pod(Box<Pod>),
    Deployment(Box<Deployment>),
    Service(Box<Service>),
    EndpointSlice(Box<EndpointSlice>),
    GatewayClass(Box<GatewayClass>),
    Gateway(Box<Gateway>),
    HttpRoute(Box<HttpRoute>),
    GrpcRoute(Box<GrpcRoute>),
    TcpRoute(Box<TcpRoute>),
    TlsRoute(Box<TlsRoute>),
    BackendTlsPolicy(Box<BackendTlsPolicy>),
    VirtualService(Box<VirtualService>),
    DestinationRule(Box<DestinationRule>),
    AuthorizationPolicy(Box<AuthorizationPolicy>),
    PeerAuthentication(Box<PeerAuthentication>),
    ServiceEntry(Box<ServiceEntry>),
    WorkloadEntry(Box<WorkloadEntry>),
    RequestAuthentication(Box<RequestAuthentication>),
    Telemetry(Box<Telemetry>),
    WorkloadGroup(Box<WorkloadGroup>),
    Sidecar(Box<Sidecar>),
    IstioGateway(Box<IstioGateway>),
    EnvoyFilter(Box<EnvoyFilter>),
    WasmPlugin(Box<WasmPlugin>),
    TrafficExtension(Box<TrafficExtension>),
    ProxyConfig(Box<ProxyConfig>),
    RateLimitPolicy(Box<RateLimitPolicy>),
    ResiliencePolicy(Box<ResiliencePolicy>),
}

/// `$body` for the one value inside any variant.
macro_rules! each {
    ($object:expr, $value:ident => $body:expr) => {
        match $object {
            Object::Namespace($value) => $body,
            Object::ServiceAccount($value) => $body,
            Object::Node($value) => $body,
            Object::ConfigMap($value) => $body,
            Object::Pod($value) => $body,
            Object::Deployment($value) => $body,
            Object::Service($value) => $body,
            Object::EndpointSlice($value) => $body,
            Object::GatewayClass($value) => $body,
            Object::Gateway($value) => $body,
            Object::HttpRoute($value) => $body,
            Object::GrpcRoute($value) => $body,
            Object::TcpRoute($value) => $body,
            Object::TlsRoute($value) => $body,
            Object::BackendTlsPolicy($value) => $body,
            Object::VirtualService($value) => $body,
            Object::DestinationRule($value) => $body,
            Object::AuthorizationPolicy($value) => $body,
            Object::PeerAuthentication($value) => $body,
            Object::ServiceEntry($value) => $body,
            Object::WorkloadEntry($value) => $body,
            Object::RequestAuthentication($value) => $body,
            Object::Telemetry($value) => $body,
            Object::WorkloadGroup($value) => $body,
            Object::Sidecar($value) => $body,
            Object::IstioGateway($value) => $body,
            Object::EnvoyFilter($value) => $body,
            Object::WasmPlugin($value) => $body,
            Object::TrafficExtension($value) => $body,
            Object::ProxyConfig($value) => $body,
            Object::RateLimitPolicy($value) => $body,
            Object::ResiliencePolicy($value) => $body,
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
            Kind::ConfigMap => Object::ConfigMap(Deserialize::deserialize(d)?),
            Kind::Pod => Object::Pod(Deserialize::deserialize(d)?),
            Kind::Deployment => Object::Deployment(Deserialize::deserialize(d)?),
            Kind::Service => Object::Service(Deserialize::deserialize(d)?),
            Kind::EndpointSlice => Object::EndpointSlice(Deserialize::deserialize(d)?),
            Kind::GatewayClass => Object::GatewayClass(Deserialize::deserialize(d)?),
            Kind::Gateway => Object::Gateway(Deserialize::deserialize(d)?),
            Kind::HttpRoute => Object::HttpRoute(Deserialize::deserialize(d)?),
            Kind::GrpcRoute => Object::GrpcRoute(Deserialize::deserialize(d)?),
            Kind::TcpRoute => Object::TcpRoute(Deserialize::deserialize(d)?),
            Kind::TlsRoute => Object::TlsRoute(stream_route::deserialize_tls(d)?.into()),
            Kind::BackendTlsPolicy => Object::BackendTlsPolicy(Deserialize::deserialize(d)?),
            Kind::VirtualService => Object::VirtualService(Deserialize::deserialize(d)?),
            Kind::DestinationRule => Object::DestinationRule(Deserialize::deserialize(d)?),
            Kind::AuthorizationPolicy => Object::AuthorizationPolicy(Deserialize::deserialize(d)?),
            Kind::PeerAuthentication => Object::PeerAuthentication(Deserialize::deserialize(d)?),
            Kind::ServiceEntry => Object::ServiceEntry(Deserialize::deserialize(d)?),
            Kind::WorkloadEntry => Object::WorkloadEntry(Deserialize::deserialize(d)?),
            Kind::RequestAuthentication => Object::RequestAuthentication(Deserialize::deserialize(d)?),
            Kind::Telemetry => Object::Telemetry(Deserialize::deserialize(d)?),
            Kind::WorkloadGroup => Object::WorkloadGroup(Deserialize::deserialize(d)?),
            Kind::Sidecar => Object::Sidecar(Deserialize::deserialize(d)?),
            Kind::IstioGateway => Object::IstioGateway(Deserialize::deserialize(d)?),
            Kind::EnvoyFilter => Object::EnvoyFilter(Deserialize::deserialize(d)?),
            Kind::WasmPlugin => Object::WasmPlugin(Deserialize::deserialize(d)?),
            Kind::TrafficExtension => Object::TrafficExtension(Deserialize::deserialize(d)?),
            Kind::ProxyConfig => Object::ProxyConfig(Deserialize::deserialize(d)?),
            Kind::RateLimitPolicy => Object::RateLimitPolicy(Deserialize::deserialize(d)?),
            Kind::ResiliencePolicy => Object::ResiliencePolicy(Deserialize::deserialize(d)?),
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
            Object::ConfigMap(_) => Kind::ConfigMap,
            Object::Pod(_) => Kind::Pod,
            Object::Deployment(_) => Kind::Deployment,
            Object::Service(_) => Kind::Service,
            Object::EndpointSlice(_) => Kind::EndpointSlice,
            Object::GatewayClass(_) => Kind::GatewayClass,
            Object::Gateway(_) => Kind::Gateway,
            Object::HttpRoute(_) => Kind::HttpRoute,
            Object::GrpcRoute(_) => Kind::GrpcRoute,
            Object::TcpRoute(_) => Kind::TcpRoute,
            Object::TlsRoute(_) => Kind::TlsRoute,
            Object::BackendTlsPolicy(_) => Kind::BackendTlsPolicy,
            Object::VirtualService(_) => Kind::VirtualService,
            Object::DestinationRule(_) => Kind::DestinationRule,
            Object::AuthorizationPolicy(_) => Kind::AuthorizationPolicy,
            Object::PeerAuthentication(_) => Kind::PeerAuthentication,
            Object::ServiceEntry(_) => Kind::ServiceEntry,
            Object::WorkloadEntry(_) => Kind::WorkloadEntry,
            Object::RequestAuthentication(_) => Kind::RequestAuthentication,
            Object::Telemetry(_) => Kind::Telemetry,
            Object::WorkloadGroup(_) => Kind::WorkloadGroup,
            Object::Sidecar(_) => Kind::Sidecar,
            Object::IstioGateway(_) => Kind::IstioGateway,
            Object::EnvoyFilter(_) => Kind::EnvoyFilter,
            Object::WasmPlugin(_) => Kind::WasmPlugin,
            Object::TrafficExtension(_) => Kind::TrafficExtension,
            Object::ProxyConfig(_) => Kind::ProxyConfig,
            Object::RateLimitPolicy(_) => Kind::RateLimitPolicy,
            Object::ResiliencePolicy(_) => Kind::ResiliencePolicy,
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
