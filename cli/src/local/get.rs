//! `adit local get`: what there is in a mesh, as a table or as documents.

mod rows;

use std::fs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use clap::{Args, ValueEnum};
use http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use super::files::shown;
use super::kinds::{self, NamedKind};
use super::lookup;
use super::mesh::Mesh;
use super::network::{Netns, connect, node_name};
use super::objects::{parse_file_name, read_value};
use crate::exchange;

/// The admin port of ztunnel, on its loopback.
const ZTUNNEL_ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 15000);

/// List what there is
#[derive(Args, Debug)]
pub(super) struct Get {
    /// pods, services, workloads (what a ztunnel knows), gateways, routes, policies, or any kind, such as
    /// destinationrules or se
    #[arg(value_parser = What::parse)]
    what: What,
    /// Only this namespace's
    #[arg(long, short = 'n')]
    namespace: Option<String>,
    /// All namespaces', as without -n
    #[arg(long, short = 'A', conflicts_with = "namespace")]
    all_namespaces: bool,
    /// Whole documents instead of a table
    #[arg(long, short = 'o', value_name = "FORMAT")]
    output: Option<Output>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// The mesh's own programs are among them, in istio-system.
    Pods,
    Services,
    /// What a ztunnel knows of the mesh.
    Workloads,
    Gateways,
    Routes,
    /// Who may call whom, how, and how often, which tokens are good, which endpoints are, and what is told of it.
    Policies,
    /// The objects of one kind.
    Kind(NamedKind),
}

impl What {
    fn parse(text: &str) -> Result<Self> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "workload" | "workloads" => What::Workloads,
            "route" | "routes" => What::Routes,
            "policy" | "policies" => What::Policies,
            _ => {
                let kind = kinds::find(text).map_err(|error| {
                    error.context(format!("{text:?} is none of workloads, routes and policies, and no kind"))
                })?;
                match kind.name {
                    "pod" => What::Pods,
                    "service" => What::Services,
                    "gateway" => What::Gateways,
                    _ => What::Kind(kind),
                }
            }
        })
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    Json,
    Yaml,
}

pub(super) fn run(mesh: &Mesh, get: &Get) -> Result<()> {
    let items = items(mesh, get)?;
    let list = || json!({ "apiVersion": "v1", "kind": "List", "items": items });
    let text = match get.output {
        Some(Output::Json) => format!("{:#}\n", list()),
        Some(Output::Yaml) => serde_saphyr::to_string(&list())?,
        None => rows::table_of(get.what, &items),
    };
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

fn items(mesh: &Mesh, get: &Get) -> Result<Vec<Value>> {
    match get.what {
        What::Pods => {
            let pods = lookup::pods(mesh)?.into_iter().filter(|pod| get.shows(&pod.namespace));
            Ok(pods.map(|pod| pod.document).collect())
        }
        What::Services => documents(&mesh.runtime().join("services"), get),
        What::Workloads => {
            let dump = ztunnel_dump(mesh, &node_name(1))?;
            let workloads = dump["workloads"].as_array().into_iter().flatten();
            Ok(workloads
                .filter(|it| get.shows(it["namespace"].as_str().unwrap_or_default()))
                .cloned()
                .collect())
        }
        What::Gateways => manifests(mesh, get, &["Gateway"]),
        What::Routes => {
            let kinds = ["GRPCRoute", "HTTPRoute", "TLSRoute", "TCPRoute", "VirtualService"];
            manifests(mesh, get, &kinds)
        }
        What::Policies => {
            let kinds = [
                "AuthorizationPolicy",
                "BackendTLSPolicy",
                "DestinationRule",
                "PeerAuthentication",
                "RateLimitPolicy",
                "RequestAuthentication",
                "ResiliencePolicy",
                "Telemetry",
            ];
            manifests(mesh, get, &kinds)
        }
        What::Kind(kind) => manifests(mesh, get, &[kind.name]),
    }
}

impl Get {
    fn shows(&self, namespace: &str) -> bool {
        self.namespace.as_deref().is_none_or(|only| only == namespace)
    }
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

/// The user's objects of these kinds, with what the controller says of them.
fn manifests(mesh: &Mesh, get: &Get, kinds: &[&str]) -> Result<Vec<Value>> {
    let mut found = documents(&mesh.manifests(), get)?;
    // ConfigMaps and Secrets lie there.
    found.extend(documents(&mesh.data(), get)?);
    let is_wanted = |kind: &str| kinds.iter().any(|wanted| wanted.eq_ignore_ascii_case(kind));
    found.retain(|it| is_wanted(it["kind"].as_str().unwrap_or_default()));
    for document in &mut found {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (metadata, kind) = (&document["metadata"], text(&document["kind"]));
        document["status"] = status_of(mesh, &kind, &text(&metadata["namespace"]), &text(&metadata["name"]));
    }
    Ok(found)
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

/// The status the controller has written for an object; null if none.
pub(super) fn status_of(mesh: &Mesh, kind: &str, namespace: &str, name: &str) -> Value {
    let file = mesh.status().join(kind.to_ascii_lowercase()).join(format!("{namespace}.{name}.yaml"));
    read_value(&file).map(|mut document| document["status"].take()).unwrap_or_default()
}

/// A condition's status; `-` if it has not been judged.
pub(super) fn condition(status: &Value, name: &str) -> String {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let found = conditions.into_iter().find(|condition| condition["type"] == name);
    found.and_then(|condition| condition["status"].as_str()).unwrap_or("-").to_owned()
}
