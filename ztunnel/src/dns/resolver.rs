//! One question of a pod from the moment it is read to its reply.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{DNSClass, RecordType};
use mesh_model::{Uid, Workload};
use mesh_net::socket::CapturedUdp;
use mesh_state::Reader;
use mesh_telemetry::{DnsLabels, DnsMetrics, DnsProtocol, OnDemandMetrics};
use tokio::sync::Semaphore;
use tracing::{Level, event};

use super::answer::{Family, find_answer};
use super::forward::Forwarder;
use super::message::{Asked, encode, fit};
use super::names::{Domain, find_host};
use super::replies::Replies;
use super::upstream::Upstream;

/// Questions of one pod that wait for something; further ones fail at once. What the mesh
/// knows never waits.
const MOST_WAITING: usize = 128;
/// How long a question waits for the controller to say who the pod is: shorter than clients do.
const WORKLOAD_WAIT: Duration = Duration::from_secs(2);

/// What the pods of the node have in common.
#[derive(Clone)]
pub(crate) struct Setup {
    /// Where each pod's names are asked for; nowhere when nothing is captured.
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) servers: Arc<[SocketAddr]>,
    /// Without it nobody is told an IPv6 address (DNS-22).
    pub(crate) ipv6: bool,
    pub(crate) cluster_domain: Arc<str>,
    pub(crate) metrics: DnsMetrics,
    pub(crate) on_demand: OnDemandMetrics,
}

/// Answers one pod's questions.
pub(crate) struct Resolver {
    uid: Uid,
    reader: Reader,
    domain: Domain,
    ipv6: bool,
    metrics: DnsMetrics,
    pub(super) on_demand: OnDemandMetrics,
    pub(super) forwarder: Arc<Forwarder>,
    waiting: Semaphore,
    pub(super) connections: Arc<Semaphore>,
}

impl Resolver {
    pub(crate) fn new(setup: &Setup, uid: Uid, reader: Reader, upstream: Upstream) -> Arc<Self> {
        Arc::new(Resolver {
            uid,
            reader,
            domain: Domain::new(&setup.cluster_domain),
            ipv6: setup.ipv6,
            metrics: setup.metrics.clone(),
            on_demand: setup.on_demand.clone(),
            forwarder: Forwarder::new(upstream),
            waiting: Semaphore::new(MOST_WAITING),
            connections: Arc::new(Semaphore::new(super::tcp::MOST_CONNECTIONS)),
        })
    }

    /// Sends replies to what comes to `questions`, from inside the pod.
    pub(super) fn replies(&self, questions: &Arc<CapturedUdp>) -> Replies {
        let Upstream { namespace, sockets, .. } = self.forwarder.upstream();
        Replies::new(Arc::clone(questions), namespace.clone(), sockets.clone())
    }

    /// Replies to a question. Ready at once for whatever the mesh knows or the cache has.
    pub(super) async fn reply(self: Arc<Self>, asked: Asked, protocol: DnsProtocol) -> Vec<u8> {
        let longest = match protocol {
            DnsProtocol::udp => asked.longest_datagram(),
            DnsProtocol::tcp => u16::MAX.into(),
        };
        let Some(client) = self.fetch_client().await else {
            note(None, &asked, "the controller has not named the pod's workload", &[]);
            return encode(&asked.reply(ResponseCode::ServFail));
        };
        let labels = labels(&client, &asked, protocol);
        self.metrics.asked(&labels);
        if let Some(reply) = self.answer(&client, &asked, longest) {
            return reply;
        }
        self.forward(&client, &asked, &labels, longest).await
    }

    async fn fetch_client(&self) -> Option<Arc<Workload>> {
        let known = self.reader.snapshot().find_workload_by_uid(&self.uid);
        if known.is_some() {
            return known;
        }
        let _waiting = self.waiting.try_acquire().ok()?;
        Box::pin(self.reader.fetch_workload_by_uid(&self.uid, WORKLOAD_WAIT)).await
    }

    /// What the mesh says, if it is asked for addresses of a host it knows.
    fn answer(&self, client: &Workload, asked: &Asked, longest: usize) -> Option<Vec<u8>> {
        let question = asked.question();
        let family = match (question.query_class(), question.query_type()) {
            (DNSClass::IN, RecordType::A) => Family::V4,
            (DNSClass::IN, RecordType::AAAA) => Family::V6,
            _ => return None,
        };
        let host = find_host(question.name())?;
        let mut answer = find_answer(&self.reader.snapshot(), client, &self.domain, &host, family)?;
        if family == Family::V6 && !self.ipv6 {
            answer.addresses.clear();
            answer.alias_of = None;
        }
        note(Some(client), asked, "ok", &answer.addresses);
        Some(fit(asked.authoritative(answer.alias_of.as_deref(), &answer.addresses), longest))
    }

    /// What another server says.
    async fn forward(&self, client: &Workload, asked: &Asked, labels: &DnsLabels, longest: usize) -> Vec<u8> {
        let query = asked.onward();
        if let Some(known) = self.forwarder.find(&query) {
            return asked.forwarded(known, longest);
        }
        let began = Instant::now();
        let outcome = match self.waiting.try_acquire() {
            Ok(_waiting) => self.forwarder.ask(query).await.map_err(|error| error.to_string()),
            Err(_) => Err(format!("{MOST_WAITING} questions of the pod are waiting already")),
        };
        self.metrics.sent_on(labels, outcome.is_ok(), began.elapsed());
        note(Some(client), asked, outcome.as_ref().err().map_or("forwarded", String::as_str), &[]);
        match outcome {
            Ok(reply) => asked.forwarded(reply, longest),
            Err(_) => encode(&asked.reply(ResponseCode::ServFail)),
        }
    }
}

fn labels(client: &Workload, asked: &Asked, protocol: DnsProtocol) -> DnsLabels {
    DnsLabels {
        request_query_type: asked.question().query_type().into(),
        request_protocol: protocol,
        source_canonical_service: Arc::clone(&client.canonical_name),
        source_canonical_revision: Arc::clone(&client.canonical_revision),
    }
}

/// One line of the log of names.
fn note(client: Option<&Workload>, asked: &Asked, result: &str, addresses: &[IpAddr]) {
    event!(
        target: "dns",
        Level::DEBUG,
        src.workload = client.map(|client| &*client.name),
        src.namespace = client.map(|client| &*client.namespace),
        query = %asked.question().query_type(),
        domain = %asked.question().name(),
        result,
        endpoints = ?addresses,
        "name asked for"
    );
}
