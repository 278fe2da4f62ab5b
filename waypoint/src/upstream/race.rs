//! One connection to whichever of a host's addresses answers first (EG-19, RFC 8305): the next address is tried when
//! the one before has failed, or has been silent for a moment.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use mesh_hbone::DialError;

/// What an address has before the next one joins in.
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to the first of the addresses that answers; the error is that of the last one.
pub(super) async fn connect_to_any<T, F: Future<Output = Result<T, DialError>>>(
    first: SocketAddr,
    others: &[SocketAddr],
    connect: impl Fn(SocketAddr) -> F,
) -> Result<T, DialError> {
    let mut waiting = others.iter();
    let mut under_way = FuturesUnordered::from_iter([connect(first)]);
    loop {
        let failed = tokio::select! {
            Some(ended) = under_way.next() => match ended {
                Ok(connected) => return Ok(connected),
                Err(error) => Some(error),
            },
            () = tokio::time::sleep(HEAD_START), if waiting.len() > 0 => None,
        };
        match (waiting.next(), failed) {
            (Some(next), _) => under_way.push(connect(*next)),
            (None, Some(error)) if under_way.is_empty() => return Err(error),
            (None, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tokio::time::Instant;

    use super::*;

    fn address(number: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, number], 443))
    }

    /// Which address is taken, when, and which were tried; by what each does after so many milliseconds.
    async fn race(outcomes: &[(u64, bool)]) -> (Result<SocketAddr, SocketAddr>, u128, Vec<SocketAddr>) {
        let begin = Instant::now();
        let tried = Mutex::new(Vec::new());
        let all: Vec<_> = (0..outcomes.len()).map(|at| address(at as u8)).collect();
        let connect = |address: SocketAddr| {
            tried.lock().unwrap().push(address);
            let at = all.iter().position(|it| *it == address).unwrap();
            let (after, works) = outcomes[at];
            async move {
                tokio::time::sleep(Duration::from_millis(after)).await;
                let source = Arc::new(io::Error::other("refused"));
                if works { Ok(address) } else { Err(DialError::Connect { address, source }) }
            }
        };
        let result = connect_to_any(all[0], &all[1..], connect).await;
        let result = result.map_err(|error| match error {
            DialError::Connect { address, .. } => address,
            other => panic!("{other}"),
        });
        (result, begin.elapsed().as_millis(), tried.into_inner().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn eg_19_the_first_address_that_answers_is_used() {
        let quick = race(&[(10, true), (1, true)]).await;
        assert_eq!(quick, (Ok(address(0)), 10, vec![address(0)]), "the second one is not bothered");
        let silent = race(&[(60_000, false), (20, true), (1, true)]).await;
        assert_eq!(silent, (Ok(address(1)), 270, vec![address(0), address(1)]));
        let refused = race(&[(5, false), (5, false), (5, true)]).await;
        assert_eq!(refused, (Ok(address(2)), 15, vec![address(0), address(1), address(2)]));
        let late = race(&[(300, true), (60_000, true)]).await;
        assert_eq!(late.0, Ok(address(0)), "who is late can still win");
        let (nobody, ..) = race(&[(700, false), (1, false)]).await;
        assert_eq!(nobody, Err(address(0)), "the last error counts");
    }
}
