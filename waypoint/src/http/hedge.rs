//! Several requests for one answer: where the first endpoint is slow another one is asked too, and the first answer that
//! can be used is passed on. The others are broken off.

use std::net::SocketAddr;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::Method;
use mesh_telemetry::HedgeOutcome;
use tokio::time::{Instant, sleep, sleep_until};

use super::attempts::{Course, Outgoing, attempt, cluster_name};
use super::report::Exchange;
use crate::balance::{Caller, Chosen, OnItsWay, Outcome, choose};
use crate::hedging::Hedging;
use crate::routes::Rule;
use crate::upstream::{Answer, Counted, SendError};

/// Whether a request may be sent twice: it only reads, it has no body, it opens no tunnel, and no session binds it to
/// one endpoint.
pub(super) fn may_hedge(rule: &Rule, outgoing: &Outgoing) -> bool {
    let reads = matches!(outgoing.head.method, Method::GET | Method::HEAD | Method::OPTIONS);
    reads && outgoing.body.is_empty() && !outgoing.kind.websocket && rule.sessions.is_none()
}

/// A request beside the first.
struct Hedge {
    on_its_way: OnItsWay,
    failed: bool,
    _counted: Counted,
}

/// What became of one of the requests.
struct Ended {
    /// 0: the first.
    number: usize,
    chosen: Chosen,
    result: Result<Answer, SendError>,
}

/// The requests that belong together, but for those that bring the answers.
struct Race<'r> {
    course: Course<'r>,
    hedging: &'r Hedging,
    /// Those beside the first, in order.
    hedges: Vec<Hedge>,
    first_failed: bool,
}

/// Sends a request to an endpoint that has been chosen, and to others as they are needed; the answer comes with the
/// endpoint that gave it. `tried` gets the others' addresses, `exchange` has the first and, in the end, that endpoint.
pub(super) async fn race(
    course: Course<'_>,
    hedging: &Hedging,
    first: Chosen,
    caller: &mut Caller<'_>,
    tried: &mut Vec<SocketAddr>,
    exchange: &mut Exchange,
) -> (Chosen, Result<Answer, SendError>) {
    let mut race = Race { course, hedging, hedges: Vec::new(), first_failed: false };
    let send = async |number: usize, chosen: Chosen| {
        let result = attempt(course, &chosen, number_of_attempt(number)).await;
        Ended { number, chosen, result }
    };
    let mut under_way = FuturesUnordered::from_iter([send(0, first)]);
    let mut patience = std::pin::pin!(sleep(hedging.delay));
    let mut may_send = true;
    let mut end = std::pin::pin!(at(course.deadline));
    loop {
        tokio::select! {
            biased;
            Some(ended) = under_way.next() => {
                race.tell(exchange, &ended);
                if race.is_usable(&ended) || under_way.is_empty() {
                    return race.settle(exchange, ended);
                }
                race.fail(ended.number);
            }
            () = &mut patience, if may_send => {
                let next = race.start(caller, tried);
                may_send = next.is_some() && number_of_attempt(tried.len()) <= hedging.max_requests;
                if let Some(chosen) = next {
                    under_way.push(send(race.hedges.len(), chosen));
                    patience.as_mut().reset(Instant::now() + hedging.delay);
                }
            }
            () = &mut end => {
                // The first is told by whoever gives up at that moment.
                race.hedges.iter().for_each(|hedge| hedge.on_its_way.tell(Some(Outcome::TimedOut)));
                std::future::pending::<()>().await;
            }
        }
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Requests are counted from 0 here and from 1 where backends are told.
fn number_of_attempt(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX).saturating_add(1)
}

impl Race<'_> {
    /// Another endpoint to ask too; none where there is none, or too many are asked twice already.
    fn start(&mut self, caller: &mut Caller<'_>, tried: &mut Vec<SocketAddr>) -> Option<Chosen> {
        // Who has to be looked up first would keep the others waiting.
        let (chosen, on_its_way) =
            choose(self.course.tunnel, self.course.destination, caller, tried.as_slice()).ok()?;
        let address = chosen.endpoint.address;
        if tried.contains(&address) {
            return None;
        }
        let counted = self.hedging.enter_hedge().ok()?;
        tried.push(address);
        self.hedges.push(Hedge { on_its_way, failed: false, _counted: counted });
        Some(chosen)
    }

    fn tell(&self, exchange: &mut Exchange, ended: &Ended) {
        let outcome = Outcome::of(&ended.result);
        match self.hedge(ended.number) {
            Some(hedge) => hedge.on_its_way.tell(outcome),
            None => exchange.heard(outcome),
        }
    }

    fn hedge(&self, number: usize) -> Option<&Hedge> {
        self.hedges.get(number.checked_sub(1)?)
    }

    /// Whether it is worth no other attempt.
    fn is_usable(&self, ended: &Ended) -> bool {
        let policy = &self.course.rule.retry;
        ended
            .result
            .as_ref()
            .is_ok_and(|answer| !policy.wants_other_than(answer.response.status(), answer.response.headers()))
    }

    fn fail(&mut self, number: usize) {
        match number.checked_sub(1).and_then(|at| self.hedges.get_mut(at)) {
            Some(hedge) => hedge.failed = true,
            None => self.first_failed = true,
        }
    }

    /// The answer, and where it is from; what else is on its way is dropped with the race.
    fn settle(mut self, exchange: &mut Exchange, ended: Ended) -> (Chosen, Result<Answer, SendError>) {
        self.count(&ended);
        if let Some(at) = ended.number.checked_sub(1).filter(|at| *at < self.hedges.len()) {
            let Hedge { on_its_way, .. } = self.hedges.swap_remove(at);
            exchange.sent_to(&ended.chosen.endpoint, on_its_way, || cluster_name(self.course.destination));
        }
        (ended.chosen, ended.result)
    }

    /// Requests that stayed alone do not count.
    fn count(&self, ended: &Ended) {
        if self.hedges.is_empty() {
            return;
        }
        let metrics = &self.course.tunnel.worker.hedge_metrics;
        let failed = std::iter::once(self.first_failed).chain(self.hedges.iter().map(|hedge| hedge.failed));
        for (number, failed) in failed.enumerate() {
            let outcome = match number == ended.number {
                true if self.is_usable(ended) => HedgeOutcome::Won,
                false if !failed => HedgeOutcome::Cancelled,
                _ => HedgeOutcome::Failed,
            };
            metrics.ended(&self.hedging.service, number > 0, outcome);
        }
    }
}
