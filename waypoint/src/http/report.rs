//! What is told of a request, gathered on its way and told when its response has ended.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, StatusCode};
use mesh_model::AccessLog;
use mesh_state::Endpoint;
use mesh_telemetry::{RequestDetails, RequestEnd, RequestFlags, RequestReport, ServiceRef};

use super::normalise::Kind;
use super::reply::{Reply, grpc};
use crate::balance::{OnItsWay, Outcome, party_of};
use crate::config::RequestLog;
use crate::reporting::Reporting;
use crate::tunnel::Tunnel;

/// One request and its response. Dropped before there is a status, the client went away.
pub(crate) struct Exchange {
    /// Gone once it has been told.
    report: Option<RequestReport>,
    end: RequestEnd,
    received: Arc<AtomicU64>,
    /// The endpoint is busy with it until the response has ended.
    on_its_way: Option<OnItsWay>,
}

impl Exchange {
    /// A request begins, of which so much is told. Where it is traced, its headers are changed to say so.
    pub(crate) fn begin(
        tunnel: &Tunnel,
        head: &mut Parts,
        kind: Kind,
        reporting: Option<&Reporting>,
    ) -> Exchange {
        let service = tunnel.plan.service().map(|service| ServiceRef { key: service.key.clone() });
        let mut report =
            RequestReport::open(&tunnel.worker.http_metrics, &tunnel.request_source, service, kind.grpc);
        let log = match tunnel.worker.settings.access_log {
            RequestLog::Never => None,
            RequestLog::Always(encoding) => Some(Arc::new(AccessLog { encoding, ..AccessLog::default() })),
            RequestLog::AsConfigured => reporting.and_then(|it| it.access_log.clone()),
        };
        let changes = reporting.and_then(|it| it.metrics.clone());
        let tracer = reporting.and_then(|it| it.tracer.as_ref());
        let span = tracer.and_then(|tracer| tracer.begin(tunnel, &mut head.headers));
        if log.is_some() || changes.is_some() || span.is_some() {
            report.describe(details_of(tunnel, head));
        }
        log.into_iter().for_each(|log| report.log_as(log));
        changes.into_iter().for_each(|changes| report.change_metrics(changes, &head.headers));
        span.into_iter().for_each(|span| report.trace_as(span));
        let (end, received) = (RequestEnd::default(), Arc::default());
        Exchange { report: Some(report), end, received, on_its_way: None }
    }

    /// Counts the bytes of the request's body.
    pub(crate) fn received(&self) -> Arc<AtomicU64> {
        self.received.clone()
    }

    pub(crate) fn flag(&mut self, flags: RequestFlags) {
        self.end.flags.insert(flags);
    }

    /// A rule takes it.
    pub(crate) fn routed(&mut self, rule: &Arc<str>) {
        self.tell(|details| details.route_name = Some(rule.clone()));
    }

    /// An endpoint gets it.
    pub(crate) fn sent_to(
        &mut self,
        endpoint: &Endpoint,
        on_its_way: OnItsWay,
        cluster: impl FnOnce() -> String,
    ) {
        self.on_its_way = Some(on_its_way);
        if let Some(report) = &mut self.report {
            report.set_destination(&party_of(endpoint));
        }
        let address: SocketAddr = endpoint.address;
        self.tell(|details| {
            details.upstream_host = Some(address);
            details.upstream_cluster = Some(cluster());
        });
    }

    /// What has become of it at the endpoint, as far as that tells how the endpoint is.
    pub(crate) fn heard(&mut self, outcome: Option<Outcome>) {
        if let Some(on_its_way) = &self.on_its_way {
            on_its_way.tell(outcome);
        }
    }

    /// The endpoint has nothing to do with it any more.
    pub(crate) fn let_go(&mut self) {
        self.on_its_way = None;
    }

    /// An endpoint did not answer.
    pub(crate) fn failed(&mut self, reason: String) {
        self.tell(|details| details.upstream_transport_failure = Some(reason));
    }

    /// The response has a head. `upstream_time` if it is a backend's.
    pub(crate) fn answered(
        &mut self,
        status: StatusCode,
        headers: &HeaderMap,
        upstream_time: Option<Duration>,
    ) {
        self.end.code = status.as_u16();
        self.read_grpc_status(headers);
        self.tell(|details| {
            details.upstream_service_time = upstream_time;
            details.response_code_details.get_or_insert(Cow::Borrowed("via_upstream"));
        });
    }

    /// The response is made here.
    pub(crate) fn replied(&mut self, reply: &Reply) {
        self.flag(reply.flags);
        let reason = reply.details.clone();
        self.tell(|details| details.response_code_details = Some(reason));
    }

    /// The status of gRPC stands in the headers or in the trailers.
    pub(crate) fn read_grpc_status(&mut self, headers: &HeaderMap) {
        self.end.grpc_status = grpc::status_in(headers).or(self.end.grpc_status);
    }

    pub(crate) fn count_sent(&mut self, bytes: usize) {
        self.end.sent += bytes as u64;
    }

    fn tell(&mut self, tell: impl FnOnce(&mut RequestDetails)) {
        if let Some(details) = self.report.as_mut().and_then(RequestReport::details) {
            tell(details);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.end.received = self.received.load(Ordering::Relaxed);
        // Without a status nothing was answered: the report itself says that the client went away.
        if let Some(report) = self.report.take().filter(|_| self.end.code != 0) {
            report.close(self.end);
        }
    }
}

fn details_of(tunnel: &Tunnel, head: &Parts) -> RequestDetails {
    RequestDetails {
        downstream_remote_address: Some(tunnel.downstream),
        downstream_local_address: Some(tunnel.target),
        ..RequestDetails::of(head)
    }
}
