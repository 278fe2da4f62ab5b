//! Which of our kinds the API server serves, and in which version.

use std::collections::BTreeMap;

use controller_translate::Kind;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResourceList;
use kube::Client;
use kube::core::ApiResource;

/// What is served.
#[derive(Debug, Default)]
pub(super) struct Served {
    /// By kind, how to ask for it in the best version that we read.
    pub(super) kinds: BTreeMap<Kind, ApiResource>,
    /// Kinds that are served only in versions that we do not read, and in which.
    pub(super) unread: BTreeMap<Kind, Vec<String>>,
}

/// Kinds of which nothing in the picture is made.
pub(super) fn is_wanted(kind: Kind) -> bool {
    !matches!(kind, Kind::ServiceAccount | Kind::Deployment)
}

/// Asks the API server.
pub(super) async fn served(client: &Client) -> kube::Result<Served> {
    let groups = client.list_api_groups().await?;
    let mut lists: BTreeMap<String, APIResourceList> = BTreeMap::new();
    let mut served = Served::default();
    for kind in Kind::all().filter(|kind| is_wanted(*kind)) {
        let versions: Vec<String> = match kind.group() {
            "" => vec!["v1".to_owned()],
            name => {
                let group = groups.groups.iter().find(|group| group.name == name);
                let versions = group.into_iter().flat_map(|group| &group.versions);
                versions.map(|version| version.version.clone()).collect()
            }
        };
        for version in kind.versions().iter().filter(|it| versions.iter().any(|served| served == *it)) {
            let api_version = match kind.group() {
                "" => (*version).to_owned(),
                group => format!("{group}/{version}"),
            };
            if !lists.contains_key(&api_version) {
                lists.insert(api_version.clone(), resources(client, kind.group(), &api_version).await?);
            }
            if let Some(resource) = lists.get(&api_version).and_then(|list| find(list, kind, version)) {
                served.kinds.insert(kind, resource);
                break;
            }
        }
        if served.kinds.contains_key(&kind) {
            continue;
        }
        let others = versions.iter().filter(|version| !kind.versions().contains(&version.as_str()));
        for version in others {
            let api_version = format!("{}/{version}", kind.group());
            let list = resources(client, kind.group(), &api_version).await?;
            if find(&list, kind, version).is_some() {
                served.unread.entry(kind).or_default().push(version.clone());
            }
        }
    }
    Ok(served)
}

async fn resources(client: &Client, group: &str, api_version: &str) -> kube::Result<APIResourceList> {
    match group {
        "" => client.list_core_api_resources(api_version).await,
        _ => client.list_api_group_resources(api_version).await,
    }
}

fn find(list: &APIResourceList, kind: Kind, version: &str) -> Option<ApiResource> {
    let is_it = |name: &str, of: &str| of == kind.as_str() && !name.contains('/');
    let resource = list.resources.iter().find(|it| is_it(&it.name, &it.kind))?;
    Some(ApiResource {
        group: kind.group().to_owned(),
        version: version.to_owned(),
        api_version: list.group_version.clone(),
        kind: kind.as_str().to_owned(),
        plural: resource.name.clone(),
    })
}
