//! What an error of an HTTP connection says about the request that was on it.

use std::error::Error;

use h2::Reason;

use crate::http::Failure;

/// The failure behind an error that came after the request was handed over.
/// `kept`: the connection had been kept from earlier and the method changes nothing.
pub(super) fn failure_of(error: &hyper::Error, kept: bool) -> Failure {
    let mut source: Option<&(dyn Error + 'static)> = error.source();
    while let Some(cause) = source {
        let refused = |h2: &h2::Error| {
            h2.reason() == Some(Reason::REFUSED_STREAM) || (h2.is_go_away() && h2.is_remote())
        };
        if cause.downcast_ref().is_some_and(refused) {
            return Failure::Refused;
        }
        source = cause.source();
    }
    // It may have been closed before the request was on its way; that cannot be told from
    // a server that crashed on it, so only requests that change nothing get the benefit.
    let closed = error.is_incomplete_message() || error.is_canceled() || error.is_closed();
    if kept && closed { Failure::Stale } else { Failure::Reset }
}

/// An error and its causes in one line.
pub(super) fn reason_of(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
