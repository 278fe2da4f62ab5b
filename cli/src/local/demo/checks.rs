//! What the demonstration checks, in order; each does something real and says what it saw.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde_json::Value;

use super::access_log::wait_line;
use super::frames::Content;
use super::shop::{ALL_ON_V2, Called, DETAILS_POLICY, PAGE, REVIEWS, Shop, TILL, wait};
use super::sniffer::Sniffer;
use crate::local::get::ztunnel_dump;

/// One line of the demonstration.
pub(super) struct Check {
    pub(super) title: &'static str,
    pub(super) expected: &'static str,
    /// What was seen; as an error if it is not what was expected.
    pub(super) run: fn(&Shop) -> Result<String>,
}

#[rustfmt::skip]
pub(super) const CHECKS: [Check; 14] = [
    Check { title: "the shop works", expected: "200 from the page and from all it calls", run: page },
    Check { title: "mTLS from pod to pod", expected: "both identities in ztunnel's log", run: identities },
    Check { title: "on the wire between the nodes", expected: "TLS records only, the secret nowhere", run: wire },
    Check { title: "from outside the mesh", expected: "200 in plain text, and no identity in the log", run: outside },
    Check { title: "L4 denial", expected: "the page let in, reviews and the till shut out", run: denial },
    Check { title: "90/10 canary over 200 requests", expected: "v2 in 4 to 42 of them", run: canary },
    Check { title: "A/B by header end-user: jason", expected: "v2 in 20 of 20", run: header },
    Check { title: "injected fault", expected: "503, and the service not reached", run: abort },
    Check { title: "injected delay of 400 ms", expected: "200 after 400 ms or more", run: delay },
    Check { title: "retry", expected: "503 without, 200 at the second attempt with", run: retry },
    Check { title: "timeout of 500 ms on a service that takes 3 s", expected: "504 in time", run: timeout },
    Check { title: "mirror", expected: "each of 5 requests answered by ratings and copied to audit", run: mirror },
    Check { title: "live change of a manifest", expected: "effective in under a second", run: live_change },
    Check { title: "certificate rotation under load", expected: "new certificates, no request lost", run: rotation },
];

fn page(shop: &Shop) -> Result<String> {
    let called = shop.call_once(PAGE, &["http://productpage:9080/"])?;
    ensure!(called.status == 200, "{}", called.outcome());
    let calls = called.answer["calls"].as_array().cloned().unwrap_or_default();
    let ok = calls.iter().filter(|call| call["status"] == 200).count();
    let names: Vec<_> = calls.iter().filter_map(|call| call["answer"]["service"].as_str()).collect();
    ensure!(ok == 2 && calls.len() == 2, "{ok} of {} calls answered", calls.len());
    Ok(format!("200, with {}", names.join(" and ")))
}

fn identities(shop: &Shop) -> Result<String> {
    let mut log = shop.ztunnel_log("node-2")?;
    let called = shop.call_once(PAGE, &["http://details:9080/identities"])?;
    ensure!(called.status == 200, "{}", called.outcome());
    let line = wait_line(&mut log, "the line in ztunnel's log", |line| {
        line.get("direction").is_some_and(|it| it == "inbound")
            && line.get("dst.service").is_some_and(|it| it.starts_with("details."))
    })?;
    let identity = |name: &str| line.get(name).cloned().unwrap_or_else(|| "nobody".to_owned());
    let (source, destination) = (identity("src.identity"), identity("dst.identity"));
    let seen = format!("{source} → {destination}");
    let is_right =
        source.ends_with("/ns/bookshop/sa/productpage") && destination.ends_with("/ns/bookshop/sa/details");
    ensure!(is_right, "{seen}");
    Ok(seen)
}

fn wire(shop: &Shop) -> Result<String> {
    const SECRET: &str = "the-butler-did-it";
    let path = format!("http://details:9080/{SECRET}");
    let sniffer = Sniffer::start(&shop.mesh)?;
    let called = shop.call_once(PAGE, &[&path, "-n", "3"])?;
    let streams = sniffer.finish()?;
    ensure!(called.status == 200, "{}", called.outcome());
    let tunnels: Vec<_> =
        streams.iter().filter(|it| it.to.port() == 15008 || it.from.port() == 15008).collect();
    let mut records = 0;
    for stream in &tunnels {
        match stream.content() {
            Content::Tls(count) => records += count,
            Content::Other => bail!("bytes from {} to {} that are no TLS", stream.from, stream.to),
        }
    }
    let leaks = streams.iter().filter(|stream| stream.contains(SECRET)).count();
    ensure!(leaks == 0, "the secret in plain text in {leaks} streams");
    ensure!(records > 0, "no tunnel at all");
    let bytes: usize = tunnels.iter().map(|stream| stream.bytes.len()).sum();
    Ok(format!("{records} TLS records ({bytes} bytes), the secret in none"))
}

fn outside(shop: &Shop) -> Result<String> {
    const WORD: &str = "anyone-can-read-this";
    let mut log = shop.ztunnel_log("node-2")?;
    let sniffer = Sniffer::start(&shop.mesh)?;
    let called = shop.call_once(TILL, &[&format!("http://details.bookshop:9080/{WORD}")])?;
    let streams = sniffer.finish()?;
    ensure!(called.status == 200, "{}", called.outcome());
    ensure!(streams.iter().any(|stream| stream.contains(WORD)), "not in plain text");
    let line = wait_line(&mut log, "the line in ztunnel's log", |line| {
        line.get("src.namespace").is_some_and(|it| it == "legacy")
    })?;
    match line.get("src.identity") {
        Some(identity) => bail!("the identity {identity}"),
        None => Ok("200, readable on the wire, no identity".to_owned()),
    }
}

fn denial(shop: &Shop) -> Result<String> {
    const DETAILS: &str = "http://details.bookshop:9080/";
    let before = shop.call_once(REVIEWS, &[DETAILS])?;
    ensure!(before.status == 200, "reviews shut out before there was a policy: {}", before.outcome());
    let mut log = shop.ztunnel_log("node-2")?;
    shop.apply(DETAILS_POLICY)?;
    let denied = wait("the denial", || {
        let called = shop.call_once(REVIEWS, &[DETAILS])?;
        Ok((!called.error.is_empty()).then_some(called))
    })?;
    let till = shop.call_once(TILL, &[DETAILS])?;
    ensure!(!till.error.is_empty(), "the till let in: {}", till.outcome());
    let page = shop.call_once(PAGE, &[DETAILS])?;
    ensure!(page.status == 200, "the page shut out: {}", page.outcome());
    let line = wait_line(&mut log, "the denial in ztunnel's log", |line| {
        line.get("error").is_some_and(|it| it.contains("policy rejection"))
    })?;
    let reason = line.get("error").cloned().unwrap_or_default();
    Ok(format!("the page 200; the others: {} ({reason})", denied.outcome()))
}

fn versions(calls: &[Called]) -> (usize, usize) {
    let of = |version| calls.iter().filter(|call| call.status == 200 && call.version() == version).count();
    (of("v1"), of("v2"))
}

fn canary(shop: &Shop) -> Result<String> {
    let calls = shop.call(PAGE, &["http://reviews:9080/", "-n", "200"])?;
    let (v1, v2) = versions(&calls);
    let seen = format!("v1 {v1}, v2 {v2}");
    // Outside this range in one of 100,000 runs.
    ensure!(v1 + v2 == 200 && (4..=42).contains(&v2), "{seen}, others {}", 200 - v1 - v2);
    Ok(seen)
}

fn header(shop: &Shop) -> Result<String> {
    let calls = shop.call(PAGE, &["http://reviews:9080/", "-n", "20", "-H", "end-user: jason"])?;
    let (v1, v2) = versions(&calls);
    let seen = format!("v1 {v1}, v2 {v2}");
    ensure!((v1, v2) == (0, 20), "{seen}");
    Ok(seen)
}

fn abort(shop: &Shop) -> Result<String> {
    let called = shop.call_once(PAGE, &["http://ratings:9080/", "-H", "x-fault: abort"])?;
    let is_echo = called.answer["service"].is_string();
    let seen =
        format!("{}, {}", called.outcome(), if is_echo { "from the service" } else { "from the waypoint" });
    ensure!(called.status == 503 && !is_echo, "{seen}");
    Ok(seen)
}

fn delay(shop: &Shop) -> Result<String> {
    let called = shop.call_once(PAGE, &["http://ratings:9080/", "-H", "x-fault: delay"])?;
    let seen = format!("{} after {:.0} ms", called.outcome(), called.millis);
    ensure!(called.status == 200 && called.millis >= 400.0, "{seen}");
    Ok(seen)
}

fn retry(shop: &Shop) -> Result<String> {
    let without = shop.call_once(PAGE, &["http://ratings:9080/once?fail=1&key=demo-once"])?;
    ensure!(without.status == 503, "{} without a retry", without.outcome());
    let with = shop.call_once(PAGE, &["http://ratings:9080/?fail=1&key=demo-retried"])?;
    let attempt = with.header("x-envoy-attempt-count");
    let seen = format!("{} without, {} at attempt {attempt} with", without.outcome(), with.outcome());
    ensure!(with.status == 200 && attempt == "2", "{seen}");
    Ok(seen)
}

fn timeout(shop: &Shop) -> Result<String> {
    let called = shop.call_once(PAGE, &["http://ratings:9080/slow?delay=3s"])?;
    let seen = format!("{} after {:.0} ms", called.outcome(), called.millis);
    ensure!(called.status == 504 && (450.0..2000.0).contains(&called.millis), "{seen}");
    Ok(seen)
}

fn mirror(shop: &Shop) -> Result<String> {
    const PATH: &str = "/copied";
    let calls = shop.call(PAGE, &[&format!("http://ratings:9080{PATH}"), "-n", "5"])?;
    let answered = calls.iter().filter(|it| it.status == 200 && it.answer["service"] == "ratings").count();
    ensure!(answered == 5, "{answered} of 5 answered by ratings");
    let copies = wait("the copies", || {
        let stats = shop.call_once(PAGE, &["http://audit:9080/stats"])?;
        Ok(stats.answer["paths"][PATH].as_u64().filter(|copies| *copies >= 5))
    })?;
    ensure!(copies == 5, "{copies} copies");
    Ok(format!("{answered} answers, {copies} copies"))
}

fn live_change(shop: &Shop) -> Result<String> {
    let before = versions(&shop.call(PAGE, &["http://reviews:9080/", "-n", "5"])?);
    ensure!(before.0 > 0, "v2 already before the change");
    let start = Instant::now();
    shop.apply(ALL_ON_V2)?;
    // Ten in a row are no chance any more: one in ten billion with the old weights.
    let took = wait("the change", || {
        let (_, v2) = versions(&shop.call(PAGE, &["http://reviews:9080/", "-n", "10"])?);
        Ok((v2 == 10).then(|| start.elapsed()))
    })?;
    let seen = format!("ten of ten answered by v2, {:.0} ms after the edit", took.as_secs_f64() * 1000.0);
    ensure!(took < Duration::from_secs(1), "{seen}");
    Ok(seen)
}

fn rotation(shop: &Shop) -> Result<String> {
    const COUNT: usize = 300;
    let before = serials(shop)?;
    ensure!(before.len() >= 2, "only {} certificates", before.len());
    // Some 15 s of calls, in which certificates that live 16 s have to be renewed at half of that.
    let calls = shop.start_calls(
        PAGE,
        &["http://details:9080/", "-n", &COUNT.to_string(), "--interval", "50ms", "--timeout", "5s"],
    )?;
    let calls = calls.finish()?;
    let after = serials(shop)?;
    let renewed =
        before.iter().filter(|(name, serial)| after.iter().any(|(n, s)| n == name && s != serial)).count();
    let ok = calls.iter().filter(|call| call.status == 200).count();
    let seen =
        format!("{renewed} of {} certificates renewed, {ok} of {COUNT} requests answered", before.len());
    ensure!(renewed == before.len() && ok == COUNT, "{seen}");
    Ok(seen)
}

/// Identity and serial number of the certificates both ztunnels hold.
fn serials(shop: &Shop) -> Result<Vec<(String, String)>> {
    let mut serials = Vec::new();
    for node in ["node-1", "node-2"] {
        let dump = ztunnel_dump(&shop.mesh, node)?;
        for certificate in dump["certificates"].as_array().into_iter().flatten() {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let serial = text(&certificate["certChain"][0]["serialNumber"]);
            serials.push((format!("{node} {}", text(&certificate["identity"])), serial));
        }
    }
    Ok(serials)
}
