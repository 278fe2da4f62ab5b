//! What is told of requests, both ways.
//!
//! Nothing here opens or closes anything, so what cannot be read is left out and the rest of the configuration holds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mesh_proto::adit::waypoint::v1 as proto;

use super::DecodeError;
use super::duration::{decode as decode_duration, encode as encode_duration};
use super::field::{at, each, known, named, optional, or_empty, port, required};
use super::http_match::header_name;
use super::http_rule::share;
use super::metric_settings;
use crate::{
    AccessLog, CodeTest, Comparison, LogEncoding, LogFilter, NamedSource, TagSource, Telemetry,
    TraceCollector, TraceHeaders, TraceProtocol, Tracing,
};

/// Where nobody says how long a collector may take.
const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn decode(wire: proto::Telemetry) -> Telemetry {
    Telemetry {
        tracing: wire.tracing.and_then(|tracing| decode_tracing(tracing).ok()),
        access_log: wire.access_log.map(|log| decode_log(log).unwrap_or_default()),
        metrics: wire.metrics.into_iter().filter_map(metric_settings::decode).collect(),
    }
}

pub(super) fn encode(telemetry: &Telemetry) -> proto::Telemetry {
    proto::Telemetry {
        tracing: telemetry.tracing.as_ref().map(encode_tracing),
        access_log: telemetry.access_log.as_ref().map(encode_log),
        metrics: telemetry.metrics.iter().map(metric_settings::encode).collect(),
    }
}

fn decode_tracing(wire: proto::Tracing) -> Result<Tracing, DecodeError> {
    let collector = required("collector", wire.collector)?;
    let tags: BTreeMap<_, _> = each("tags", wire.tags, decode_tag)?;
    Ok(Tracing {
        collector: at("collector", decode_collector(collector))?,
        sampled: share(wire.sampled_per_million)?,
        reported: !wire.reporting_disabled,
        propagated: !wire.propagation_disabled,
        own_tags: !wire.own_tags_disabled,
        tags,
        headers: match known("headers", wire.headers)? {
            proto::TraceHeaders::W3c => TraceHeaders::W3c,
            proto::TraceHeaders::B3 => TraceHeaders::B3,
            proto::TraceHeaders::B3AndW3c => TraceHeaders::B3AndW3c,
        },
    })
}

fn encode_tracing(tracing: &Tracing) -> proto::Tracing {
    let headers = match tracing.headers {
        TraceHeaders::W3c => proto::TraceHeaders::W3c,
        TraceHeaders::B3 => proto::TraceHeaders::B3,
        TraceHeaders::B3AndW3c => proto::TraceHeaders::B3AndW3c,
    };
    proto::Tracing {
        collector: Some(encode_collector(&tracing.collector)),
        sampled_per_million: tracing.sampled.0,
        reporting_disabled: !tracing.reported,
        propagation_disabled: !tracing.propagated,
        own_tags_disabled: !tracing.own_tags,
        tags: tracing.tags.iter().map(encode_tag).collect(),
        headers: headers.into(),
    }
}

fn decode_collector(wire: proto::TraceCollector) -> Result<TraceCollector, DecodeError> {
    use proto::trace_collector::Protocol;
    let service = wire
        .service
        .parse()
        .map_err(|error: crate::ParseNameError| DecodeError::new(error.to_string()).within("service"))?;
    let timeout = at("timeout", wire.timeout.map(decode_duration).transpose())?;
    Ok(TraceCollector {
        service,
        port: port("port", wire.port)?,
        timeout: timeout.filter(|it| !it.is_zero()).unwrap_or(TIMEOUT),
        headers: each("headers", wire.headers, |header| {
            Ok((header_name("name", &header.name)?.into(), header.value.into()))
        })?,
        protocol: match required("protocol", wire.protocol)? {
            Protocol::OtlpGrpc(_) => TraceProtocol::OtlpGrpc,
            Protocol::OtlpHttp(http) => TraceProtocol::OtlpHttp { path: named("path", &http.path)? },
            Protocol::Zipkin(zipkin) => {
                TraceProtocol::Zipkin { path: named("path", &zipkin.path)?, short_ids: zipkin.short_ids }
            }
        },
    })
}

fn encode_collector(collector: &TraceCollector) -> proto::TraceCollector {
    use proto::trace_collector::Protocol;
    let header = |(name, value): &(Arc<str>, Arc<str>)| proto::TraceHeader {
        name: name.to_string(),
        value: value.to_string(),
    };
    proto::TraceCollector {
        service: collector.service.to_string(),
        port: collector.port.into(),
        timeout: Some(encode_duration(collector.timeout)),
        headers: collector.headers.iter().map(header).collect(),
        protocol: Some(match &collector.protocol {
            TraceProtocol::OtlpGrpc => Protocol::OtlpGrpc(proto::OtlpGrpc {}),
            TraceProtocol::OtlpHttp { path } => {
                Protocol::OtlpHttp(proto::OtlpHttp { path: path.to_string() })
            }
            TraceProtocol::Zipkin { path, short_ids } => {
                Protocol::Zipkin(proto::Zipkin { path: path.to_string(), short_ids: *short_ids })
            }
        }),
    }
}

fn decode_tag(wire: proto::SpanTag) -> Result<(Arc<str>, TagSource), DecodeError> {
    use proto::span_tag::Value;
    let source = |wire: proto::NamedSource| {
        Ok(NamedSource { name: named("name", &wire.name)?, default: optional(&wire.default_value) })
    };
    let value = match required("value", wire.value)? {
        Value::Literal(text) => TagSource::Literal(text.into()),
        Value::Header(mut wire) => {
            wire.name = header_name("header", &wire.name)?;
            TagSource::Header(source(wire)?)
        }
        Value::Environment(wire) => TagSource::Environment(source(wire)?),
    };
    Ok((named("name", &wire.name)?, value))
}

fn encode_tag((name, source): (&Arc<str>, &TagSource)) -> proto::SpanTag {
    use proto::span_tag::Value;
    let named = |source: &NamedSource| proto::NamedSource {
        name: source.name.to_string(),
        default_value: or_empty(source.default.as_ref()),
    };
    let value = match source {
        TagSource::Literal(text) => Value::Literal(text.to_string()),
        TagSource::Header(source) => Value::Header(named(source)),
        TagSource::Environment(source) => Value::Environment(named(source)),
    };
    proto::SpanTag { name: name.to_string(), value: Some(value) }
}

fn decode_log(wire: proto::AccessLog) -> Result<AccessLog, DecodeError> {
    let any_of = each("any_of", wire.any_of, |tests| each("all_of", tests.all_of, decode_test))?;
    Ok(AccessLog {
        encoding: match known("encoding", wire.encoding)? {
            proto::LogEncoding::Text => LogEncoding::Text,
            proto::LogEncoding::Json => LogEncoding::Json,
        },
        filter: LogFilter { any_of },
    })
}

fn encode_log(log: &AccessLog) -> proto::AccessLog {
    let encoding = match log.encoding {
        LogEncoding::Text => proto::LogEncoding::Text,
        LogEncoding::Json => proto::LogEncoding::Json,
    };
    let tests = |tests: &Vec<CodeTest>| proto::CodeTests { all_of: tests.iter().map(encode_test).collect() };
    proto::AccessLog { encoding: encoding.into(), any_of: log.filter.any_of.iter().map(tests).collect() }
}

fn decode_test(wire: proto::CodeTest) -> Result<CodeTest, DecodeError> {
    let code = u16::try_from(wire.code)
        .map_err(|_| DecodeError::new(format!("{} is not a status", wire.code)).within("code"))?;
    let comparison = match known("comparison", wire.comparison)? {
        proto::Comparison::Equal => Comparison::Equal,
        proto::Comparison::NotEqual => Comparison::NotEqual,
        proto::Comparison::Less => Comparison::Less,
        proto::Comparison::AtMost => Comparison::AtMost,
        proto::Comparison::Greater => Comparison::Greater,
        proto::Comparison::AtLeast => Comparison::AtLeast,
    };
    Ok(CodeTest { comparison, code })
}

fn encode_test(test: &CodeTest) -> proto::CodeTest {
    let comparison = match test.comparison {
        Comparison::Equal => proto::Comparison::Equal,
        Comparison::NotEqual => proto::Comparison::NotEqual,
        Comparison::Less => proto::Comparison::Less,
        Comparison::AtMost => proto::Comparison::AtMost,
        Comparison::Greater => proto::Comparison::Greater,
        Comparison::AtLeast => proto::Comparison::AtLeast,
    };
    proto::CodeTest { comparison: comparison.into(), code: test.code.into() }
}
