//! What was derived as YAML that reads well: resources as Rust shows them, without what is empty.

use std::fmt::Write;

use controller_translate::{ObjectKey, Resource, ResourceKey, Status};
use serde_json::Value;

/// Fields that are the same in nearly every resource; shown only where everything is.
const USUAL: [&str; 12] = [
    "trust_domain: \"cluster.local\"",
    "cluster_id: \"Kubernetes\"",
    "kind: Pod",
    "health: Healthy",
    "network_mode: Standard",
    "capacity: 1",
    "canonical: true",
    "visibility: Public",
    "race_connections: false,",
    "grpc_web_ports: {},",
    "retry: Retry { attempts: 2, conditions: [\"connect-failure\", \"refused-stream\", \"unavailable\", \
     \"cancelled\"], backoff: 25ms, avoid_previous_hosts: true }",
    "load_balancing: LoadBalancing { mode: Standard, health_policy: OnlyHealthy }",
];

#[derive(Default)]
pub(crate) struct Output {
    pub(crate) everything: bool,
    pub(crate) text: String,
}

impl Output {
    pub(crate) fn refuse(&mut self, document: usize, reason: &str) {
        self.block(&format!("refused: document {document}"), reason);
    }

    pub(crate) fn resource(&mut self, key: &ResourceKey, resource: &Resource) {
        let shown = match resource {
            Resource::Workload(it) => format!("{it:#?}"),
            Resource::Service(it) => format!("{it:#?}"),
            Resource::Policy(it) => format!("{it:#?}"),
            Resource::ServiceConfig(it) => format!("{it:#?}"),
            // Every waypoint has one; most say nothing.
            Resource::WaypointConfig(it)
                if it.security.is_empty()
                    && it.telemetry.is_usual()
                    && !it.forward_client_identity
                    && it.rate_limits.is_empty()
                    && !self.everything =>
            {
                return;
            }
            Resource::WaypointConfig(it) => format!("{it:#?}"),
        };
        let mut shown = prune(&shown);
        if !self.everything {
            let usual = |line: &&str| USUAL.contains(&line.trim());
            shown = shown.lines().filter(|line| !usual(line)).collect::<Vec<_>>().join("\n");
        }
        self.block(&key.to_string(), &shown);
    }

    pub(crate) fn status(&mut self, key: &ObjectKey, status: &Status) {
        writeln!(self.text, "\"status: {key}\":").unwrap();
        self.value(&serde_json::to_value(status).unwrap(), 2);
    }

    /// A part of a status; conditions on one line each.
    fn value(&mut self, value: &Value, indent: usize) {
        let space = " ".repeat(indent);
        let Value::Object(fields) = value else { unreachable!("statuses are objects") };
        for (name, value) in fields {
            match value {
                Value::Array(items) if !items.is_empty() => {
                    writeln!(self.text, "{space}{name}:").unwrap();
                    for item in items {
                        self.item(item, indent);
                    }
                }
                _ => writeln!(self.text, "{space}{name}: {value}").unwrap(),
            }
        }
    }

    fn item(&mut self, item: &Value, indent: usize) {
        let space = " ".repeat(indent);
        let text = |name: &str| item[name].as_str().unwrap_or_default();
        if item.get("reason").is_some() {
            let (kind, status, reason) = (text("type"), text("status"), text("reason"));
            let generation = item.get("observedGeneration").map(|it| format!(" ({it})")).unwrap_or_default();
            let line = format!("{kind}={status}{generation} {reason}: {}", text("message"));
            writeln!(self.text, "{space}- {}", Value::from(line)).unwrap();
        } else if item.as_object().is_some_and(|it| it.values().any(Value::is_array)) {
            writeln!(self.text, "{space}-").unwrap();
            self.value(item, indent + 2);
        } else {
            writeln!(self.text, "{space}- {item}").unwrap();
        }
    }

    fn block(&mut self, name: &str, text: &str) {
        writeln!(self.text, "\"{}\": |", name.replace('"', "'")).unwrap();
        text.lines().for_each(|line| writeln!(self.text, "  {line}").unwrap());
    }
}

/// Leaves out fields that say nothing, and writes on one line what fits there.
fn prune(shown: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in shown.lines() {
        let line = line.trim_end_matches(',');
        if [": None", ": []", ": {}", ": \"\"", ": false"].iter().any(|empty| line.ends_with(empty)) {
            continue;
        }
        lines.push(line.to_owned());
        if line.trim_start().starts_with([')', ']', '}']) {
            join(&mut lines);
        }
    }
    lines.join("\n")
}

/// Joins a block with its last line, or drops it if every field in it was left out.
fn join(lines: &mut Vec<String>) {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let [before @ .., close] = lines.as_slice() else { return };
    let Some(open) = before.iter().rposition(|line| indent(line) == indent(close)) else { return };
    let inside: Vec<&str> = before[open + 1..].iter().map(|line| line.trim()).collect();
    let is_open = |line: &&str| line.ends_with(['(', '[', '{']);
    let space = if before[open].ends_with('{') { " " } else { "" };
    let joined =
        name_services(format!("{}{space}{}{space}{}", before[open], inside.join(", "), close.trim()));
    if inside.is_empty() && before[open].contains(": ") && close.trim().len() == 1 {
        lines.truncate(open);
    } else if joined.trim().len() <= 155 && !inside.iter().any(is_open) {
        lines.truncate(open);
        lines.push(joined);
    }
}

/// Keys of services the way they are written everywhere else, `namespace/hostname`.
fn name_services(text: String) -> String {
    let Some((before, rest)) = text.split_once("NamespacedHostname { namespace: \"") else { return text };
    let Some((namespace, rest)) = rest.split_once("\", hostname: \"") else { return text };
    let Some((hostname, after)) = rest.split_once("\" }") else { return text };
    format!("{before}{namespace}/{hostname}{after}")
}
