//! Which namespaces still want a text: those that are there, without those whose ConfigMap says
//! what it should.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::ResourceExt;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::Event;

use super::LABEL;

/// Nothing that is part of a mesh runs there.
const EXCLUDED: [&str; 3] = ["kube-public", "kube-node-lease", "local-path-storage"];

pub(super) struct Pending {
    /// Under which key the text is.
    key: &'static str,
    namespaces: Listed<()>,
    /// The text in each namespace's ConfigMap; `None` where it is wrong otherwise.
    texts: Listed<Option<String>>,
}

/// What a watch has told, complete once its first list has ended.
struct Listed<T> {
    is_complete: bool,
    known: BTreeMap<String, T>,
    /// A list that is being read; it replaces `known`.
    incoming: BTreeMap<String, T>,
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Listed { is_complete: false, known: BTreeMap::new(), incoming: BTreeMap::new() }
    }
}

impl<T> Listed<T> {
    fn take<K>(&mut self, event: Event<K>, entry: impl Fn(K) -> (String, Option<T>)) {
        match event {
            Event::Init => self.incoming.clear(),
            Event::InitApply(object) => {
                if let (name, Some(value)) = entry(object) {
                    self.incoming.insert(name, value);
                }
            }
            Event::InitDone => {
                self.known = std::mem::take(&mut self.incoming);
                self.is_complete = true;
            }
            Event::Apply(object) => match entry(object) {
                (name, Some(value)) => drop(self.known.insert(name, value)),
                (name, None) => drop(self.known.remove(&name)),
            },
            Event::Delete(object) => drop(self.known.remove(&entry(object).0)),
        }
    }
}

impl Pending {
    /// Nothing is known yet.
    pub(super) fn new(key: &'static str) -> Pending {
        Pending { key, namespaces: Listed::default(), texts: Listed::default() }
    }

    pub(super) fn namespace(&mut self, event: Event<PartialObjectMeta<Namespace>>) {
        self.namespaces.take(event, |namespace| {
            // In one that is going nothing can be made any more.
            let stays = namespace.metadata.deletion_timestamp.is_none();
            (namespace.name_any(), stays.then_some(()))
        });
    }

    pub(super) fn config_map(&mut self, event: Event<ConfigMap>) {
        let key = self.key;
        self.texts.take(event, |map| {
            let (label, value) = LABEL;
            let is_labelled = map.labels().get(label).is_some_and(|it| it == value);
            let namespace = map.namespace().unwrap_or_default();
            let text = map.data.unwrap_or_default().remove(key);
            (namespace, Some(text.filter(|_| is_labelled)))
        });
    }

    /// Namespaces where this text is not, once it is known what there is.
    pub(super) fn wanting(&self, text: &str) -> BTreeSet<String> {
        if !self.namespaces.is_complete || !self.texts.is_complete {
            return BTreeSet::new();
        }
        let has = |namespace: &str| {
            self.texts.known.get(namespace).and_then(Option::as_deref).is_some_and(|it| it == text)
        };
        let names = self.namespaces.known.keys();
        names.filter(|name| !EXCLUDED.contains(&name.as_str()) && !has(name)).cloned().collect()
    }

    /// So the watch need not be waited for.
    pub(super) fn written(&mut self, namespace: String, text: &str) {
        self.texts.known.insert(namespace, Some(text.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn namespace(name: &str) -> PartialObjectMeta<Namespace> {
        read(json!({ "metadata": { "name": name } }))
    }

    fn map(namespace: &str, labels: &Value, root: &str) -> ConfigMap {
        read(json!({
            "metadata": { "name": "istio-ca-root-cert", "namespace": namespace, "labels": labels },
            "data": { "root-cert.pem": root }
        }))
    }

    fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).unwrap()
    }

    fn wanting(pending: &Pending) -> Vec<String> {
        pending.wanting("R").into_iter().collect()
    }

    /// Two namespaces, of which `done` has its ConfigMap, and all that are left out.
    fn pending() -> Pending {
        let mut pending = Pending::new("root-cert.pem");
        pending.namespace(Event::Init);
        for name in ["done", "new", "kube-system", "kube-public", "kube-node-lease", "local-path-storage"] {
            pending.namespace(Event::InitApply(namespace(name)));
        }
        pending.namespace(Event::InitDone);
        assert!(wanting(&pending).is_empty(), "the ConfigMaps are not known yet");
        pending.config_map(Event::Init);
        pending.config_map(Event::InitApply(map("done", &json!({ "istio.io/config": "true" }), "R")));
        pending.config_map(Event::InitDone);
        pending
    }

    #[test]
    fn every_namespace_but_three_wants_the_roots() {
        let mut pending = pending();
        assert_eq!(wanting(&pending), ["kube-system", "new"]);
        assert_eq!(pending.wanting("R2").len(), 3, "other roots are wanted everywhere");
        pending.written("new".to_owned(), "R");
        pending.namespace(Event::Apply(namespace("later")));
        assert_eq!(wanting(&pending), ["kube-system", "later"]);
        pending.namespace(Event::Delete(namespace("later")));
        assert_eq!(wanting(&pending), ["kube-system"]);
    }

    #[test]
    fn a_namespace_that_is_going_wants_nothing() {
        let mut pending = pending();
        let going = json!({ "metadata": { "name": "new", "deletionTimestamp": "2026-01-01T00:00:00Z" } });
        pending.namespace(Event::Apply(read(going)));
        assert_eq!(wanting(&pending), ["kube-system"]);
    }

    #[test]
    fn what_is_edited_or_deleted_is_wanting_again() {
        let label = json!({ "istio.io/config": "true" });
        let edits = [
            Event::Apply(map("done", &label, "edited")),
            Event::Apply(map("done", &json!({}), "R")),
            Event::Delete(map("done", &label, "R")),
        ];
        for edit in edits {
            let mut pending = pending();
            pending.config_map(edit);
            assert_eq!(wanting(&pending), ["done", "kube-system", "new"]);
        }
    }

    #[test]
    fn a_new_list_replaces_the_old_when_it_has_ended() {
        let mut pending = pending();
        pending.config_map(Event::Init);
        assert_eq!(wanting(&pending), ["kube-system", "new"]);
        pending.config_map(Event::InitDone);
        assert_eq!(wanting(&pending), ["done", "kube-system", "new"]);
    }
}
