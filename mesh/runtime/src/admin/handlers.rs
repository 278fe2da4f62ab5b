//! The handlers every program shares: readiness, log levels, quitting.

use http::{Method, StatusCode};

use super::{Request, Response, Router, text};
use crate::logging::LevelHandle;
use crate::readiness::Readiness;
use crate::shutdown::ShutdownTrigger;

const LOGGING_USAGE: &str = "\
usage: POST /logging                                 (to show the levels)
usage: POST /logging?level=<level>                   (to change all levels)
usage: POST /logging?level=<scope>=<level>,…         (to change the levels of scopes)
usage: POST /logging?reset                           (back to the levels at the start)
levels: off, error, warn, info, debug, trace
";

/// Answers `GET /healthz/ready` (telemetry.md §7.1).
pub fn readiness_router(readiness: Readiness) -> Router {
    Router::new().route(Method::GET, "/healthz/ready", move |_| match readiness.pending() {
        pending if pending.is_empty() => text(StatusCode::OK, "ready\n"),
        pending => {
            let body = format!("not ready, pending: {}\n", pending.join(", "));
            text(StatusCode::INTERNAL_SERVER_ERROR, body)
        }
    })
}

/// Shows and changes log levels; for `POST /logging` (AD-03).
pub fn logging_handler(levels: LevelHandle) -> impl Fn(&Request) -> Response {
    move |request| {
        let (mut reset, mut change) = (false, None);
        for pair in request.uri().query().unwrap_or("").split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=').unwrap_or((pair, "")) {
                ("reset", _) => reset = true,
                ("level", value) => change = Some(decoded(value)),
                (other, _) => return bad_request(&format!("unknown parameter {other:?}")),
            }
        }
        if reset {
            levels.reset();
        }
        if let Some(Err(error)) = change.map(|change| levels.set(&change)) {
            return bad_request(&error.to_string());
        }
        text(StatusCode::OK, format!("current log level is {}\n", levels.current()))
    }
}

/// Ends the program; for `POST /quitquitquit`.
pub fn quit_handler(shutdown: ShutdownTrigger) -> impl Fn(&Request) -> Response {
    move |_| {
        shutdown.request();
        text(StatusCode::OK, "shutdown now\n")
    }
}

fn bad_request(problem: &str) -> Response {
    text(StatusCode::BAD_REQUEST, format!("{problem}\n{LOGGING_USAGE}"))
}

/// The three characters a level can hold that clients like to encode.
fn decoded(value: &str) -> String {
    let mut plain = value.to_owned();
    for (encoded, character) in
        [("%3D", "="), ("%3d", "="), ("%2C", ","), ("%2c", ","), ("%3A", ":"), ("%3a", ":")]
    {
        plain = plain.replace(encoded, character);
    }
    plain
}
