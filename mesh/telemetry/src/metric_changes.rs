//! Metrics of requests as somebody wants them: without some, with other labels.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use http::HeaderMap;
use mesh_model::{LabelChange, LabelSource, MetricSettings, RequestMetric};
use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};

use crate::http_metrics::Counted;
use crate::labels::{HttpLabels, Pairs, Sink};
use crate::{HttpMetrics, RequestDetails};

/// A label is not made longer than this by what a client sends.
const LONGEST_VALUE: usize = 256;
const UNKNOWN: &str = "unknown";

/// What is different about metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricChanges {
    settings: BTreeMap<RequestMetric, MetricSettings>,
    /// The headers that labels are made of.
    headers: Vec<Arc<str>>,
}

/// The labels of one metric, as they were asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ChangedLabels {
    pub(crate) metric: RequestMetric,
    labels: Pairs,
}

impl EncodeLabelSet for ChangedLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        self.labels.iter().try_for_each(|(name, value)| encoder.label(name, format_args!("{value}")))
    }
}

/// Headers of one request that labels are made of.
pub(crate) type LabelHeaders = BTreeMap<Arc<str>, Arc<str>>;

impl MetricChanges {
    /// None where nothing is different.
    pub fn new(settings: &BTreeMap<RequestMetric, MetricSettings>) -> Option<Arc<MetricChanges>> {
        let settings = settings.clone();
        let changes = settings.values().flat_map(|it| it.labels.values());
        let headers = changes.filter_map(|change| match change {
            LabelChange::Set(LabelSource::Header(name)) => Some(name.clone()),
            _ => None,
        });
        let headers = headers.collect();
        (!settings.is_empty()).then(|| Arc::new(MetricChanges { settings, headers }))
    }

    /// What will be needed of a request's headers.
    pub(crate) fn keep(&self, headers: &HeaderMap) -> LabelHeaders {
        let found = self.headers.iter().filter_map(|name| {
            let value = headers.get(&**name)?;
            Some((name.clone(), shortened(&String::from_utf8_lossy(value.as_bytes()))))
        });
        found.collect()
    }

    /// Counts a request for every metric that is not disabled.
    pub(crate) fn count(
        &self,
        metrics: &HttpMetrics,
        usual: HttpLabels,
        (details, headers): (Option<&RequestDetails>, &LabelHeaders),
        counted: Counted,
    ) {
        let mut pairs = Pairs::new();
        // Writing to a list does not fail.
        let _ = usual.write(&mut pairs);
        let mut unchanged = Vec::with_capacity(RequestMetric::ALL.len());
        for metric in RequestMetric::ALL {
            let Some(settings) = self.settings.get(&metric) else {
                unchanged.push(metric);
                continue;
            };
            if settings.disabled {
                continue;
            }
            let labels = changed(&pairs, settings, &usual, details, headers);
            // The page must not have a set of labels twice.
            if labels == pairs {
                unchanged.push(metric);
                continue;
            }
            let (_, values) = metrics.changed.of(ChangedLabels { metric, labels });
            values.count(metric, counted);
        }
        if !unchanged.is_empty() {
            let (_, values) = metrics.requests.of(usual);
            unchanged.into_iter().for_each(|metric| values.count(metric, counted));
        }
    }
}

fn changed(
    pairs: &Pairs,
    settings: &MetricSettings,
    usual: &HttpLabels,
    details: Option<&RequestDetails>,
    headers: &LabelHeaders,
) -> Pairs {
    let mut labels = pairs.clone();
    labels.retain(|(name, _)| settings.labels.get(name) != Some(&LabelChange::Removed));
    for (name, change) in &settings.labels {
        let LabelChange::Set(source) = change else { continue };
        let value = value_of(source, usual, details, headers);
        match labels.iter_mut().find(|(known, _)| known == name) {
            Some(label) => label.1 = value,
            None => labels.push((name.clone(), value)),
        }
    }
    labels
}

fn value_of(
    source: &LabelSource,
    usual: &HttpLabels,
    details: Option<&RequestDetails>,
    headers: &LabelHeaders,
) -> Arc<str> {
    let of_request = |find: fn(&RequestDetails) -> Option<&str>| details.and_then(find).map(shortened);
    let principal = |identity: &Option<mesh_model::Identity>| {
        identity.as_ref().map(|identity| identity.to_string().into())
    };
    let value = match source {
        LabelSource::Literal(text) => Some(text.clone()),
        LabelSource::Header(name) => headers.get(name).cloned(),
        LabelSource::Host => of_request(|it| it.authority.as_deref()),
        LabelSource::Method => of_request(|it| Some(&it.method)),
        LabelSource::UrlPath => of_request(|it| it.path.split('?').next()),
        LabelSource::Protocol => of_request(|it| Some(it.protocol)),
        LabelSource::RequestId => of_request(|it| it.request_id.as_deref()),
        LabelSource::UserAgent => of_request(|it| it.user_agent.as_deref()),
        LabelSource::ResponseCode => Some(usual.code.to_string().into()),
        LabelSource::ClientPrincipal => principal(&usual.source.identity),
        LabelSource::ServerPrincipal => principal(&usual.destination.identity),
    };
    value.unwrap_or_else(|| UNKNOWN.into())
}

fn shortened(text: &str) -> Arc<str> {
    text[..text.floor_char_boundary(LONGEST_VALUE)].into()
}

#[cfg(test)]
mod tests;
