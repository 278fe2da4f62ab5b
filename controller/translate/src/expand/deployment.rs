//! The pods of a Deployment, as Kubernetes would make them by way of a ReplicaSet.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use crate::labels;

/// More pods than this are not made of one Deployment.
pub const MAX_REPLICAS: i32 = 1000;

/// Digits without vowels, so that no hash spells a word.
const DIGITS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// One pod for each replica. The same Deployment always has pods of the same names, `<deployment>-<hash of
/// the template>-<number>`; another template has others.
pub fn pods(deployment: &Deployment) -> Vec<Pod> {
    let Some(spec) = &deployment.spec else { return Vec::new() };
    let name = deployment.metadata.name.as_deref().unwrap_or_default();
    let hash = hash(&spec.template);
    let replica_set = format!("{name}-{hash}");
    let replicas = spec.replicas.unwrap_or(1).clamp(0, MAX_REPLICAS);
    (0..replicas).map(|number| pod(deployment, &spec.template, &replica_set, &hash, number)).collect()
}

fn pod(
    deployment: &Deployment,
    template: &PodTemplateSpec,
    replica_set: &str,
    hash: &str,
    number: i32,
) -> Pod {
    let mut metadata = template.metadata.clone().unwrap_or_default();
    metadata.labels.get_or_insert_default().insert(labels::POD_TEMPLATE_HASH.to_owned(), hash.to_owned());
    let owner = OwnerReference {
        api_version: "apps/v1".to_owned(),
        kind: "ReplicaSet".to_owned(),
        name: replica_set.to_owned(),
        controller: Some(true),
        ..OwnerReference::default()
    };
    Pod {
        metadata: ObjectMeta {
            name: Some(format!("{replica_set}-{number}")),
            namespace: deployment.metadata.namespace.clone(),
            owner_references: Some(vec![owner]),
            ..metadata
        },
        spec: template.spec.clone(),
        status: None,
    }
}

/// FNV-1a over the template's JSON; it has to be the same in every release, or an upgrade would
/// restart every pod.
fn hash(template: &PodTemplateSpec) -> String {
    let text = serde_json::to_string(template).unwrap_or_default();
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let mut rest = text.bytes().fold(0xcbf2_9ce4_8422_2325, fold);
    let mut digits = String::with_capacity(10);
    for _ in 0..10 {
        digits.push(char::from(DIGITS[usize::try_from(rest % 27).unwrap_or(0)]));
        rest /= 27;
    }
    digits
}
