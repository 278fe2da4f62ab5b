//! `adit echo call`: calls a URL a number of times and prints one line per answer.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

use super::client::{self, Answer, Call, CallError};
use super::url::{Protocol, Url};
use crate::duration;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// http://host:port/path, grpc://host:port or tcp://host:port
    url: Url,
    /// How many calls, one after the other, each on a connection of its own
    #[arg(long, short = 'n', default_value_t = 1)]
    count: u32,
    /// A header to send, as name:value
    #[arg(long, short = 'H', value_name = "NAME:VALUE", value_parser = header)]
    header: Vec<(HeaderName, HeaderValue)>,
    #[arg(long, short = 'X', default_value = "GET")]
    method: Method,
    /// The body (for gRPC the message, for TCP the line)
    #[arg(long, short = 'd', default_value = "")]
    data: String,
    /// HTTP/2 with prior knowledge
    #[arg(long)]
    http2: bool,
    /// gRPC, as with a grpc:// URL
    #[arg(long)]
    grpc: bool,
    /// TCP: wait for a greeting before sending
    #[arg(long)]
    server_first: bool,
    /// Of one call
    #[arg(long, default_value = "15s", value_parser = duration::parse)]
    timeout: Duration,
    /// Between the starts of calls
    #[arg(long, default_value = "0s", value_parser = duration::parse)]
    interval: Duration,
    /// Print each answer as one line of JSON
    #[arg(long)]
    json: bool,
    /// Print the whole body of each answer
    #[arg(long, conflicts_with = "json")]
    body: bool,
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once(':').ok_or_else(|| anyhow!("{text:?} is not name:value"))?;
    Ok((name.trim().parse()?, value.trim().parse()?))
}

/// Succeeds if every call was answered, whatever the answers' status.
pub(super) async fn run(arguments: Arguments) -> Result<ExitCode> {
    let mut headers = HeaderMap::new();
    for (name, value) in arguments.header {
        headers.append(name, value);
    }
    let mut call = Call {
        url: arguments.url,
        method: arguments.method,
        headers,
        body: Bytes::from(arguments.data),
        http2: arguments.http2,
        timeout: arguments.timeout,
        server_first: arguments.server_first,
    };
    if arguments.grpc {
        call.url.protocol = Protocol::Grpc;
    }
    let mut answered = true;
    // A zero period is not allowed; a nanosecond is as good.
    let mut ticks = tokio::time::interval(arguments.interval.max(Duration::from_nanos(1)));
    for _ in 0..arguments.count {
        ticks.tick().await;
        let start = Instant::now();
        let result = client::fetch(&call).await;
        let millis = start.elapsed().as_secs_f64() * 1000.0;
        answered &= result.is_ok();
        let text = match arguments.json {
            true => as_json(&result, millis).to_string(),
            false => as_text(&result, millis, arguments.body),
        };
        writeln!(io::stdout(), "{text}")?;
    }
    Ok(if answered { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn as_json(result: &Result<Answer, CallError>, millis: f64) -> Value {
    match result {
        Ok(answer) => {
            let headers = answer.headers.iter().map(|(name, value)| {
                (name.to_string(), Value::String(String::from_utf8_lossy(value.as_bytes()).into_owned()))
            });
            json!({
                "status": answer.status.map(|status| status.as_u16()),
                "grpcStatus": answer.grpc_status,
                "millis": millis,
                "headers": headers.collect::<serde_json::Map<_, _>>(),
                "answer": serde_json::from_slice(&answer.body)
                    .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&answer.body).into_owned())),
            })
        }
        Err(error) => json!({ "error": error.to_string(), "millis": millis }),
    }
}

fn as_text(result: &Result<Answer, CallError>, millis: f64, body: bool) -> String {
    let answer = match result {
        Ok(answer) => answer,
        Err(error) => return format!("failed  {error}  {millis:.1} ms"),
    };
    let status = match (answer.status, answer.grpc_status) {
        (_, Some(grpc)) => format!("grpc-status {grpc}"),
        (Some(status), None) => status.as_u16().to_string(),
        (None, None) => "tcp".to_owned(),
    };
    let body = if body { format!("\n{}", String::from_utf8_lossy(&answer.body)) } else { String::new() };
    format!("{status}  {}  {millis:.1} ms{body}", summary(answer))
}

/// Who answered: an echo names itself; of others, the beginning of the body.
fn summary(answer: &Answer) -> String {
    if let Ok(Value::Object(echo)) = serde_json::from_slice(&answer.body)
        && let Some(service) = echo.get("service").and_then(Value::as_str)
    {
        let part = |name| echo.get(name).and_then(Value::as_str).unwrap_or_default();
        let parts = [service, part("version"), part("pod")];
        return parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    }
    String::from_utf8_lossy(&answer.body).lines().next().unwrap_or_default().chars().take(80).collect()
}
