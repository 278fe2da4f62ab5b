//! Injected faults: a pause, an answer instead of the backend's, or both.

use std::time::Duration;

use http::StatusCode;
use mesh_model::{AbortError, Fault, PerMillion};
use mesh_telemetry::RequestFlags;
use rand::RngExt;

use super::reply::{Reply, grpc};

/// What the dice said for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Injected {
    pub(crate) delay: Option<Duration>,
    pub(crate) abort: Option<AbortError>,
}

/// Whether a share of all includes this one.
pub(crate) fn includes(share: PerMillion) -> bool {
    share >= PerMillion::ALL || (share.0 > 0 && rand::rng().random_range(0..PerMillion::ALL.0) < share.0)
}

/// Throws the dice; delay and abort have one each.
pub(crate) fn throw(fault: &Fault) -> Injected {
    Injected {
        delay: fault.delay.as_ref().filter(|delay| includes(delay.share)).map(|delay| delay.fixed),
        abort: fault.abort.as_ref().filter(|abort| includes(abort.share)).map(|abort| abort.error),
    }
}

impl Injected {
    /// What is told of it; of an abort, the reply tells.
    pub(crate) fn flags(self) -> RequestFlags {
        self.delay.map_or(RequestFlags::NONE, |_| RequestFlags::DELAY_INJECTED)
    }

    /// Waits and aborts as the dice said.
    pub(crate) async fn inject(self) -> Result<(), Reply> {
        if let Some(delay) = self.delay {
            tokio::time::sleep(delay).await;
        }
        self.abort.map_or(Ok(()), |error| Err(reply_for(error)))
    }
}

fn reply_for(error: AbortError) -> Reply {
    let (status, grpc_status) = match error {
        AbortError::Http(status) => (StatusCode::from_u16(status).ok(), None),
        AbortError::Grpc(status) => (Some(http_status_of(status)), Some(status)),
    };
    let reply = Reply::new(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), "fault_filter_abort")
        .flagged(RequestFlags::FAULT_INJECTED)
        .with_body("fault filter abort");
    match grpc_status {
        Some(status) => reply.with_grpc_status(status),
        None => reply,
    }
}

/// What a client that does not speak gRPC is told.
fn http_status_of(grpc_status: u32) -> StatusCode {
    match grpc_status {
        0 => StatusCode::OK,
        grpc::PERMISSION_DENIED => StatusCode::FORBIDDEN,
        grpc::UNAUTHENTICATED => StatusCode::UNAUTHORIZED,
        grpc::DEADLINE_EXCEEDED => StatusCode::GATEWAY_TIMEOUT,
        grpc::RESOURCE_EXHAUSTED => StatusCode::TOO_MANY_REQUESTS,
        grpc::UNIMPLEMENTED => StatusCode::NOT_IMPLEMENTED,
        grpc::UNAVAILABLE => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use mesh_model::{Abort, Delay};
    use tokio::time::Instant;

    use super::*;

    fn abort(error: AbortError, share: u32) -> Fault {
        Fault { delay: None, abort: Some(Abort { error, share: PerMillion(share) }) }
    }

    #[tokio::test]
    async fn res_01_abort_with_a_status() {
        let reply = throw(&abort(AbortError::Http(418), 1_000_000)).inject().await.unwrap_err();
        assert_eq!((reply.status.as_u16(), reply.flags), (418, RequestFlags::FAULT_INJECTED));
    }

    #[tokio::test]
    async fn res_02_abort_with_a_grpc_status() {
        let injected = throw(&abort(AbortError::Grpc(grpc::UNAVAILABLE), 1_000_000));
        let response = injected.inject().await.unwrap_err().into_response(true);
        assert_eq!(
            (response.status().as_u16(), &response.headers()["grpc-status"]),
            (200, &"14".parse().unwrap())
        );
        let response = injected.inject().await.unwrap_err().into_response(false);
        assert_eq!(response.status().as_u16(), 503);
    }

    #[tokio::test(start_paused = true)]
    async fn res_22_a_delay_is_as_long_as_it_says() {
        let delay = Delay { fixed: Duration::from_secs(7), share: PerMillion::ALL };
        let start = Instant::now();
        throw(&Fault { delay: Some(delay), abort: None }).inject().await.unwrap();
        assert_eq!(start.elapsed(), Duration::from_secs(7));
    }

    #[test]
    fn res_22_shares_come_out_as_asked() {
        let hits = |share: u32| (0..100_000).filter(|_| includes(PerMillion(share))).count();
        assert_eq!((hits(0), hits(1_000_000)), (0, 100_000));
        // Six standard deviations around 25,000 of 100,000.
        let quarter = hits(250_000);
        assert!((24_178..=25_822).contains(&quarter), "{quarter}");
    }
}
