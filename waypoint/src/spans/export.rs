//! Sends spans that have ended to whoever collects them: in batches, from one task per worker. Requests never wait for
//! it; what does not fit into its queue, or is not taken, is dropped and counted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::{BodyExt, Limited};
use mesh_model::{TraceCollector, TraceProtocol};
use mesh_runtime::drain::DrainWatcher;
use mesh_state::Reader;
use mesh_telemetry::{DropReason, Span, SpanMetrics};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Origin, otlp, zipkin};
use crate::balance::{Lineups, Outcome, choose_for_me};
use crate::http::version_for;
use crate::own_request;
use crate::routes::Destination;
use crate::upstream::{Answer, Client, Hop, HttpPool, SendError, TermsCache, Version};
use crate::worker::Me;

/// Spans that may wait; more are dropped.
const MOST_WAITING: usize = 2048;
/// Spans that are sent together.
const MOST_TOGETHER: usize = 512;
/// How long a span waits for others to go with.
const PATIENCE: Duration = Duration::from_secs(1);
/// More of an answer is not read.
const LARGEST_ANSWER: usize = 64 * 1024;
/// Between two lines in the log about collectors that do not take spans.
const QUIET: Duration = Duration::from_secs(60);
const OTLP_METHOD: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

struct Ended {
    collector: Arc<TraceCollector>,
    span: Span,
}

/// Where the requests of a worker leave their spans.
#[derive(Clone)]
pub(crate) struct SpanQueue {
    sender: mpsc::Sender<Ended>,
    origin: Arc<Origin>,
    metrics: Arc<SpanMetrics>,
}

impl SpanQueue {
    pub(crate) fn put(&self, collector: Arc<TraceCollector>, span: Span) {
        if self.sender.try_send(Ended { collector, span }).is_err() {
            self.metrics.dropped(1, DropReason::QueueFull);
        }
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }
}

/// Why a collector did not take a batch.
#[derive(Debug, Error)]
enum NotTaken {
    #[error("{0} has no endpoint that could be reached")]
    NoEndpoint(String),
    #[error("it cannot be told: its name is no authority")]
    NoAuthority,
    #[error("it did not answer within {0:?}")]
    TooSlow(Duration),
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error("it answers with HTTP status {0}")]
    Status(StatusCode),
    #[error("it answers with gRPC status {0}")]
    GrpcStatus(String),
}

/// How collectors are reached: like every other service.
pub(crate) struct Reach {
    pub(crate) me: Me,
    pub(crate) reader: Reader,
    pub(crate) pool: HttpPool,
    pub(crate) lineups: Lineups,
    pub(crate) terms: TermsCache,
}

/// Sends what is in a queue.
pub(crate) struct Exporter {
    reach: Reach,
    origin: Arc<Origin>,
    metrics: Arc<SpanMetrics>,
    /// When the log was last told of a failure, and how many spans were lost since.
    complained: Option<Instant>,
    lost: usize,
}

impl Exporter {
    /// Starts on this runtime. It ends when nobody is left who could put something into the queue and all is sent, or when
    /// the drain is forced.
    pub(crate) fn start(reach: Reach, metrics: Arc<SpanMetrics>, drain: DrainWatcher) -> SpanQueue {
        let (sender, ended) = mpsc::channel(MOST_WAITING);
        let origin = Arc::new(Origin::new(&reach.me));
        let mut exporter =
            Exporter { reach, origin: origin.clone(), metrics: metrics.clone(), complained: None, lost: 0 };
        tokio::spawn(async move {
            tokio::select! {
                () = exporter.run(ended) => {}
                () = drain.forced() => {}
            }
        });
        SpanQueue { sender, origin, metrics }
    }

    async fn run(&mut self, mut ended: mpsc::Receiver<Ended>) {
        let mut waiting = Vec::with_capacity(MOST_TOGETHER);
        while ended.recv_many(&mut waiting, MOST_TOGETHER).await > 0 {
            let patience = sleep_until(Instant::now() + PATIENCE);
            tokio::pin!(patience);
            while waiting.len() < MOST_TOGETHER {
                let room = MOST_TOGETHER - waiting.len();
                tokio::select! {
                    more = ended.recv_many(&mut waiting, room) => if more == 0 { break },
                    () = patience.as_mut() => break,
                }
            }
            self.send_all(std::mem::take(&mut waiting)).await;
        }
    }

    async fn send_all(&mut self, ended: Vec<Ended>) {
        let mut batches: Vec<(Arc<TraceCollector>, Vec<Span>)> = Vec::new();
        for Ended { collector, span } in ended {
            match batches.iter_mut().find(|(known, _)| *known == collector) {
                Some((_, spans)) => spans.push(span),
                None => batches.push((collector, vec![span])),
            }
        }
        for (collector, spans) in batches {
            let limit = collector.timeout;
            let sent = timeout(limit, self.send(&collector, &spans)).await;
            match sent.unwrap_or(Err(NotTaken::TooSlow(limit))) {
                Ok(()) => self.metrics.exported(spans.len()),
                Err(reason) => self.lose(&collector, spans.len(), &reason),
            }
        }
    }

    fn lose(&mut self, collector: &TraceCollector, spans: usize, reason: &NotTaken) {
        self.metrics.dropped(spans, DropReason::Collector);
        self.lost += spans;
        if self.complained.is_none_or(|at| at.elapsed() >= QUIET) {
            let (collector, lost) = (&collector.service, self.lost);
            tracing::warn!(%collector, %reason, lost, "spans were not taken; is the collector there?");
            self.complained = Some(Instant::now());
            self.lost = 0;
        }
    }

    async fn send(&self, collector: &TraceCollector, spans: &[Span]) -> Result<(), NotTaken> {
        let Reach { me, reader, pool, lineups, terms } = &self.reach;
        let chosen = choose_for_me(lineups, reader, me, (&collector.service, collector.port));
        let (chosen, on_its_way) =
            chosen.ok_or_else(|| NotTaken::NoEndpoint(collector.service.to_string()))?;
        let destination =
            Destination::Service { service: collector.service.clone(), port: collector.port, subset: None };
        let terms = terms.find(reader, &destination);
        let wanted = terms.as_ref().map(|terms| terms.version).unwrap_or_default();
        let by_http = version_for((wanted, chosen.app_protocol), http::Version::HTTP_11, false, false);
        let host = &*collector.service.hostname;
        let post = |path, kind, body: Vec<u8>| {
            own_request::post(by_http, host, path, HeaderValue::from_static(kind), body.into())
        };
        let (version, request) = match &collector.protocol {
            TraceProtocol::OtlpGrpc => {
                let message = otlp::request(&self.origin, spans);
                (Version::Http2, own_request::grpc(host, OTLP_METHOD, &message))
            }
            TraceProtocol::OtlpHttp { path } => {
                let body = otlp::encode(&self.origin, spans);
                (by_http, post(path, "application/x-protobuf", body))
            }
            TraceProtocol::Zipkin { path, .. } => {
                (by_http, post(path, "application/json", zipkin::encode(&self.origin, me.ip, spans)))
            }
        };
        let mut request = request.ok_or(NotTaken::NoAuthority)?;
        request.headers_mut().extend(own_headers(collector));
        let address = SocketAddr::new(me.ip, 0);
        let client = Client { address, target: chosen.endpoint.address };
        let (terms, open) = (terms.as_ref(), me.sandwiched);
        let hop = Hop { endpoint: &chosen.endpoint, terms, client, authority: None, open };
        let sent = pool.send(&hop, version, request).await;
        on_its_way.tell(Outcome::of(&sent));
        let (status, headers, trailers) = read(sent).await?;
        if !status.is_success() {
            return Err(NotTaken::Status(status));
        }
        match collector.protocol {
            TraceProtocol::OtlpGrpc => check_grpc(&headers, trailers.as_ref()),
            TraceProtocol::OtlpHttp { .. } | TraceProtocol::Zipkin { .. } => Ok(()),
        }
    }
}

/// An answer's head and trailers; what is between them means nothing here.
async fn read(
    sent: Result<Answer, SendError>,
) -> Result<(StatusCode, HeaderMap, Option<HeaderMap>), NotTaken> {
    // The lease is held until all has been read: only then the connection can be used again.
    let Answer { response, lease: _lease } = sent.map_err(|error| NotTaken::Unreachable(error.reason))?;
    let (head, body) = response.into_parts();
    let read = Limited::new(body, LARGEST_ANSWER).collect().await;
    let read = read.map_err(|error| NotTaken::Unreachable(error.to_string()))?;
    Ok((head.status, head.headers, read.trailers().cloned()))
}

fn own_headers(collector: &TraceCollector) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let parsed = |(name, value): &(Arc<str>, Arc<str>)| {
        let name = HeaderName::try_from(&**name).ok().filter(|name| !crate::http::is_framing(name));
        name.zip(HeaderValue::from_str(value).ok())
    };
    collector.headers.iter().filter_map(parsed)
}

fn check_grpc(headers: &HeaderMap, trailers: Option<&HeaderMap>) -> Result<(), NotTaken> {
    let status = trailers.and_then(|it| it.get("grpc-status")).or_else(|| headers.get("grpc-status"));
    match status.map(HeaderValue::as_bytes) {
        Some(b"0") => Ok(()),
        Some(status) => Err(NotTaken::GrpcStatus(String::from_utf8_lossy(status).into_owned())),
        None => Err(NotTaken::GrpcStatus("none".to_owned())),
    }
}
