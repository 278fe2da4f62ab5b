//! The plugin as the container runtime runs it: the environment says what to do, the
//! standard input is the configuration, the standard output is the answer. It blocks,
//! for it does one thing and ends.

mod agent;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::message::{Network, NewPod, PodIp};

/// The versions of the interface this plugin speaks.
const VERSIONS: [&str; 5] = ["0.3.1", "0.4.0", "1.0.0", "1.1.0", "0.3.0"];
/// The version of answers to a configuration that does not say one.
const DEFAULT_VERSION: &str = "1.0.0";

/// What went wrong, with the number the interface gives it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The configuration asks for a version nobody here speaks.
    #[error("cniVersion {0} is not supported; set one of 0.3.1, 0.4.0, 1.0.0, 1.1.0")]
    Version(String),
    /// A variable the runtime has to set is missing or means nothing.
    #[error("{0}")]
    Environment(String),
    /// The configuration cannot be read.
    #[error("configuration: {0}")]
    Configuration(String),
    /// The agent did not answer, or refused: the pod waits, and is tried again.
    #[error("{0}")]
    Later(String),
}

impl Failure {
    fn code(&self) -> u32 {
        match self {
            Failure::Version(_) => 1,
            Failure::Environment(_) => 4,
            Failure::Configuration(_) => 6,
            Failure::Later(_) => 11,
        }
    }
}

/// The configuration of the plugin in a list, with what the runtime adds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Configuration {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// Where the agent's socket is.
    pub(crate) run_dir: PathBuf,
    /// Namespaces whose pods start without the agent.
    #[serde(default)]
    pub(crate) exclude_namespaces: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input<'a> {
    cni_version: Option<String>,
    #[serde(borrow)]
    prev_result: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Addresses {
    #[serde(default)]
    ips: Vec<Address>,
}

#[derive(Deserialize)]
struct Address {
    address: String,
    #[serde(default)]
    gateway: Option<std::net::IpAddr>,
    #[serde(default)]
    interface: Option<u32>,
}

/// What is written to the standard output, and whether it is a failure.
pub struct Output {
    /// The text, empty where the interface wants none.
    pub text: String,
    /// The call has failed.
    pub failed: bool,
}

/// Does what `environment` says with the configuration `input`.
pub fn run(environment: &BTreeMap<String, String>, input: &str) -> Output {
    let version = asked_version(input);
    match execute(environment, input) {
        Ok(text) => Output { text, failed: false },
        Err(failure) => {
            let answer = serde_json::json!({
                "cniVersion": version,
                "code": failure.code(),
                "msg": format!("{}: {failure}", super::PLUGIN),
            });
            Output { text: answer.to_string(), failed: true }
        }
    }
}

/// The version an answer has to have; of a text that cannot be read the default.
fn asked_version(input: &str) -> String {
    let input = serde_json::from_str::<Value>(input).unwrap_or_default();
    input["cniVersion"].as_str().unwrap_or(DEFAULT_VERSION).to_owned()
}

fn execute(environment: &BTreeMap<String, String>, input: &str) -> Result<String, Failure> {
    match variable(environment, "CNI_COMMAND")? {
        "VERSION" => {
            let versions = serde_json::json!({
                "cniVersion": asked_version(input), "supportedVersions": VERSIONS,
            });
            Ok(versions.to_string())
        }
        "ADD" => add(environment, input),
        // Rules go with the pod's namespace; what is left over is the agent's to see to. The plugin
        // says nothing of itself in STATUS: a node without a working agent would lose all its pods.
        "DEL" | "CHECK" | "GC" | "STATUS" => Ok(String::new()),
        other => Err(Failure::Environment(format!(
            "CNI_COMMAND is {other:?}, expected ADD, DEL, CHECK, GC, STATUS or VERSION"
        ))),
    }
}

fn add(environment: &BTreeMap<String, String>, input: &str) -> Result<String, Failure> {
    let malformed = |error: serde_json::Error| Failure::Configuration(error.to_string());
    let configuration: Configuration = serde_json::from_str(input).map_err(malformed)?;
    let asked: Input<'_> = serde_json::from_str(input).map_err(malformed)?;
    let version = asked.cni_version.unwrap_or_else(|| DEFAULT_VERSION.to_owned());
    if !VERSIONS.contains(&version.as_str()) {
        return Err(Failure::Version(version));
    }
    let previous = asked.prev_result.ok_or_else(|| {
        Failure::Configuration(
            "prevResult is missing; the plugin has to come after the one that makes the network".to_owned(),
        )
    })?;
    let pod = new_pod(environment, previous.get())?;
    // Pods without a name are none of Kubernetes'.
    if !pod.pod_name.is_empty() && !configuration.exclude_namespaces.contains(&pod.pod_namespace) {
        agent::announce(&configuration.run_dir, &pod).map_err(Failure::Later)?;
    }
    Ok(previous.get().to_owned())
}

fn new_pod(environment: &BTreeMap<String, String>, previous: &str) -> Result<NewPod, Failure> {
    let netns = variable(environment, "CNI_NETNS")?.into();
    let arguments = environment.get("CNI_ARGS").map_or("", String::as_str);
    let argument = |name: &str| {
        let pairs = arguments.split(';').filter_map(|pair| pair.split_once('='));
        pairs
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value.to_owned())
            .next_back()
            .unwrap_or_default()
    };
    let malformed = |error: serde_json::Error| Failure::Configuration(format!("prevResult: {error}"));
    let previous: Addresses = serde_json::from_str(previous).map_err(malformed)?;
    let ips = previous.ips.into_iter().map(|ip| {
        let (address, bits) = ip.address.split_once('/').unwrap_or((&ip.address, ""));
        let address = address
            .parse()
            .map_err(|_| Failure::Configuration(format!("prevResult: {:?} is no address", ip.address)))?;
        let mask = (!bits.is_empty()).then(|| bits.to_owned());
        Ok(PodIp { interface: ip.interface, address: Network { ip: address, mask }, gateway: ip.gateway })
    });
    Ok(NewPod {
        netns,
        pod_name: argument("K8S_POD_NAME"),
        pod_namespace: argument("K8S_POD_NAMESPACE"),
        pod_uid: argument("K8S_POD_UID"),
        ips: ips.collect::<Result<_, _>>()?,
    })
}

fn variable<'a>(environment: &'a BTreeMap<String, String>, name: &str) -> Result<&'a str, Failure> {
    let value = environment.get(name).map(String::as_str).filter(|value| !value.is_empty());
    value.ok_or_else(|| Failure::Environment(format!("{name} is not set; a container runtime sets it")))
}

#[cfg(test)]
mod tests;
