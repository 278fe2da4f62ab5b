//! What is different about the metrics of requests.

use std::collections::BTreeMap;

use mesh_model::{LabelChange, LabelSource, MetricSettings, RequestMetric};

use super::{FOR_CLIENTS, is_for_servers};
use crate::cluster::Cluster;
use crate::objects::{IstioMetric, MetricMatch, MetricOverride, Metrics, TagOperation};

/// The provider that is there without being configured.
const BUILT_IN: &str = "prometheus";

/// What has been said so far.
pub(super) struct MetricWishes {
    enabled: bool,
    settings: BTreeMap<RequestMetric, MetricSettings>,
}

impl MetricWishes {
    pub(super) fn new(cluster: &Cluster) -> Self {
        let names = &cluster.mesh.reporting.default_providers.metrics;
        let enabled = names.is_empty() || names.iter().any(|name| is_prometheus(cluster, name));
        MetricWishes { enabled, settings: BTreeMap::new() }
    }

    pub(super) fn add(
        &mut self,
        cluster: &Cluster,
        wished: &Metrics,
        path: &str,
        problems: &mut Vec<String>,
    ) {
        if !wished.providers.is_empty() {
            if !wished.providers.iter().any(|provider| is_prometheus(cluster, &provider.name)) {
                let message = "only prometheus gets metrics of waypoints; the entry has no effect";
                return problems.push(format!("{path}.providers: {message}"));
            }
            self.enabled = true;
        }
        for (at, change) in wished.overrides.iter().enumerate() {
            self.change(change, &format!("{path}.overrides[{at}]"), problems);
        }
    }

    fn change(&mut self, change: &MetricOverride, path: &str, problems: &mut Vec<String>) {
        let wanted = change.matches.clone().unwrap_or_default();
        if !is_for_servers(wanted.mode) {
            return problems.push(format!("{path}.match.mode: {FOR_CLIENTS}"));
        }
        let Some(metrics) = metrics_of(&wanted) else {
            let message = "only the metrics of requests can be changed; the entry has no effect";
            return problems.push(format!("{path}.match: {message}"));
        };
        let mut labels = Vec::new();
        for (name, tag) in &change.tag_overrides {
            let field = format!("{path}.tagOverrides.{name}");
            match tag.operation {
                _ if !is_label(name) => problems.push(format!("{field}: is not the name of a label")),
                TagOperation::Remove => labels.push((name, LabelChange::Removed)),
                TagOperation::Upsert => match source(&tag.value) {
                    Some(source) => labels.push((name, LabelChange::Set(source))),
                    None => {
                        let message = "is not supported; write 'a text', request.headers['a name'] or one of the attributes that the documentation lists";
                        problems.push(format!("{field}.value: {:?} {message}", tag.value));
                    }
                },
            }
        }
        for metric in metrics {
            let settings = self.settings.entry(*metric).or_default();
            settings.disabled = change.disabled.unwrap_or(settings.disabled);
            let labels = labels.iter().map(|(name, change)| (name.as_str().into(), change.clone()));
            settings.labels.extend(labels);
        }
    }

    pub(super) fn settle(mut self) -> BTreeMap<RequestMetric, MetricSettings> {
        if !self.enabled {
            let off = |metric| (metric, MetricSettings { disabled: true, ..MetricSettings::default() });
            return RequestMetric::ALL.into_iter().map(off).collect();
        }
        self.settings.retain(|_, settings| *settings != MetricSettings::default());
        self.settings
    }
}

fn is_prometheus(cluster: &Cluster, name: &str) -> bool {
    match cluster.mesh.find_provider(name) {
        Some(provider) => provider.prometheus.is_some(),
        None => name == BUILT_IN,
    }
}

fn metrics_of(wanted: &MetricMatch) -> Option<&'static [RequestMetric]> {
    if wanted.custom_metric.is_some() {
        return None;
    }
    match wanted.metric.unwrap_or_default() {
        IstioMetric::AllMetrics => Some(&RequestMetric::ALL),
        IstioMetric::RequestCount => Some(&[RequestMetric::Requests]),
        IstioMetric::RequestDuration => Some(&[RequestMetric::Duration]),
        IstioMetric::RequestSize => Some(&[RequestMetric::RequestBytes]),
        IstioMetric::ResponseSize => Some(&[RequestMetric::ResponseBytes]),
        IstioMetric::TcpOpenedConnections
        | IstioMetric::TcpClosedConnections
        | IstioMetric::TcpSentBytes
        | IstioMetric::TcpReceivedBytes
        | IstioMetric::GrpcRequestMessages
        | IstioMetric::GrpcResponseMessages => None,
    }
}

fn is_label(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(legal) && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

/// What an expression stands for: of CEL, texts and single attributes.
fn source(expression: &str) -> Option<LabelSource> {
    let expression = expression.trim();
    if let Some(text) = literal(expression) {
        return Some(LabelSource::Literal(text.into()));
    }
    let header = expression.strip_prefix("request.headers[").and_then(|rest| rest.strip_suffix(']'));
    if let Some(name) = header.and_then(literal) {
        return (!name.is_empty()).then(|| LabelSource::Header(name.to_ascii_lowercase().into()));
    }
    Some(match expression {
        "request.host" => LabelSource::Host,
        "request.method" => LabelSource::Method,
        "request.url_path" => LabelSource::UrlPath,
        "request.protocol" => LabelSource::Protocol,
        "request.id" => LabelSource::RequestId,
        "request.useragent" => LabelSource::UserAgent,
        "response.code" => LabelSource::ResponseCode,
        "source.principal" | "connection.uri_san_peer_certificate" => LabelSource::ClientPrincipal,
        "destination.principal" | "upstream.uri_san_peer_certificate" => LabelSource::ServerPrincipal,
        _ => return None,
    })
}

/// A text in quotes, without escapes.
fn literal(expression: &str) -> Option<&str> {
    ['\'', '"'].into_iter().find_map(|quote| {
        let text = expression.strip_prefix(quote)?.strip_suffix(quote)?;
        (!text.contains([quote, '\\'])).then_some(text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tel_10_texts_headers_and_attributes_are_understood() {
        let text = |text: &str| Some(LabelSource::Literal(text.into()));
        for (expression, expected) in [
            ("'test'", text("test")),
            ("\"it's\"", text("it's")),
            ("''", text("")),
            ("request.headers['X-Team']", Some(LabelSource::Header("x-team".into()))),
            ("request.headers[\"x\"]", Some(LabelSource::Header("x".into()))),
            (" request.host ", Some(LabelSource::Host)),
            ("response.code", Some(LabelSource::ResponseCode)),
            ("'a' + 'b'", None),
            ("'a\\n'", None),
            ("test", None),
            ("request.headers['']", None),
            ("request.headers[x]", None),
            ("", None),
            ("'", None),
        ] {
            assert_eq!(source(expression), expected, "{expression}");
        }
    }
}
