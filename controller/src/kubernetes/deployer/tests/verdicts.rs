//! What a Gateway's status says when its waypoint cannot be deployed.

use controller_translate::{Kind, ObjectKey, Status, status};

use super::*;

const OPTIONS: &str = "/api/v1/namespaces/prod/configmaps/options";
/// Longer than everything that is waited for; the clock jumps.
const PATIENCE: Duration = Duration::from_secs(600);

/// `Accepted` and `Programmed` of the Gateway, in one line each.
fn conditions(cluster: &controller_translate::Cluster) -> String {
    let key = ObjectKey::new(Kind::Gateway, "prod", "waypoint");
    let Some(Status::Gateway(status)) = status::derive(cluster, &key) else { return String::new() };
    let conditions = status.conditions.iter().filter(|it| it.kind != "ResolvedRefs");
    conditions.map(|it| format!("{}={} {}: {}\n", it.kind, it.status, it.reason, it.message)).collect()
}

impl Started {
    /// Waits until the status holds that text.
    async fn says(&self, text: &str) -> String {
        self.picture.wait_until(PATIENCE, |cluster| conditions(cluster).contains(text)).await;
        let conditions = conditions(&self.picture.read());
        assert!(conditions.contains(text), "{text:?} is not in {conditions}");
        conditions
    }

    fn config_map(&self, event: &str, version: u32, data: Value) {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "namespace": "prod", "name": "options", "resourceVersion": version.to_string() },
            "data": data,
        });
        match event {
            "DELETED" => self.objects.remove(OPTIONS),
            _ => self.objects.put(OPTIONS, object.clone()),
        }
        self.news.send(json!({ "type": event, "object": object })).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn invalid_parameters_are_told_by_the_gateway_until_they_are_mended() {
    let mut started = start_with(Objects::default(), refer("options"));
    started
        .says("Accepted=False InvalidParameters: spec.infrastructure.parametersRef: there is no ConfigMap prod/options")
        .await;
    started.lead.send_replace(true);
    started.config_map("ADDED", 2, json!({ "deployment": "spec: { replicas: three }" }));
    let told =
        started.says("ConfigMap prod/options, key deployment makes no Deployment: spec.replicas").await;
    assert!(told.contains("Programmed=False Invalid: The parameters are invalid, see Accepted"), "{told}");
    started.config_map("MODIFIED", 3, json!({ "deployment": "metadata: { labels: { refuse: all } }" }));
    started.says("key deployment: the API server does not take the Deployment prod/waypoint").await;
    assert_eq!(started.written(1).await, [ACCOUNT], "what came before the Deployment");
    let refused = tokio::time::Instant::now();
    started.config_map("MODIFIED", 4, json!({ "deployment": "spec: { replicas: 3 }" }));
    started.says("Accepted=True Accepted").await;
    assert_eq!(started.written(2).await, [DEPLOYMENT, SERVICE]);
    assert!(refused.elapsed() < Duration::from_secs(5), "what is mended is not waited for");
    started.config_map("DELETED", 5, json!({}));
    started.says("there is no ConfigMap prod/options").await;
    assert!(started.written.try_recv().is_err(), "the waypoint stays as it is");
    started.task.abort();
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_somebody_elses_is_named_until_it_is_gone() {
    let objects = Objects::default();
    objects.put(SERVICE, json!({ "metadata": { "name": "waypoint", "namespace": "prod" }, "spec": {} }));
    let mut started = start(objects);
    let told = started.says("Programmed=False Invalid: Service prod/waypoint is there already").await;
    assert!(told.contains("Accepted=True") && told.contains("delete or rename it"), "{told}");
    started.lead.send_replace(true);
    started.objects.remove(SERVICE);
    started.says("Programmed=False AddressNotAssigned").await;
    assert_eq!(started.written(3).await, [ACCOUNT, DEPLOYMENT, SERVICE]);
    started.task.abort();
}

#[tokio::test(start_paused = true)]
async fn what_the_api_server_refuses_without_parameters_is_not_the_parameters_fault() {
    let labelled = |gateway: &mut Value| {
        gateway["spec"]["infrastructure"] = json!({ "labels": { "refuse": "all" } });
    };
    let started = start_with(Objects::default(), labelled);
    started.lead.send_replace(true);
    started.says("Programmed=False Invalid: the API server refuses ServiceAccount prod/waypoint").await;
    started.picture.apply([gateway(|_| {})].into_iter());
    started.says("Programmed=False AddressNotAssigned").await;
    // A Gateway that asks for no waypoint any more has nothing in its way.
    started.picture.apply([gateway(labelled)].into_iter());
    started.says("refuses").await;
    started.picture.apply(
        [gateway(|it| {
            labelled(it);
            it["spec"]["addresses"] = json!([{ "type": "Hostname", "value": "brought" }]);
        })]
        .into_iter(),
    );
    started.says("Programmed=False AddressNotAssigned").await;
    started.task.abort();
}
