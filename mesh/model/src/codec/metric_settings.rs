//! What is different about a metric, both ways. A change that cannot be read leaves its label as it is.

use std::sync::Arc;

use mesh_proto::adit::waypoint::v1 as proto;
use proto::label_change::Change;

use super::http_match::header_name;
use crate::{LabelChange, LabelSource, MetricSettings, RequestMetric};

pub(super) fn decode(wire: proto::MetricSettings) -> Option<(RequestMetric, MetricSettings)> {
    let metric = match proto::RequestMetric::try_from(wire.metric).ok()? {
        proto::RequestMetric::Requests => RequestMetric::Requests,
        proto::RequestMetric::Duration => RequestMetric::Duration,
        proto::RequestMetric::RequestBytes => RequestMetric::RequestBytes,
        proto::RequestMetric::ResponseBytes => RequestMetric::ResponseBytes,
    };
    let labels = wire.labels.into_iter().filter_map(decode_label).collect();
    Some((metric, MetricSettings { disabled: wire.disabled, labels }))
}

pub(super) fn encode((metric, settings): (&RequestMetric, &MetricSettings)) -> proto::MetricSettings {
    let metric = match metric {
        RequestMetric::Requests => proto::RequestMetric::Requests,
        RequestMetric::Duration => proto::RequestMetric::Duration,
        RequestMetric::RequestBytes => proto::RequestMetric::RequestBytes,
        RequestMetric::ResponseBytes => proto::RequestMetric::ResponseBytes,
    };
    proto::MetricSettings {
        metric: metric.into(),
        disabled: settings.disabled,
        labels: settings.labels.iter().map(encode_label).collect(),
    }
}

fn decode_label(wire: proto::LabelChange) -> Option<(Arc<str>, LabelChange)> {
    let change = match wire.change? {
        Change::Removed(true) => LabelChange::Removed,
        Change::Removed(false) => return None,
        Change::Literal(text) => LabelChange::Set(LabelSource::Literal(text.into())),
        Change::Header(name) => LabelChange::Set(LabelSource::Header(header_name("", &name).ok()?.into())),
        Change::Attribute(attribute) => {
            LabelChange::Set(match proto::LabelSource::try_from(attribute).ok()? {
                proto::LabelSource::Host => LabelSource::Host,
                proto::LabelSource::Method => LabelSource::Method,
                proto::LabelSource::UrlPath => LabelSource::UrlPath,
                proto::LabelSource::Protocol => LabelSource::Protocol,
                proto::LabelSource::RequestId => LabelSource::RequestId,
                proto::LabelSource::UserAgent => LabelSource::UserAgent,
                proto::LabelSource::ResponseCode => LabelSource::ResponseCode,
                proto::LabelSource::ClientPrincipal => LabelSource::ClientPrincipal,
                proto::LabelSource::ServerPrincipal => LabelSource::ServerPrincipal,
            })
        }
    };
    is_label(&wire.label).then(|| (wire.label.into(), change))
}

/// What can be the name of a label (Prometheus: data model).
fn is_label(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(legal) && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

fn encode_label((label, change): (&Arc<str>, &LabelChange)) -> proto::LabelChange {
    let attribute = |source: proto::LabelSource| Change::Attribute(source.into());
    let change = match change {
        LabelChange::Removed => Change::Removed(true),
        LabelChange::Set(source) => match source {
            LabelSource::Literal(text) => Change::Literal(text.to_string()),
            LabelSource::Header(name) => Change::Header(name.to_string()),
            LabelSource::Host => attribute(proto::LabelSource::Host),
            LabelSource::Method => attribute(proto::LabelSource::Method),
            LabelSource::UrlPath => attribute(proto::LabelSource::UrlPath),
            LabelSource::Protocol => attribute(proto::LabelSource::Protocol),
            LabelSource::RequestId => attribute(proto::LabelSource::RequestId),
            LabelSource::UserAgent => attribute(proto::LabelSource::UserAgent),
            LabelSource::ResponseCode => attribute(proto::LabelSource::ResponseCode),
            LabelSource::ClientPrincipal => attribute(proto::LabelSource::ClientPrincipal),
            LabelSource::ServerPrincipal => attribute(proto::LabelSource::ServerPrincipal),
        },
    };
    proto::LabelChange { label: label.to_string(), change: Some(change) }
}
