//! Tests of `deployer`: what is decided, and a leader over an API server in memory.

mod verdicts;

use controller_translate::{Kind, Object, Settings};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::live::Live;
use super::*;
use crate::kubernetes::fake_api::{Call, Objects, client, failure};

fn gateway(change: impl FnOnce(&mut Value)) -> Event {
    let mut value = json!({
        "metadata": { "name": "waypoint", "namespace": "prod", "uid": "42" },
        "spec": {
            "gatewayClassName": "istio-waypoint",
            "listeners": [{ "name": "mesh", "port": 15008, "protocol": "HBONE" }]
        }
    });
    change(&mut value);
    Event::Applied(Box::new(Object::from_value(Kind::Gateway, value).unwrap()))
}

fn picture(change: impl FnOnce(&mut Value)) -> Arc<Picture> {
    let picture = Picture::new(Settings::default());
    picture.apply([gateway(change), Event::InitDone].into_iter());
    Arc::new(picture)
}

fn waypoint(change: impl FnOnce(&mut Value)) -> Waypoint {
    expand::waypoints(&picture(change).read(), &expand::WaypointTemplate::default()).remove(0)
}

fn parameters(maps: &[Value]) -> Parameters {
    use kube::runtime::watcher::Event;
    let mut parameters = Parameters::new("istio-system");
    parameters.take(Event::Init);
    for map in maps {
        parameters.take(Event::InitApply(serde_json::from_value(map.clone()).unwrap()));
    }
    parameters.take(Event::InitDone);
    for map in maps {
        let name = |field: &str| map["metadata"][field].as_str().unwrap().to_owned();
        let due = ((name("namespace"), name("name")), String::new());
        parameters.put(due, Ok(Some(serde_json::from_value(map.clone()).unwrap())));
    }
    parameters
}

fn error(waypoint: &Waypoint, parameters: &Parameters) -> String {
    match wanted::desired(waypoint, parameters) {
        Err(Failure::Obstacle(controller_translate::Obstacle::Parameters(text))) => text,
        other => panic!("{other:?}"),
    }
}

fn find(desired: &Desired, part: part::Part) -> Option<&Value> {
    desired.iter().find(|(key, _)| key.part == part).map(|(_, wanted)| &wanted.value)
}

fn refer(name: &str) -> impl FnOnce(&mut Value) {
    let name = name.to_owned();
    move |gateway| {
        gateway["spec"]["infrastructure"] =
            json!({ "parametersRef": { "group": "", "kind": "ConfigMap", "name": name } });
    }
}

#[test]
fn parameters_of_the_class_come_first_and_those_of_the_gateway_after() {
    let maps = [
        json!({
            "metadata": { "namespace": "istio-system", "name": "defaults",
                "labels": { "gateway.istio.io/defaults-for-class": "istio-waypoint" } },
            "data": { "deployment": "spec: { replicas: 2, minReadySeconds: 1 }" }
        }),
        json!({
            "metadata": { "namespace": "prod", "name": "options" },
            "data": {
                "deployment": "metadata: { name: other, labels: { team: shop } }\nspec: { replicas: 3 }",
                "horizontalPodAutoscaler": "spec: { maxReplicas: 5 }",
                "podDisruptionBudget": "spec: { minAvailable: 1 }",
            }
        }),
    ];
    let parameters = parameters(&maps);
    let plain = wanted::desired(&waypoint(|_| {}), &parameters).unwrap();
    assert_eq!(plain.len(), 3, "neither autoscaler nor budget unless asked for");
    let desired = wanted::desired(&waypoint(refer("options")), &parameters).unwrap();
    let deployment = find(&desired, part::Part::Deployment).unwrap();
    assert_eq!(deployment["spec"]["replicas"], 3);
    assert_eq!(deployment["spec"]["minReadySeconds"], 1);
    assert_eq!(deployment["metadata"]["name"], "waypoint", "the name is not theirs to change");
    assert_eq!(deployment["metadata"]["labels"]["team"], "shop");
    let autoscaler = find(&desired, part::Part::HorizontalPodAutoscaler).unwrap();
    assert_eq!(autoscaler["spec"]["scaleTargetRef"]["name"], "waypoint");
    assert_eq!(autoscaler["spec"]["maxReplicas"], 5);
    let budget = find(&desired, part::Part::PodDisruptionBudget).unwrap();
    let label = &budget["spec"]["selector"]["matchLabels"]["gateway.networking.k8s.io/gateway-name"];
    assert_eq!(label, "waypoint");
}

#[test]
fn bad_parameters_are_told() {
    let map = |name: &str, key: &str, text: &str| json!({ "metadata": { "namespace": "prod", "name": name }, "data": { key: text } });
    let parameters = parameters(&[
        map("broken", "service", "["),
        map("list", "service", "[]"),
        map("empty", "servcie", ""),
        map("wrong", "deployment", "spec: { replicas: three }"),
    ]);
    for (name, expected) in [
        ("missing", "spec.infrastructure.parametersRef: there is no ConfigMap prod/missing; make it"),
        (
            "empty",
            "spec.infrastructure.parametersRef: ConfigMap prod/empty has none of the keys serviceAccount, ",
        ),
        ("broken", "ConfigMap prod/broken, key service is no YAML: "),
        ("list", "ConfigMap prod/list, key service is no object; write fields of a Service"),
        ("wrong", "ConfigMap prod/wrong, key deployment makes no Deployment: spec.replicas: invalid type"),
    ] {
        let error = error(&waypoint(refer(name)), &parameters);
        assert!(error.starts_with(expected), "{error}");
    }
    let other = waypoint(|gateway| {
        gateway["spec"]["infrastructure"] =
            json!({ "parametersRef": { "group": "", "kind": "Secret", "name": "options" } });
    });
    let error = error(&other, &parameters);
    assert!(error.contains("names a Secret of group \"\"; name a ConfigMap"), "{error}");
}

#[test]
fn only_config_maps_that_are_meant_are_read_and_one_that_cannot_be_read_is_nobodys_mistake() {
    use kube::runtime::watcher::Event;
    let map = |namespace: &str, name: &str, version: &str, labels: Value| {
        let metadata =
            json!({ "namespace": namespace, "name": name, "resourceVersion": version, "labels": labels });
        serde_json::from_value(json!({ "metadata": metadata })).unwrap()
    };
    let class = json!({ "gateway.istio.io/defaults-for-class": "istio-waypoint" });
    let mut parameters = parameters(&[]);
    let (waypoint, key) = (waypoint(refer("options")), |at: &str, it: &str| (at.to_owned(), it.to_owned()));
    assert!(!parameters.take(Event::Apply(map("prod", "large", "1", json!({})))));
    assert!(!parameters.take(Event::Apply(map("prod", "not-the-system", "1", class.clone()))));
    assert!(parameters.take(Event::Apply(map("istio-system", "defaults", "2", class))));
    let due = parameters.due([&waypoint].into_iter());
    assert_eq!(due, [(key("istio-system", "defaults"), "2".to_owned())]);
    assert!(parameters.take(Event::Apply(map("prod", "options", "3", json!({})))), "it was missed before");
    for due in parameters.due([&waypoint].into_iter()) {
        parameters.put(due, Err("no answer".to_owned()));
    }
    let Err(Failure::Passing(reason)) = wanted::desired(&waypoint, &parameters) else {
        panic!("it is known")
    };
    assert_eq!(reason, "cannot read ConfigMap istio-system/defaults: no answer");
    for due in parameters.due([&waypoint].into_iter()) {
        let data = json!({ "data": { "service": "{}" } });
        parameters.put(due, Ok(Some(serde_json::from_value(data).unwrap())));
    }
    assert!(wanted::desired(&waypoint, &parameters).is_ok());
    assert!(parameters.due([&waypoint].into_iter()).is_empty(), "each version is read once");
    assert!(parameters.take(Event::Delete(map("prod", "options", "4", json!({})))));
    assert!(matches!(wanted::desired(&waypoint, &parameters), Err(Failure::Obstacle(_))));
}

fn live(change: impl FnOnce(&mut Value)) -> Live {
    let mut value = json!({
        "metadata": {
            "name": "waypoint", "namespace": "prod", "uid": "7", "resourceVersion": "1",
            "labels": {
                "gateway.istio.io/managed": "istio.io-mesh-controller",
                "gateway.networking.k8s.io/gateway-name": "waypoint"
            },
            "annotations": { "istio.io/rev": "default" }
        },
        "spec": { "replicas": 1 }
    });
    change(&mut value);
    Live::new(serde_json::from_value(value).unwrap())
}

#[test]
fn an_object_is_applied_when_it_should_be_or_has_become_another() {
    let desired = json!({ "spec": 1 });
    let before = live(|_| {});
    let applied = Applied::new(&desired, &before);
    let due = |live: Option<&Live>| plan::is_due(&desired, live, Some(&applied));
    assert!(plan::is_due(&desired, Some(&before), None), "nothing is known of an earlier leader");
    assert!(plan::is_due(&json!({ "spec": 2 }), Some(&before), Some(&applied)));
    assert!(due(None), "deleted");
    assert!(!due(Some(&before)));
    assert!(due(Some(&live(|it| it["spec"]["replicas"] = json!(2)))), "edited");
    let noise = live(|it| {
        it["metadata"]["resourceVersion"] = json!("2");
        it["metadata"]["managedFields"] = json!([{ "manager": "kubelet" }]);
        it["status"] = json!({ "replicas": 1 });
    });
    assert!(!due(Some(&noise)), "statuses and versions change all the time");
    let going = live(|it| it["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"));
    assert!(!due(Some(&going)));
}

#[test]
fn only_what_is_the_gateways_is_taken_over() {
    let waypoint = waypoint(|_| {});
    let strip = |it: &mut Value| it["metadata"]["labels"] = json!({});
    assert!(plan::is_of(&live(|_| {}), &waypoint));
    assert!(!plan::is_of(&live(strip), &waypoint));
    let owned = |uid: &str| {
        let owner = json!([{ "apiVersion": "v1", "kind": "Gateway", "name": "waypoint", "uid": uid }]);
        live(|it| {
            strip(it);
            it["metadata"]["ownerReferences"] = owner;
        })
    };
    assert!(plan::is_of(&owned("42"), &waypoint));
    assert!(!plan::is_of(&owned("43"), &waypoint));
    let other = live(|it| {
        it["metadata"]["labels"]["gateway.networking.k8s.io/gateway-name"] = json!("other");
    });
    assert!(!plan::is_of(&other, &waypoint));
}

#[test]
fn wp_15_what_no_gateway_wants_goes_unless_another_revision_made_it() {
    let key = wanted::keys(&waypoint(|_| {})).next().unwrap();
    let unwanted = |live: &Live, wanted: &BTreeSet<Key>, stays: bool| {
        !plan::unwanted([(&key, live)].into_iter(), wanted, "default", |_| stays).is_empty()
    };
    let (none, all) = (BTreeSet::new(), BTreeSet::from([key.clone()]));
    assert!(unwanted(&live(|_| {}), &none, true));
    assert!(!unwanted(&live(|_| {}), &all, true));
    assert!(!unwanted(&live(|_| {}), &none, false), "it goes with its Gateway");
    let foreign = live(|it| it["metadata"]["annotations"]["istio.io/rev"] = json!("canary"));
    assert!(!unwanted(&foreign, &none, true));
}

/// Lists nothing, then watches; of ConfigMaps there is news. Writes are told. An object with the label
/// `refuse` is refused.
fn cluster(
    objects: Objects,
    written: mpsc::UnboundedSender<Call>,
    news: mpsc::UnboundedReceiver<Value>,
) -> Client {
    let news = Arc::new(tokio::sync::Mutex::new(news));
    client(move |call: Call| {
        let is_watch = call.query.contains("watch=true");
        let is_list = !call.path.contains("/namespaces/");
        let answer = match (is_watch, is_list) {
            (true, _) => None,
            (false, true) => Some((
                200,
                json!({ "apiVersion": "v1", "kind": "List", "metadata": { "resourceVersion": "1" }, "items": [] }),
            )),
            _ if !call.body["metadata"]["labels"]["refuse"].is_null() => Some(failure(422, "not like this")),
            (false, false) => {
                let answer = objects.answer(call.clone());
                if call.method != http::Method::GET {
                    written.send(call.clone()).unwrap();
                }
                Some(answer)
            }
        };
        let news = news.clone();
        async move {
            match answer {
                Some(answer) => answer,
                None if call.path.ends_with("/configmaps") => match news.lock().await.recv().await {
                    Some(event) => (200, event),
                    None => std::future::pending().await,
                },
                None => std::future::pending().await,
            }
        }
    })
}

const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/prod/deployments/waypoint";
const SERVICE: &str = "/api/v1/namespaces/prod/services/waypoint";
const ACCOUNT: &str = "/api/v1/namespaces/prod/serviceaccounts/waypoint";

struct Started {
    objects: Objects,
    written: mpsc::UnboundedReceiver<Call>,
    news: mpsc::UnboundedSender<Value>,
    picture: Arc<Picture>,
    lead: watch::Sender<bool>,
    template: PathBuf,
    _directory: tempfile::TempDir,
    task: tokio::task::JoinHandle<()>,
}

fn start(objects: Objects) -> Started {
    start_with(objects, |_| {})
}

fn start_with(objects: Objects, change: impl FnOnce(&mut Value)) -> Started {
    let directory = tempfile::tempdir().unwrap();
    let template = directory.path().join("waypoint.yaml");
    std::fs::write(&template, "image: adit:1\nimagePullSecrets: [one]\nresources: { limits: { cpu: 2 } }\naffinity: {}\nterminationGracePeriodSeconds: 30\n").unwrap();
    let (told, written) = mpsc::unbounded_channel();
    let (news, receiver) = mpsc::unbounded_channel();
    let (lead, leads) = watch::channel(false);
    let (sender, mut events) = mpsc::channel(8);
    let picture = picture(change);
    picture.expect_deployment();
    let client = cluster(objects.clone(), told, receiver);
    let deployer =
        Deployer::new(client, picture.clone(), leads, sender, template.clone(), "istio-system").unwrap();
    let task = {
        let picture = picture.clone();
        tokio::spawn(async move {
            let publishing = async {
                while let Some(event) = events.recv().await {
                    picture.apply([event].into_iter());
                }
            };
            tokio::join!(deployer.run(), publishing);
        })
    };
    Started { objects, written, news, picture, lead, template, _directory: directory, task }
}

impl Started {
    async fn written(&mut self, count: usize) -> Vec<String> {
        let mut paths = Vec::new();
        for _ in 0..count {
            let call = self.written.recv().await.unwrap();
            assert!(call.query.contains("fieldManager=adit.io%2Fwaypoint"), "{}", call.query);
            paths.push(call.path);
        }
        paths
    }
}

#[tokio::test(start_paused = true)]
async fn wp_01_wp_16_the_leader_deploys_and_the_waypoints_follow_the_template() {
    let mut started = start(Objects::default());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(started.objects.count("/"), 0, "only the leader writes");
    started.lead.send_replace(true);
    assert_eq!(started.written(3).await, [ACCOUNT, DEPLOYMENT, SERVICE]);
    let spec = started.objects.get(DEPLOYMENT).unwrap()["spec"].clone();
    assert_eq!(spec.get("replicas"), None, "how many there are is for others to say");
    let pod = &spec["template"]["spec"];
    assert_eq!(pod["imagePullSecrets"], json!([{ "name": "one" }]));
    assert_eq!(pod["containers"][0]["resources"], json!({ "limits": { "cpu": "2" } }));
    assert_eq!(pod["containers"][0]["lifecycle"]["preStop"], json!({ "sleep": { "seconds": 5 } }));
    let env = pod["containers"][0]["env"].as_array().unwrap();
    assert!(env.contains(&json!({ "name": "TERMINATION_GRACE_PERIOD_SECONDS", "value": "25" })));
    assert!(env.contains(&json!({ "name": "GATEWAY_NAME", "value": "waypoint" })));
    // A broken template changes nothing; a good one is followed, by the Deployment alone.
    std::fs::write(&started.template, "imag: adit:2").unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(started.written.try_recv().is_err());
    std::fs::write(&started.template, "image: adit:2\nterminationGracePeriodSeconds: 3").unwrap();
    assert_eq!(started.written(1).await, [DEPLOYMENT]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(started.written.try_recv().is_err(), "it does not write without need");
    let rename = |it: &mut Value| {
        it["metadata"]["annotations"] = json!({ "gateway.istio.io/name-override": "other" });
    };
    started.picture.apply([gateway(rename)].into_iter());
    let made = started.written(3).await;
    assert!(made.iter().all(|path| path.ends_with("/other")), "{made:?}");
    let mut deleted = Vec::new();
    for _ in 0..3 {
        let call = started.written.recv().await.unwrap();
        assert_eq!(
            (call.method, call.body["preconditions"]["resourceVersion"].is_string()),
            (http::Method::DELETE, true)
        );
        deleted.push(call.path);
    }
    deleted.sort();
    assert_eq!(deleted, [ACCOUNT, SERVICE, DEPLOYMENT]);
    started.task.abort();
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_somebody_elses_is_left_alone_and_so_is_the_rest() {
    let objects = Objects::default();
    objects.put(SERVICE, json!({ "metadata": { "name": "waypoint", "namespace": "prod" }, "spec": {} }));
    let mut started = start(objects);
    started.lead.send_replace(true);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(started.written.try_recv().is_err());
    started.objects.remove(SERVICE);
    assert_eq!(started.written(3).await.len(), 3, "it is tried again");
    started.task.abort();
}

#[test]
fn a_template_must_be_there_and_right_to_begin_with() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("waypoint.yaml");
    let error = |path: &PathBuf| format!("{:#}", TemplateFile::open(path.clone()).err().unwrap());
    assert!(error(&path).contains("see WAYPOINT_TEMPLATE: No such file"), "{}", error(&path));
    std::fs::write(&path, "imag: x").unwrap();
    assert!(error(&path).contains("unknown field `imag`"), "{}", error(&path));
}
