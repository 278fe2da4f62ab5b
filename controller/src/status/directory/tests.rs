//! Tests of `status::directory`.

use std::time::SystemTime;

use controller_translate::Kind;
use controller_translate::status::Condition;

use super::*;

fn accepted(message: &str) -> Option<Status> {
    Some(Status::Conditions {
        conditions: vec![Condition {
            kind: "Accepted",
            status: "True",
            reason: "Accepted",
            message: message.to_owned(),
            observed_generation: None,
        }],
    })
}

fn changes(changes: &[(&ObjectKey, Option<Status>)]) -> Changes {
    changes.iter().map(|(key, status)| ((*key).clone(), status.clone())).collect()
}

#[tokio::test]
async fn statuses_are_written_when_they_change_and_removed_with_their_objects() {
    let root = tempfile::tempdir().unwrap();
    let class = ObjectKey::new(Kind::GatewayClass, "", "istio-waypoint");
    let route = ObjectKey::new(Kind::VirtualService, "prod", "reviews");
    let class_file = root.path().join("gatewayclass/istio-waypoint.yaml");
    let route_file = root.path().join("virtualservice/prod.reviews.yaml");
    let modified = |path: &Path| -> SystemTime { fs::metadata(path).unwrap().modified().unwrap() };

    let mut writer = StatusDirectory::open(root.path()).unwrap();
    writer.write(changes(&[(&class, accepted("one")), (&route, accepted("two"))])).await;
    let text = fs::read_to_string(&route_file).unwrap();
    let document: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(
        (&document["kind"], &document["metadata"]["namespace"]),
        (&"VirtualService".into(), &"prod".into())
    );
    let condition = &document["status"]["conditions"][0];
    assert_eq!((&condition["type"], &condition["status"]), (&"Accepted".into(), &"True".into()));
    assert!(condition["lastTransitionTime"].as_str().unwrap().ends_with('Z'));

    let written = modified(&class_file);
    writer.write(changes(&[(&class, accepted("one"))])).await;
    assert_eq!(modified(&class_file), written, "the same is not written again");

    // After a restart the same is not written again either, and what is left over goes.
    let mut writer = StatusDirectory::open(root.path()).unwrap();
    writer.write(changes(&[(&class, accepted("one"))])).await;
    assert_eq!(modified(&class_file), written);
    assert!(!route_file.exists());
    writer.write(changes(&[(&class, None)])).await;
    assert!(!class_file.exists());
}

#[tokio::test]
async fn names_lead_nowhere_else_and_foreign_files_are_harmless() {
    let root = tempfile::tempdir().unwrap();
    let inside = root.path().join("status");
    fs::create_dir_all(inside.join("gateway")).unwrap();
    fs::write(inside.join("gateway/prod.a.yaml"), "nonsense: [").unwrap();
    let mut writer = StatusDirectory::open(&inside).unwrap();
    for (namespace, name) in [("prod", "../../../x"), ("..", "x/y"), ("prod", ""), ("a/b", "c")] {
        let key = ObjectKey::new(Kind::Gateway, namespace, name);
        writer.write(changes(&[(&key, accepted("evil"))])).await;
    }
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    assert!(!inside.join("gateway/prod.a.yaml").exists(), "no object has it");
    let key = ObjectKey::new(Kind::Gateway, "prod", "a");
    writer.write(changes(&[(&key, accepted("good"))])).await;
    assert!(inside.join("gateway/prod.a.yaml").exists());
}

#[tokio::test]
async fn what_cannot_be_written_is_written_with_the_next_change() {
    let root = tempfile::tempdir().unwrap();
    let mut writer = StatusDirectory::open(root.path()).unwrap();
    let key = ObjectKey::new(Kind::Gateway, "prod", "a");
    // A file where the directory should be.
    fs::write(root.path().join("gateway"), "").unwrap();
    writer.write(changes(&[(&key, accepted("one"))])).await;
    fs::remove_file(root.path().join("gateway")).unwrap();
    writer.write(changes(&[(&key, accepted("one"))])).await;
    assert!(root.path().join("gateway/prod.a.yaml").exists());
}
