//! Which requests are traced, what their spans say, and where they are sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh_model::{NamedSource, PerMillion, TagSource, TraceCollector, TraceHeaders, Tracing};

use super::collector;
use super::{FOR_CLIENTS, is_for_servers};
use crate::cluster::Cluster;
use crate::objects::{CustomTag, Tracing as Wished};

/// Of the requests about which nobody says anything else, one in a hundred (telemetry.md §6).
const SAMPLED: PerMillion = PerMillion(10_000);

/// What has been said so far.
#[derive(Default)]
pub(super) struct TracingWishes {
    provider: Provider,
    sampled: Option<PerMillion>,
    reporting_disabled: bool,
    propagation_disabled: bool,
    own_tags_disabled: bool,
    tags: Option<BTreeMap<Arc<str>, TagSource>>,
}

/// Who collects spans.
#[derive(Default)]
enum Provider {
    /// As the mesh has it.
    #[default]
    Inherited,
    /// Somebody who cannot be used.
    Unusable,
    Found(TraceCollector, TraceHeaders),
}

impl TracingWishes {
    pub(super) fn add(&mut self, cluster: &Cluster, wished: &Wished, path: &str, problems: &mut Vec<String>) {
        if !is_for_servers(wished.matches.as_ref().map(|it| it.mode).unwrap_or_default()) {
            return problems.push(format!("{path}.match.mode: {FOR_CLIENTS}"));
        }
        if let Some(provider) = wished.providers.first() {
            self.provider = match collector::find(cluster, &provider.name) {
                Ok((collector, headers)) => Provider::Found(collector, headers),
                Err(problem) => {
                    problems.push(format!("{path}.providers[0].name: {problem}, so nothing is traced"));
                    Provider::Unusable
                }
            };
        }
        self.sampled = wished.random_sampling_percentage.map(share).or(self.sampled);
        self.reporting_disabled = wished.disable_span_reporting.unwrap_or(self.reporting_disabled);
        self.propagation_disabled = wished.disable_context_propagation.unwrap_or(self.propagation_disabled);
        self.own_tags_disabled = wished.enable_istio_tags.map(|it| !it).unwrap_or(self.own_tags_disabled);
        if !wished.custom_tags.is_empty() {
            self.tags = Some(tags(&wished.custom_tags, path, problems));
        }
    }

    pub(super) fn settle(self, cluster: &Cluster) -> Option<Tracing> {
        let (collector, headers) = match self.provider {
            Provider::Found(collector, headers) => (collector, headers),
            Provider::Unusable => return None,
            Provider::Inherited => collector::inherited(cluster)?,
        };
        let defaults = &cluster.mesh.reporting.default_config.tracing;
        let inherited = defaults.sampling.filter(|percent| *percent != 0.0).map(share);
        Some(Tracing {
            collector,
            sampled: self.sampled.or(inherited).unwrap_or(SAMPLED),
            reported: !self.reporting_disabled,
            propagated: !self.propagation_disabled,
            own_tags: !self.own_tags_disabled,
            tags: self.tags.unwrap_or_else(|| tags(&defaults.custom_tags, "", &mut Vec::new())),
            headers,
        })
    }
}

/// A share in per cent; what is none was refused before.
fn share(percent: f64) -> PerMillion {
    PerMillion((percent.clamp(0.0, 100.0) * 10_000.0).round() as u32)
}

fn tags(
    wished: &BTreeMap<String, CustomTag>,
    path: &str,
    problems: &mut Vec<String>,
) -> BTreeMap<Arc<str>, TagSource> {
    let mut tags = BTreeMap::new();
    for (name, tag) in wished {
        let source = if let Some(literal) = &tag.literal {
            TagSource::Literal(literal.value.as_str().into())
        } else if let Some(header) = &tag.header {
            TagSource::Header(named(&header.name.to_ascii_lowercase(), &header.default_value))
        } else if let Some(variable) = &tag.environment {
            TagSource::Environment(named(&variable.name, &variable.default_value))
        } else {
            let message = "formatter is not supported; the tag is left out";
            problems.push(format!("{path}.customTags.{name}: {message}"));
            continue;
        };
        tags.insert(name.as_str().into(), source);
    }
    tags
}

fn named(name: &str, default: &str) -> NamedSource {
    NamedSource { name: name.into(), default: (!default.is_empty()).then(|| default.into()) }
}
