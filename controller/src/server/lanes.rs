//! Lanes: connections that were opened together, say because a controller restarted, grow old at different times.
//!
//! A server gives all its connections one age, and proxies that all come back at once are a load that the first
//! minutes after a restart have already. So there are several servers, each with an age of its own, and the
//! connections are dealt out to them. Discovery streams end by themselves before that, at random times of their own
//! (`ServerSettings::max_stream_age`); spread here are the connections of clients that open their next stream on
//! the old connection.

use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use tokio::sync::mpsc;

/// How many there are.
const LANES: u32 = 16;
/// No connection that is used is ended earlier (wire.md §5.2).
const AGE: Duration = Duration::from_mins(30);
/// Within how much more time all that are as old are ended.
const SPREAD: Duration = Duration::from_mins(5);
/// Connections that wait for one lane.
const QUEUE: usize = 16;

/// How old connections get in each of the lanes.
pub(super) fn ages() -> impl Iterator<Item = Duration> {
    (0..LANES).map(|lane| AGE + SPREAD * lane / LANES)
}

/// Both ends of every lane.
#[allow(clippy::type_complexity, reason = "a pair of lists")]
pub(super) fn lanes<T>() -> (Vec<mpsc::Sender<T>>, Vec<impl Stream<Item = T>>) {
    let lane = |_| {
        let (sender, mut receiver) = mpsc::channel(QUEUE);
        (sender, stream::poll_fn(move |context| receiver.poll_recv(context)))
    };
    (0..LANES).map(lane).unzip()
}

/// Deals connections out until there are no more, or nobody takes them.
pub(super) async fn deal<T>(connections: impl Stream<Item = T>, lanes: Vec<mpsc::Sender<T>>) {
    let mut connections = std::pin::pin!(connections);
    for lane in lanes.iter().cycle() {
        let Some(connection) = connections.next().await else { return };
        if lane.send(connection).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_spread_evenly() {
        let ages: Vec<_> = ages().collect();
        assert_eq!((ages.len(), ages.first()), (16, Some(&AGE)));
        let gaps: Vec<_> = ages.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|gap| *gap == gaps[0] && !gap.is_zero()), "{gaps:?}");
        assert!(ages.last() < Some(&(AGE + SPREAD)));
    }

    #[tokio::test]
    async fn a_thousand_connections_are_shared_out_evenly() {
        let (senders, lanes) = lanes();
        let counting = lanes.into_iter().map(StreamExt::count).collect::<stream::FuturesUnordered<_>>();
        let (counts, ()) = tokio::join!(counting.collect::<Vec<_>>(), deal(stream::iter(0..1000), senders));
        assert_eq!(counts.iter().sum::<usize>(), 1000);
        assert!(counts.iter().all(|count| (62..=63).contains(count)), "{counts:?}");
    }
}
