//! The GatewayClasses of waypoints: made where they are missing, never changed.

use std::sync::Arc;
use std::time::Duration;

use controller_translate::Kind;
use kube::api::{ApiResource, DynamicObject, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

use crate::picture::Picture;

/// Names and who looks after them.
const CLASSES: [(&str, &str); 2] =
    [("adit-waypoint", "adit.io/mesh-controller"), ("istio-waypoint", "istio.io/mesh-controller")];
/// Before trying again to make one: it failed, or the kind is not served yet.
const RETRY: Duration = Duration::from_secs(10);
/// Somebody who always deletes them is not raced.
const PAUSE: Duration = Duration::from_secs(1);

/// Keeps them there while this replica leads. Whether they are there the picture says, which follows the API server
/// anyway.
pub async fn keep(client: Client, picture: Arc<Picture>, mut leads: watch::Receiver<bool>) {
    let classes = Classes::new(client);
    let mut progress = picture.progress();
    let mut has_failed = false;
    loop {
        let made = match *leads.borrow_and_update() {
            true => missing(&picture),
            false => Vec::new(),
        };
        let failure = classes.make(&made).await;
        match &failure {
            Some(error) if !has_failed => warn!("cannot make the GatewayClasses, trying again: {error}"),
            Some(error) => debug!("still cannot make the GatewayClasses: {error}"),
            None => {}
        }
        has_failed = failure.is_some();
        let (now, has_tried) = (Instant::now(), !made.is_empty());
        let changed = async {
            tokio::select! {
                // There is a picture for as long as this runs.
                _ = progress.changed() => {}
                elected = leads.changed() => if elected.is_err() {
                    // Nobody leads any more: the controller is about to end.
                    std::future::pending::<()>().await;
                },
            }
        };
        tokio::select! {
            () = changed => {}
            () = sleep_until(now + RETRY), if has_tried => {}
        }
        if has_tried {
            sleep_until(now + PAUSE).await;
        }
    }
}

/// The classes that are not there, once it is known which are.
fn missing(picture: &Picture) -> Vec<(&'static str, &'static str)> {
    if !picture.is_complete() {
        return Vec::new();
    }
    let cluster = picture.read();
    CLASSES.into_iter().filter(|(name, _)| !cluster.has_gateway_class(name)).collect()
}

struct Classes {
    api: Api<DynamicObject>,
    resource: ApiResource,
}

impl Classes {
    fn new(client: Client) -> Self {
        let resource = ApiResource {
            group: Kind::GatewayClass.group().to_owned(),
            version: "v1".to_owned(),
            api_version: Kind::GatewayClass.api_version(),
            kind: Kind::GatewayClass.as_str().to_owned(),
            plural: "gatewayclasses".to_owned(),
        };
        Classes { api: Api::all_with(client, &resource), resource }
    }

    /// Makes these; what prevented the last that could not be made.
    async fn make(&self, classes: &[(&str, &str)]) -> Option<kube::Error> {
        let mut failure = None;
        for (name, controller) in classes {
            let class = DynamicObject::new(name, &self.resource).data(json!({
                "spec": { "controllerName": controller, "description": "A waypoint of the mesh" }
            }));
            match self.api.create(&PostParams::default(), &class).await {
                Ok(_) => info!("made GatewayClass {name}"),
                // Somebody else was faster, or the kind is not served (yet).
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
                Err(error) => failure = Some(error),
            }
        }
        failure
    }
}

#[cfg(test)]
mod tests {
    use controller_translate::{Object, ObjectKey, Settings};

    use super::*;
    use crate::kubernetes::fake_api::Objects;
    use crate::source::Event;

    const PATH: &str = "/apis/gateway.networking.k8s.io/v1/gatewayclasses";

    fn class(name: &str) -> Event {
        let value = json!({ "metadata": { "name": name }, "spec": { "controllerName": "x" } });
        Event::Applied(Box::new(Object::from_value(Kind::GatewayClass, value).unwrap()))
    }

    #[tokio::test(start_paused = true)]
    async fn st_01_missing_classes_are_made_by_the_leader_and_deleted_ones_at_once() {
        let (lead, leads) = watch::channel(false);
        let (objects, picture) = (Objects::default(), Arc::new(Picture::new(Settings::default())));
        let keeping = tokio::spawn(keep(objects.client(), picture.clone(), leads));
        let wait = |time| tokio::time::sleep(time);
        lead.send_replace(true);
        wait(RETRY * 2).await;
        assert_eq!(objects.count(PATH), 0, "not before it is known what is there");
        picture.apply([class("istio-waypoint"), Event::InitDone].into_iter());
        wait(PAUSE).await;
        assert_eq!(objects.count(PATH), 1, "the other is there already");
        picture.apply([class("adit-waypoint")].into_iter());
        wait(RETRY).await;
        let path = format!("{PATH}/adit-waypoint");
        objects.remove(&path);
        picture.apply([Event::Deleted(ObjectKey::new(Kind::GatewayClass, "", "adit-waypoint"))].into_iter());
        wait(Duration::from_millis(1)).await;
        assert!(objects.get(&path).is_some());
        lead.send_replace(false);
        objects.remove(&path);
        wait(RETRY * 3).await;
        assert_eq!(objects.count(PATH), 0, "a replica that does not lead makes none");
        keeping.abort();
    }
}
