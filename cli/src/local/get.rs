//! `adit local get`: tables of what there is in a mesh.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use clap::{Args, ValueEnum};
use http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::Value;

use super::files::shown;
use super::lookup;
use super::mesh::Mesh;
use super::network::{Netns, connect, node_name};
use super::objects::{parse_file_name, read_value};
use super::table::table;
use crate::exchange;

/// The admin port of ztunnel, on its loopback.
const ZTUNNEL_ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 15000);

/// List what there is
#[derive(Args, Debug)]
pub(super) struct Get {
    what: What,
    /// Only this namespace's
    #[arg(long, short = 'n')]
    namespace: Option<String>,
    /// All namespaces', which is the default here
    #[arg(long, short = 'A', conflicts_with = "namespace")]
    all_namespaces: bool,
    /// How: a table, or `json`
    #[arg(long, short = 'o', value_name = "FORMAT")]
    output: Option<Format>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Json,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    #[value(alias = "pod", alias = "po")]
    Pods,
    #[value(alias = "service", alias = "svc")]
    Services,
    /// What a ztunnel knows of the mesh
    #[value(alias = "workload")]
    Workloads,
    #[value(alias = "gateway", alias = "gtw")]
    Gateways,
    #[value(alias = "route")]
    Routes,
}

pub(super) fn run(mesh: &Mesh, get: &Get) -> Result<()> {
    if get.output.is_some() {
        return print_json(mesh, get);
    }
    let text = match get.what {
        What::Pods => pods(mesh, get)?,
        What::Services => services(mesh, get)?,
        What::Workloads => workloads(mesh, get)?,
        What::Gateways => gateways(mesh, get)?,
        What::Routes => routes(mesh, get)?,
    };
    print!("{text}");
    Ok(())
}

/// A list as `kubectl get -o json` gives it.
fn print_json(mesh: &Mesh, get: &Get) -> Result<()> {
    let items: Vec<Value> = match get.what {
        What::Pods => {
            let pods = lookup::pods(mesh)?.into_iter().filter(|pod| get.shows(&pod.namespace));
            pods.map(|pod| pod.document).collect()
        }
        What::Services => documents(&mesh.runtime().join("services"), get)?,
        What::Workloads => {
            let mut dump = ztunnel_dump(mesh, &node_name(1))?;
            serde_json::from_value(dump["workloads"].take())?
        }
        What::Gateways => manifests(mesh, get, "gateway")?,
        What::Routes => {
            [manifests(mesh, get, "httproute")?, manifests(mesh, get, "virtualservice")?].concat()
        }
    };
    println!("{}", serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": items }));
    Ok(())
}

impl Get {
    fn shows(&self, namespace: &str) -> bool {
        self.namespace.as_deref().is_none_or(|only| only == namespace)
    }
}

fn pods(mesh: &Mesh, get: &Get) -> Result<String> {
    let mut rows = Vec::new();
    for pod in lookup::pods(mesh)?.iter().filter(|pod| get.shows(&pod.namespace)) {
        let (status, metadata) = (&pod.document["status"], &pod.document["metadata"]);
        let containers = status["containerStatuses"].as_array().map(Vec::as_slice).unwrap_or_default();
        let ready = containers.iter().filter(|container| container["ready"] == true).count();
        let restarts: u64 =
            containers.iter().filter_map(|container| container["restartCount"].as_u64()).sum();
        let mesh = text(&metadata["annotations"]["ambient.istio.io/redirection"]);
        rows.push([
            pod.namespace.clone(),
            pod.name.clone(),
            format!("{ready}/{}", pod.containers().len()),
            if pod.is_ending() { "Ending".to_owned() } else { text(&status["phase"]) },
            restarts.to_string(),
            text(&pod.document["spec"]["nodeName"]),
            text(&status["podIP"]),
            if mesh.is_empty() { "-".to_owned() } else { mesh },
            text(&status["message"]),
        ]);
    }
    Ok(table(["NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "NODE", "IP", "CAPTURED", "REASON"], &rows))
}

fn services(mesh: &Mesh, get: &Get) -> Result<String> {
    let mut rows = Vec::new();
    for service in documents(&mesh.runtime().join("services"), get)? {
        let (metadata, spec) = (&service["metadata"], &service["spec"]);
        let ports = spec["ports"].as_array().into_iter().flatten();
        let ports = ports.map(|port| format!("{}/{}", port["port"], or(&port["protocol"], "TCP")));
        let waypoint = text(&metadata["labels"]["istio.io/use-waypoint"]);
        rows.push([
            text(&metadata["namespace"]),
            text(&metadata["name"]),
            or(&spec["clusterIP"], "-"),
            ports.collect::<Vec<_>>().join(","),
            if waypoint.is_empty() { "-".to_owned() } else { waypoint },
        ]);
    }
    Ok(table(["NAMESPACE", "NAME", "ADDRESS", "PORTS", "USE-WAYPOINT"], &rows))
}

fn gateways(mesh: &Mesh, get: &Get) -> Result<String> {
    let mut rows = Vec::new();
    for gateway in manifests(mesh, get, "gateway")? {
        let status = status_of(mesh, "gateway", &gateway);
        let addresses = status["addresses"].as_array().into_iter().flatten();
        rows.push([
            text(&gateway["metadata"]["namespace"]),
            text(&gateway["metadata"]["name"]),
            text(&gateway["spec"]["gatewayClassName"]),
            addresses.map(|address| text(&address["value"])).collect::<Vec<_>>().join(","),
            condition(&status, "Programmed"),
        ]);
    }
    Ok(table(["NAMESPACE", "NAME", "CLASS", "ADDRESS", "PROGRAMMED"], &rows))
}

fn routes(mesh: &Mesh, get: &Get) -> Result<String> {
    let mut rows = Vec::new();
    for kind in ["httproute", "virtualservice"] {
        for route in manifests(mesh, get, kind)? {
            let status = status_of(mesh, kind, &route);
            let parents = route["spec"]["parentRefs"].as_array().into_iter().flatten();
            let hosts = route["spec"]["hosts"].as_array().into_iter().flatten();
            let targets = parents.map(|parent| text(&parent["name"])).chain(hosts.map(text));
            let accepted = status["parents"].as_array().into_iter().flatten();
            let accepted = accepted.map(|parent| condition(parent, "Accepted")).collect::<Vec<_>>().join(",");
            rows.push([
                text(&route["metadata"]["namespace"]),
                text(&route["kind"]),
                text(&route["metadata"]["name"]),
                targets.collect::<Vec<_>>().join(","),
                if accepted.is_empty() { "-".to_owned() } else { accepted },
            ]);
        }
    }
    Ok(table(["NAMESPACE", "KIND", "NAME", "FOR", "ACCEPTED"], &rows))
}

fn workloads(mesh: &Mesh, get: &Get) -> Result<String> {
    let dump = ztunnel_dump(mesh, &node_name(1))?;
    let mut rows = Vec::new();
    for workload in dump["workloads"].as_array().into_iter().flatten() {
        let namespace = text(&workload["namespace"]);
        if !get.shows(&namespace) {
            continue;
        }
        let addresses = workload["workloadIps"].as_array().into_iter().flatten();
        rows.push([
            namespace,
            text(&workload["name"]),
            addresses.map(text).collect::<Vec<_>>().join(","),
            text(&workload["node"]),
            text(&workload["protocol"]),
            text(&workload["serviceAccount"]),
            text(&workload["status"]),
        ]);
    }
    rows.sort();
    Ok(table(["NAMESPACE", "NAME", "ADDRESS", "NODE", "PROTOCOL", "ACCOUNT", "STATUS"], &rows))
}

/// Everything the ztunnel of a node knows.
pub(super) fn ztunnel_dump(mesh: &Mesh, node: &str) -> Result<Value> {
    let netns = Netns::open(mesh, node)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(async {
        let stream = connect(netns.namespace(), ZTUNNEL_ADMIN).await?;
        let request =
            Request::get("/config_dump").header("host", "localhost").body(Full::<Bytes>::default())?;
        anyhow::Ok(exchange::send_http1(stream, request).await?)
    });
    let answer = answer.with_context(|| format!("asking the ztunnel of {node}"))?;
    if answer.status != StatusCode::OK {
        bail!("the ztunnel of {node} answered {}", answer.status);
    }
    serde_json::from_slice(&answer.body).with_context(|| format!("the answer of the ztunnel of {node}"))
}

/// The user's objects of a kind.
fn manifests(mesh: &Mesh, get: &Get, kind: &str) -> Result<Vec<Value>> {
    let documents = documents(&mesh.manifests(), get)?;
    Ok(documents.into_iter().filter(|it| text(&it["kind"]).eq_ignore_ascii_case(kind)).collect())
}

/// What a directory of documents holds, by namespace.
fn documents(directory: &Path, get: &Get) -> Result<Vec<Value>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| shown(directory))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            names.push(name);
        }
    }
    // `<kind>.<namespace>.<name>` sorts as wanted within a kind, and so does `<namespace>.<name>`.
    names.sort_by_key(|name| {
        parse_file_name(name).map(|(_, namespace, rest)| (namespace.to_owned(), rest.to_owned()))
    });
    let documents = names.iter().filter_map(|name| read_value(&directory.join(name)).ok());
    Ok(documents.filter(|it| get.shows(it["metadata"]["namespace"].as_str().unwrap_or_default())).collect())
}

/// The status the controller has written for an object.
pub(super) fn status_of(mesh: &Mesh, kind: &str, object: &Value) -> Value {
    let metadata = &object["metadata"];
    let file = format!("{}.{}.yaml", text(&metadata["namespace"]), text(&metadata["name"]));
    let document = read_value(&mesh.status().join(kind).join(file)).unwrap_or_default();
    document["status"].clone()
}

/// A condition's status; `-` if it has not been judged.
pub(super) fn condition(status: &Value, name: &str) -> String {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let found = conditions.into_iter().find(|condition| condition["type"] == name);
    found.map_or_else(|| "-".to_owned(), |condition| text(&condition["status"]))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn or(value: &Value, default: &str) -> String {
    value.as_str().unwrap_or(default).to_owned()
}
