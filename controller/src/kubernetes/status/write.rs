//! One status, written.

use controller_translate::ObjectKey;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::differ::Task;
use super::shared_list::SharedList;

/// How often a write is tried again because somebody else wrote in between.
const CONFLICTS: usize = 5;

/// Does it; an object that is gone needs no status.
pub(super) async fn write(client: &Client, key: &ObjectKey, task: Task) -> kube::Result<()> {
    let result = match task {
        Task::Apply { api_version, manager, status } => {
            apply(&api(client, key, &api_version), key, &api_version, manager, &status).await
        }
        Task::Share { api_version, list, entries } => {
            share(&api(client, key, &api_version), key, list, &entries).await
        }
    };
    match result {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        result => result,
    }
}

fn api(client: &Client, key: &ObjectKey, api_version: &str) -> Api<DynamicObject> {
    let kind = key.kind.as_str();
    let resource = ApiResource {
        group: key.kind.group().to_owned(),
        version: api_version.rsplit('/').next().unwrap_or(api_version).to_owned(),
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        plural: plural(kind),
    };
    match key.namespace.as_ref() {
        "" => Api::all_with(client.clone(), &resource),
        namespace => Api::namespaced_with(client.clone(), namespace, &resource),
    }
}

/// As the API has it: regular for every kind with a status of ours.
fn plural(kind: &str) -> String {
    let kind = kind.to_lowercase();
    match kind.strip_suffix('y') {
        Some(stem) if !stem.ends_with('a') => format!("{stem}ies"),
        _ if kind.ends_with('s') => format!("{kind}es"),
        _ => format!("{kind}s"),
    }
}

async fn apply(
    api: &Api<DynamicObject>,
    key: &ObjectKey,
    api_version: &str,
    manager: &str,
    status: &Value,
) -> kube::Result<()> {
    let mut metadata = json!({ "name": &*key.name });
    if !key.namespace.is_empty() {
        metadata["namespace"] = (&*key.namespace).into();
    }
    let patch = json!({
        "apiVersion": api_version, "kind": key.kind.as_str(), "metadata": metadata, "status": status
    });
    let parameters = PatchParams::apply(manager).force();
    api.patch_status(&key.name, &parameters, &Patch::Apply(&patch)).await.map(drop)
}

async fn share(
    api: &Api<DynamicObject>,
    key: &ObjectKey,
    list: SharedList,
    entries: &[Value],
) -> kube::Result<()> {
    let mut attempt = 1;
    loop {
        let object = api.get(&key.name).await?;
        let status = object.data.get("status").unwrap_or(&Value::Null);
        let merged = list.merge(status, entries.to_vec());
        let patch = json!({
            "metadata": { "resourceVersion": object.metadata.resource_version },
            "status": { (list.field): merged },
        });
        let parameters =
            PatchParams { field_manager: Some("adit.io/route-status".to_owned()), ..PatchParams::default() };
        match api.patch_status(&key.name, &parameters, &Patch::Merge(&patch)).await {
            Err(kube::Error::Api(status)) if status.code == 409 && attempt < CONFLICTS => attempt += 1,
            result => return result.map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use controller_translate::Kind;

    use super::*;

    #[test]
    fn plurals_are_those_of_the_api() {
        let cases = [
            (Kind::Service, "services"),
            (Kind::Gateway, "gateways"),
            (Kind::GatewayClass, "gatewayclasses"),
            (Kind::HttpRoute, "httproutes"),
            (Kind::AuthorizationPolicy, "authorizationpolicies"),
            (Kind::PeerAuthentication, "peerauthentications"),
            (Kind::BackendTlsPolicy, "backendtlspolicies"),
        ];
        for (kind, expected) in cases {
            assert_eq!(plural(kind.as_str()), expected);
        }
        assert_eq!(plural("ServiceEntry"), "serviceentries");
    }
}
