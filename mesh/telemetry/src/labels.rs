//! Label sets in their exposition order (telemetry.md §1.2 and §2.1).

use std::fmt::{self, Write};
use std::hash::Hash;
use std::sync::Arc;

use mesh_model::Identity;
use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};

use crate::{Party, Reporter, RequestFlags, Security, ServiceRef};

const UNKNOWN: &str = "unknown";

/// Where labels are written, one after the other.
pub(crate) trait Sink {
    fn label(&mut self, name: &str, value: fmt::Arguments<'_>) -> fmt::Result;
}

impl Sink for LabelSetEncoder<'_> {
    fn label(&mut self, name: &str, value: fmt::Arguments<'_>) -> fmt::Result {
        let mut label = self.encode_label();
        let mut key = label.encode_label_key()?;
        key.write_str(name)?;
        let mut writer = key.encode_label_value()?;
        writer.write_fmt(value)?;
        writer.finish()
    }
}

/// Labels as texts.
pub(crate) type Pairs = Vec<(Arc<str>, Arc<str>)>;

impl Sink for Pairs {
    fn label(&mut self, name: &str, value: fmt::Arguments<'_>) -> fmt::Result {
        self.push((name.into(), value.to_string().into()));
        Ok(())
    }
}

/// A label set of `istio_tcp_*`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TcpLabels {
    pub(crate) reporter: Reporter,
    pub(crate) source: Side,
    pub(crate) destination: Side,
    pub(crate) service: Option<ServiceRef>,
    pub(crate) flags: &'static str,
}

/// One of the two sides; empty parts are unknown. Nothing here tells the pods
/// of one workload apart, so that they share their series.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Side {
    pub(crate) identity: Option<Identity>,
    namespace: Arc<str>,
    workload_name: Arc<str>,
    canonical_name: Arc<str>,
    canonical_revision: Arc<str>,
    cluster: Arc<str>,
    region: Arc<str>,
    zone: Arc<str>,
}

impl Side {
    pub(crate) fn new(party: &Party) -> Self {
        let identity = party.identity.clone();
        let Some(workload) = &party.workload else {
            return Side { identity, ..Side::default() };
        };
        Side {
            identity,
            namespace: workload.namespace.clone(),
            workload_name: workload.workload_name.clone(),
            canonical_name: workload.canonical_name.clone(),
            canonical_revision: workload.canonical_revision.clone(),
            cluster: workload.cluster_id.clone(),
            region: workload.locality.region.clone(),
            zone: workload.locality.zone.clone(),
        }
    }
}

impl TcpLabels {
    /// Mutual TLS is where both sides have proven who they are.
    fn security(&self) -> Security {
        match (&self.source.identity, &self.destination.identity, self.reporter) {
            (Some(_), Some(_), _) => Security::MutualTls,
            (_, _, Reporter::Waypoint) => Security::None,
            (_, _, Reporter::Source | Reporter::Destination) => Security::Unknown,
        }
    }
}

impl EncodeLabelSet for TcpLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        let TcpLabels { reporter, source, destination, service, flags } = self;
        let mut labels = Labels(encoder);
        let at_waypoint = *reporter == Reporter::Waypoint;
        if at_waypoint {
            labels.add_as_waypoint(source, destination, service.as_ref())?;
        } else {
            labels.add_as_node(*reporter, source, destination, service.as_ref())?;
        }
        labels.add("request_protocol", "tcp")?;
        labels.add("response_flags", flags)?;
        labels.add("connection_security_policy", self.security().as_str())?;
        if at_waypoint {
            return Ok(());
        }
        labels.add_known("source_region", &source.region)?;
        labels.add_known("source_zone", &source.zone)?;
        labels.add_known("destination_region", &destination.region)?;
        labels.add_known("destination_zone", &destination.zone)
    }
}

/// A label set of a waypoint's HTTP metrics.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct HttpLabels {
    pub(crate) source: Side,
    pub(crate) destination: Side,
    pub(crate) service: Option<ServiceRef>,
    pub(crate) protocol: &'static str,
    pub(crate) code: u16,
    pub(crate) grpc_status: Option<u8>,
    pub(crate) flags: RequestFlags,
    pub(crate) security: Security,
}

impl EncodeLabelSet for HttpLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        self.write(encoder)
    }
}

impl HttpLabels {
    pub(crate) fn write(&self, sink: &mut dyn Sink) -> fmt::Result {
        let mut labels = Labels(sink);
        labels.add_as_waypoint(&self.source, &self.destination, self.service.as_ref())?;
        labels.add("request_protocol", self.protocol)?;
        labels.add_number("response_code", Some(self.code))?;
        labels.add_number("grpc_response_status", self.grpc_status)?;
        labels.write("response_flags", format_args!("{}", self.flags))?;
        labels.add("connection_security_policy", self.security.as_str())
    }
}

/// What a waypoint says of a workload without a revision.
fn or_latest(revision: &str) -> &str {
    if revision.is_empty() { "latest" } else { revision }
}

pub(crate) struct Labels<'a>(&'a mut dyn Sink);

impl<'a> Labels<'a> {
    pub(crate) fn new(sink: &'a mut dyn Sink) -> Self {
        Labels(sink)
    }
}

impl Labels<'_> {
    /// Whose connection it is, in the order of a node proxy.
    pub(crate) fn add_source(&mut self, source: &Side) -> fmt::Result {
        self.add("source_workload", &source.workload_name)?;
        self.add("source_canonical_service", &source.canonical_name)?;
        self.add("source_canonical_revision", &source.canonical_revision)?;
        self.add("source_workload_namespace", &source.namespace)?;
        self.add_principal("source_principal", source.identity.as_ref())?;
        self.add("source_app", &source.canonical_name)?;
        self.add("source_version", &source.canonical_revision)?;
        self.add("source_cluster", &source.cluster)
    }

    /// In the order of a node proxy.
    fn add_as_node(
        &mut self,
        reporter: Reporter,
        source: &Side,
        destination: &Side,
        service: Option<&ServiceRef>,
    ) -> fmt::Result {
        self.add("reporter", reporter.as_str())?;
        self.add_source(source)?;
        self.add("destination_service", service.map_or("", |service| &service.key.hostname))?;
        self.add("destination_service_namespace", service.map_or("", |service| &service.key.namespace))?;
        self.add("destination_service_name", service.map_or("", ServiceRef::name))?;
        self.add("destination_workload", &destination.workload_name)?;
        self.add("destination_canonical_service", &destination.canonical_name)?;
        self.add("destination_canonical_revision", &destination.canonical_revision)?;
        self.add("destination_workload_namespace", &destination.namespace)?;
        self.add_principal("destination_principal", destination.identity.as_ref())?;
        self.add("destination_app", &destination.canonical_name)?;
        self.add("destination_version", &destination.canonical_revision)?;
        self.add("destination_cluster", &destination.cluster)
    }

    /// In the order of a waypoint.
    fn add_as_waypoint(
        &mut self,
        source: &Side,
        destination: &Side,
        service: Option<&ServiceRef>,
    ) -> fmt::Result {
        self.add("reporter", Reporter::Waypoint.as_str())?;
        self.add("source_workload", &source.workload_name)?;
        self.add("source_canonical_service", &source.canonical_name)?;
        self.add("source_canonical_revision", or_latest(&source.canonical_revision))?;
        self.add("source_workload_namespace", &source.namespace)?;
        self.add_principal("source_principal", source.identity.as_ref())?;
        self.add("source_app", &source.canonical_name)?;
        self.add("source_version", &source.canonical_revision)?;
        self.add("source_cluster", &source.cluster)?;
        self.add("destination_workload", &destination.workload_name)?;
        self.add("destination_workload_namespace", &destination.namespace)?;
        self.add_principal("destination_principal", destination.identity.as_ref())?;
        self.add("destination_app", &destination.canonical_name)?;
        self.add("destination_version", &destination.canonical_revision)?;
        self.add("destination_service", service.map_or("", |service| &service.key.hostname))?;
        self.add("destination_canonical_service", &destination.canonical_name)?;
        self.add("destination_canonical_revision", or_latest(&destination.canonical_revision))?;
        self.add("destination_service_name", service.map_or("", ServiceRef::name))?;
        self.add("destination_service_namespace", service.map_or("", |service| &service.key.namespace))?;
        self.add("destination_cluster", &destination.cluster)
    }

    pub(crate) fn add(&mut self, name: &str, value: &str) -> fmt::Result {
        self.write(name, format_args!("{}", if value.is_empty() { UNKNOWN } else { value }))
    }

    fn add_known(&mut self, name: &str, value: &str) -> fmt::Result {
        if value.is_empty() { Ok(()) } else { self.add(name, value) }
    }

    fn add_principal(&mut self, name: &str, identity: Option<&Identity>) -> fmt::Result {
        match identity {
            Some(identity) => self.write(name, format_args!("{identity}")),
            None => self.add(name, UNKNOWN),
        }
    }

    /// An absent number is an empty value.
    fn add_number(&mut self, name: &str, number: Option<impl fmt::Display>) -> fmt::Result {
        match number {
            Some(number) => self.write(name, format_args!("{number}")),
            None => self.write(name, format_args!("")),
        }
    }

    fn write(&mut self, name: &str, value: fmt::Arguments<'_>) -> fmt::Result {
        self.0.label(name, value)
    }
}

#[cfg(test)]
pub(crate) mod tests;
