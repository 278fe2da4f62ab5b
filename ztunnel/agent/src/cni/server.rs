//! The socket of the plugins: a new pod is taken, or refused with the reason, in time
//! for the plugin's own deadline. Bounded in calls, sizes and time.

mod admission;

use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::message::NewPod;
use super::{LARGEST_MESSAGE, SOCKET};
use crate::metrics::Metrics;

pub(crate) use admission::Admission;

/// A node starts few pods at once; further plugins wait to be accepted.
const MOST_CALLS: usize = 64;
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);
/// Of one call; the plugin waits 5 s.
const DEADLINE: Duration = Duration::from_millis(4500);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The socket of the plugins.
pub(crate) struct Server {
    listener: UnixListener,
    path: PathBuf,
    admission: Admission,
    metrics: Metrics,
}

impl Server {
    /// Listens below `run_dir` in place of whoever did before, or was left from before a restart.
    pub(crate) fn listen(run_dir: &Path, admission: Admission, metrics: Metrics) -> io::Result<Self> {
        let path = run_dir.join(SOCKET);
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let open = || {
            fs::create_dir_all(run_dir)?;
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let listener = UnixListener::bind(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            Ok(listener)
        };
        let listener = open().map_err(named)?;
        Ok(Self { listener, path, admission, metrics })
    }

    /// Answers plugins, without an end.
    pub(crate) async fn serve(self) {
        let slots = Arc::new(Semaphore::new(MOST_CALLS));
        let shared = Arc::new((self.admission, self.metrics));
        loop {
            // The semaphore is never closed, so there is always a slot some day.
            let slot = slots.clone().acquire_owned().await;
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let shared = shared.clone();
                    tokio::spawn(async move {
                        serve_connection(stream, shared).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    warn!("{}: accepting a plugin: {error}", self.path.display());
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

type Shared = Arc<(Admission, Metrics)>;

async fn serve_connection(stream: UnixStream, shared: Shared) {
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(respond(request, &shared).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // A plugin that has gone wants no answer.
    let _ = timeout(HEAD_TIMEOUT + 2 * DEADLINE, connection).await;
}

async fn respond(request: Request<Incoming>, shared: &Shared) -> Response<Full<Bytes>> {
    if request.uri().path() != "/cmdadd" {
        return answer(StatusCode::NOT_FOUND, "not found\n".to_owned());
    }
    if request.method() != Method::POST {
        return answer(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n".to_owned());
    }
    let body = timeout(HEAD_TIMEOUT, Limited::new(request.into_body(), LARGEST_MESSAGE).collect()).await;
    let Ok(Ok(body)) = body else {
        return answer(StatusCode::BAD_REQUEST, "the body is too large or did not arrive\n".to_owned());
    };
    let pod: NewPod = match serde_json::from_slice(&body.to_bytes()) {
        Ok(pod) => pod,
        Err(error) => return answer(StatusCode::BAD_REQUEST, format!("no description of a pod: {error}\n")),
    };
    let (admission, metrics) = &**shared;
    match admission.admit(&pod, DEADLINE).await {
        Ok(verdict) => {
            metrics.added(verdict.name());
            info!("new pod {}/{}: {verdict}", pod.pod_namespace, pod.pod_name);
            answer(StatusCode::OK, String::new())
        }
        Err(refusal) => {
            metrics.added("refused");
            warn!("new pod {}/{}: {refusal}", pod.pod_namespace, pod.pod_name);
            answer(StatusCode::SERVICE_UNAVAILABLE, format!("{refusal}\n"))
        }
    }
}

fn answer(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
}
