//! Calls an echo makes onward before it answers: services so form a graph of calls.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::client::{self, Call};
use super::url::Url;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Headers of a request that its onward calls carry too, as applications in a mesh have to:
/// the ids that join logs and traces, and what routes match on.
const CARRIED: [&str; 6] = ["x-request-id", "traceparent", "tracestate", "end-user", "cookie", "x-user"];

/// Calls all, at once, and tells of each.
pub(super) async fn call_all(urls: &[Url], headers: &HeaderMap) -> Vec<Value> {
    let mut carried = HeaderMap::new();
    for name in CARRIED {
        for value in headers.get_all(name) {
            carried.append(name, value.clone());
        }
    }
    let calls = urls.iter().map(|url| {
        let call = Call {
            url: url.clone(),
            method: Method::GET,
            headers: carried.clone(),
            body: Bytes::new(),
            http2: false,
            timeout: TIMEOUT,
            server_first: false,
        };
        tokio::spawn(async move { report(&call).await })
    });
    let mut reports = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        reports.push(call.await.unwrap_or_else(|error| json!({ "error": error.to_string() })));
    }
    reports
}

async fn report(call: &Call) -> Value {
    let url = format!("{}{}", call.url.authority, call.url.path);
    match client::fetch(call).await {
        Ok(answer) => {
            let body = serde_json::from_slice(&answer.body)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&answer.body).into_owned()));
            json!({
                "url": url,
                "status": answer.status.map(|status| status.as_u16()),
                "grpcStatus": answer.grpc_status,
                "answer": body,
            })
        }
        Err(error) => json!({ "url": url, "error": error.to_string() }),
    }
}
