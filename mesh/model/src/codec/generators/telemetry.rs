//! Random wishes about what is told of requests.

use std::time::Duration;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::{host, name, text};
use crate::{
    AccessLog, CodeTest, Comparison, LabelChange, LabelSource, LogEncoding, LogFilter, MetricSettings,
    NamedSource, PerMillion, RequestMetric, TagSource, Telemetry, TraceCollector, TraceHeaders,
    TraceProtocol, Tracing,
};

fn collector() -> impl Strategy<Value = TraceCollector> {
    let protocol = prop_oneof![
        Just(TraceProtocol::OtlpGrpc),
        name().prop_map(|path| TraceProtocol::OtlpHttp { path }),
        (name(), any::<bool>()).prop_map(|(path, short_ids)| TraceProtocol::Zipkin { path, short_ids }),
    ];
    (host(), any::<u16>(), 1..1_000_000u64, vec((name(), text()), 0..3), protocol).prop_map(
        |(service, port, micros, headers, protocol)| TraceCollector {
            service,
            port,
            timeout: Duration::from_micros(micros),
            headers,
            protocol,
        },
    )
}

fn tag() -> impl Strategy<Value = TagSource> {
    let named = || (name(), option::of(name())).prop_map(|(name, default)| NamedSource { name, default });
    prop_oneof![
        text().prop_map(TagSource::Literal),
        named().prop_map(TagSource::Header),
        named().prop_map(TagSource::Environment),
    ]
}

fn tracing() -> impl Strategy<Value = Tracing> {
    let headers = select(vec![TraceHeaders::W3c, TraceHeaders::B3, TraceHeaders::B3AndW3c]);
    let whether = (any::<bool>(), any::<bool>(), any::<bool>());
    (collector(), 0..=1_000_000u32, whether, btree_map(name(), tag(), 0..3), headers).prop_map(
        |(collector, sampled, (reported, propagated, own_tags), tags, headers)| Tracing {
            collector,
            sampled: PerMillion(sampled),
            reported,
            propagated,
            own_tags,
            tags,
            headers,
        },
    )
}

fn access_log() -> impl Strategy<Value = AccessLog> {
    use Comparison::{AtLeast, AtMost, Equal, Greater, Less, NotEqual};
    let comparison = select(vec![Equal, NotEqual, Less, AtMost, Greater, AtLeast]);
    let test = (comparison, any::<u16>()).prop_map(|(comparison, code)| CodeTest { comparison, code });
    (select(vec![LogEncoding::Text, LogEncoding::Json]), vec(vec(test, 0..3), 0..3))
        .prop_map(|(encoding, any_of)| AccessLog { encoding, filter: LogFilter { any_of } })
}

fn metric_settings() -> impl Strategy<Value = MetricSettings> {
    use LabelSource::{
        ClientPrincipal, Host, Method, Protocol, RequestId, ResponseCode, ServerPrincipal, UrlPath, UserAgent,
    };
    let attributes = vec![
        Host,
        Method,
        UrlPath,
        Protocol,
        RequestId,
        UserAgent,
        ResponseCode,
        ClientPrincipal,
        ServerPrincipal,
    ];
    let change = prop_oneof![
        Just(LabelChange::Removed),
        text().prop_map(|text| LabelChange::Set(LabelSource::Literal(text))),
        name().prop_map(|name| LabelChange::Set(LabelSource::Header(name))),
        select(attributes).prop_map(LabelChange::Set),
    ];
    let label = "[a-z_][a-z0-9_]{0,6}".prop_map(|label| label.into());
    (any::<bool>(), btree_map(label, change, 0..3))
        .prop_map(|(disabled, labels)| MetricSettings { disabled, labels })
}

pub(super) fn telemetry() -> impl Strategy<Value = Telemetry> {
    let metric = select(RequestMetric::ALL.to_vec());
    (option::of(tracing()), option::of(access_log()), btree_map(metric, metric_settings(), 0..3))
        .prop_map(|(tracing, access_log, metrics)| Telemetry { tracing, access_log, metrics })
}
