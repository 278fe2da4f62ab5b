//! A namespace of a test's own, with its pods and what passes between them.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use futures_util::FutureExt;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::manifests::{EchoPod, service};
use crate::{Calls, Cluster, apply, eventually, evidence};

/// How long pods may take to run, on a machine with everything to do at once.
const PODS: Duration = Duration::from_secs(90);

/// A namespace that goes when the test ends.
#[derive(Clone)]
pub struct Scene {
    /// The cluster it is in.
    pub cluster: Cluster,
    /// Its name.
    pub namespace: String,
}

/// Calls that are going on.
pub struct Load {
    calls: JoinHandle<Result<Calls>>,
}

impl Scene {
    /// Plays a test in a namespace of its own, in the mesh or not. Whatever happens, the namespace goes;
    /// if the test fails, evidence stays.
    pub async fn play(test: &str, in_mesh: bool, play: impl AsyncFnOnce(Scene) -> Result<()>) {
        let result = async {
            let cluster = Cluster::connect().await?;
            let scene = Scene::open(&cluster, test, in_mesh).await?;
            let (namespace, playing) = (scene.namespace.clone(), scene.clone());
            // On this very task, since closures that borrow are not known to be fit for another.
            let played = match AssertUnwindSafe(play(playing)).catch_unwind().await {
                Ok(result) => result,
                Err(_) => Err(anyhow!("the test has panicked; what it said stands above")),
            };
            if played.is_err() {
                match evidence::keep(&cluster, test, &namespace).await {
                    Ok(folder) => eprintln!("evidence of {test} is in {}", folder.display()),
                    Err(error) => eprintln!("no evidence of {test}: {error:#}"),
                }
            }
            scene.close().await?;
            played
        };
        if let Err(error) = result.await {
            panic!("{error:#}");
        }
    }

    async fn open(cluster: &Cluster, test: &str, in_mesh: bool) -> Result<Self> {
        let api: Api<Namespace> = Api::all(cluster.client());
        let labels = in_mesh.then(|| ("istio.io/dataplane-mode".to_owned(), "ambient".to_owned()));
        let namespace = Namespace {
            metadata: ObjectMeta {
                // Names of tests are longer than names of namespaces may be, and so differ at their beginning.
                generate_name: Some(format!(
                    "{}-",
                    test.replace('_', "-").chars().take(40).collect::<String>()
                )),
                labels: Some(
                    labels.into_iter().chain([("adit-e2e".to_owned(), "true".to_owned())]).collect(),
                ),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        let made = api.create(&PostParams::default(), &namespace).await?;
        let namespace = made.metadata.name.context("a namespace without a name")?;
        Ok(Scene { cluster: cluster.clone(), namespace })
    }

    /// In the background: what ends there is nothing to wait for.
    async fn close(&self) -> Result<()> {
        let api: Api<Namespace> = Api::all(self.cluster.client());
        api.delete(&self.namespace, &DeleteParams::background()).await?;
        Ok(())
    }

    /// The name of a service here, from anywhere.
    pub fn host(&self, service: &str) -> String {
        format!("{service}.{}.svc.cluster.local", self.namespace)
    }

    /// Applies a manifest here.
    pub async fn apply(&self, yaml: &str) -> Result<()> {
        apply::apply(&self.cluster.client, &self.namespace, yaml).await
    }

    /// Deletes what a manifest has made.
    pub async fn delete(&self, yaml: &str) -> Result<()> {
        apply::delete(&self.cluster.client, &self.namespace, yaml).await
    }

    /// Sets a label, or takes it away.
    pub async fn label(
        &self,
        api_version: &str,
        kind: &str,
        name: &str,
        label: (&str, Option<&str>),
    ) -> Result<()> {
        let object: DynamicObject = serde_json::from_value(json!({
            "apiVersion": api_version, "kind": kind, "metadata": { "name": name },
        }))?;
        let api = apply::api_of(&self.cluster.client, &self.namespace, &object).await?;
        let labels: BTreeMap<&str, Option<&str>> = BTreeMap::from([label]);
        let patch = json!({ "metadata": { "labels": labels } });
        api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        Ok(())
    }

    /// An object here as it is now.
    pub async fn object(&self, api_version: &str, kind: &str, name: &str) -> Result<Value> {
        let object: DynamicObject = serde_json::from_value(json!({
            "apiVersion": api_version, "kind": kind, "metadata": { "name": name },
        }))?;
        let api = apply::api_of(&self.cluster.client, &self.namespace, &object).await?;
        Ok(serde_json::to_value(api.get(name).await?)?)
    }

    /// Waits until an object's condition has this status; its reason and message.
    pub async fn condition(
        &self,
        (api_version, kind, name): (&str, &str, &str),
        condition: &str,
        status: &str,
    ) -> Result<(String, String)> {
        eventually(Duration::from_secs(60), async || {
            let object = self.object(api_version, kind, name).await?;
            let mut found = Vec::new();
            collect_conditions(&object["status"], &mut found);
            let it = found.iter().find(|it| it["type"] == condition && it["status"] == status);
            let it = it.with_context(|| {
                format!("{kind} {name} has no {condition}={status}: {}", object["status"])
            })?;
            let text = |field: &str| it[field].as_str().unwrap_or_default().to_owned();
            Ok((text("reason"), text("message")))
        })
        .await
    }

    /// Waits until so many pods with these labels are ready.
    pub async fn ready(&self, labels: &str, count: usize) -> Result<()> {
        eventually(PODS, async || {
            let pods = self.cluster.pods(&self.namespace, labels).await?;
            let ready = pods.iter().filter(|pod| is_ready(pod)).count();
            ensure!(ready == count, "{ready} of {count} pods with {labels} are ready");
            Ok(())
        })
        .await
    }

    /// Waits until pods with these names are ready and, as the mesh says, captured.
    pub async fn captured(&self, names: &[&str]) -> Result<()> {
        for name in names {
            self.redirection(name, Some("enabled")).await?;
            self.ready(&format!("app={name}"), 1).await?;
        }
        Ok(())
    }

    /// A client and a server, each with a service of its name, that are captured and in touch; the server's URL.
    pub async fn pair(&self) -> Result<String> {
        for name in ["client", "server"] {
            self.apply(&EchoPod::new(name).manifest()).await?;
            self.apply(&service(name, name)).await?;
        }
        self.captured(&["client", "server"]).await?;
        let url = format!("http://{}/", self.host("server"));
        self.until("client", &[&url, "-n5"], Calls::all_ok).await?;
        Ok(url)
    }

    /// Waits until a pod's annotation says this of its capture.
    pub async fn redirection(&self, pod: &str, wanted: Option<&str>) -> Result<()> {
        let api: Api<Pod> = Api::namespaced(self.cluster.client(), &self.namespace);
        eventually(PODS, async || {
            let annotations = api.get_metadata(pod).await?.metadata.annotations.unwrap_or_default();
            let says = annotations.get("ambient.istio.io/redirection").map(String::as_str);
            ensure!(says == wanted, "{pod}: redirection is {says:?}, expected {wanted:?}");
            Ok(())
        })
        .await
    }

    /// Makes sure that the pods of waypoints here are not captured themselves.
    pub async fn redirection_of_waypoint(&self) -> Result<()> {
        for pod in self.cluster.pods(&self.namespace, "gateway.networking.k8s.io/gateway-name").await? {
            let annotations = pod.metadata.annotations.unwrap_or_default();
            ensure!(!annotations.contains_key("ambient.istio.io/redirection"), "a waypoint is captured");
        }
        Ok(())
    }

    /// Calls from a pod; arguments as of `adit echo call`.
    pub async fn call(&self, pod: &str, arguments: &[&str]) -> Result<Calls> {
        let command = [&["/adit", "echo", "call", "--json", "--timeout=10s"], arguments].concat();
        let output = self.cluster.exec(&self.namespace, pod, &command).await?;
        let calls = Calls::read(&output.stdout);
        ensure!(!calls.is_empty(), "{command:?} in {pod} has said nothing: {}", output.stderr);
        Ok(calls)
    }

    /// Calls until every one of so many is as wanted.
    pub async fn until(
        &self,
        pod: &str,
        arguments: &[&str],
        wanted: impl Fn(&Calls) -> bool,
    ) -> Result<Calls> {
        eventually(Duration::from_secs(60), async || {
            let calls = self.call(pod, arguments).await?;
            ensure!(wanted(&calls), "{arguments:?} from {pod} is answered with {calls:?}");
            Ok(calls)
        })
        .await
    }

    /// Starts calls at a steady rate from a pod, so many of them.
    pub fn load(&self, pod: &str, url: &str, count: u32, interval: &str) -> Load {
        let (scene, pod) = (self.clone(), pod.to_owned());
        let arguments = [url.to_owned(), format!("-n{count}"), format!("--interval={interval}")];
        let calls = tokio::spawn(async move {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            scene.call(&pod, &arguments).await
        });
        Load { calls }
    }
}

impl Load {
    /// Waits for the last answer.
    pub async fn end(self) -> Result<Calls> {
        self.calls.await?
    }

    /// It is over.
    pub fn is_over(&self) -> bool {
        self.calls.is_finished()
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    pod.metadata.deletion_timestamp.is_none()
        && conditions.iter().any(|it| it.type_ == "Ready" && it.status == "True")
}

/// Conditions stand at the top of a status, or else under each of its parents or ancestors. Those of
/// listeners have the same names and say something else.
fn collect_conditions(status: &Value, found: &mut Vec<Value>) {
    match status {
        Value::Object(fields) if fields.contains_key("type") && fields.contains_key("status") => {
            found.push(status.clone());
        }
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(name, _)| *name != "listeners");
            fields.for_each(|(_, value)| collect_conditions(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| collect_conditions(value, found)),
        _ => {}
    }
}
