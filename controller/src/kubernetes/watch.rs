//! One kind, watched: its objects as events, whatever happens to the connection.

use std::collections::BTreeSet;
use std::mem;
use std::sync::atomic::Ordering;

use controller_translate::cluster::config_maps_of;
use controller_translate::{Kind, Object, ObjectKey};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, PartialObjectMeta};
use kube::runtime::{WatchStreamExt, watcher};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, warn};

use super::retry::Retry;
use super::{Shared, certificates, convert};
use crate::source::Event;

/// A watch of one kind.
pub(super) struct Watch {
    pub(super) shared: Shared,
    pub(super) kind: Kind,
    pub(super) resource: ApiResource,
    pub(super) events: mpsc::Sender<Event>,
    /// Told once the first list is complete.
    pub(super) listed: mpsc::UnboundedSender<Kind>,
    /// The objects that the reader of events knows of.
    pub(super) known: BTreeSet<ObjectKey>,
}

type Objects = BoxStream<'static, watcher::Result<watcher::Event<DynamicObject>>>;

/// Nobody reads events any more.
struct Closed;

impl Watch {
    /// Sends events until `stop`, or until nobody reads them; answers which objects the
    /// reader still knows of.
    pub(super) async fn run(mut self, mut stop: oneshot::Receiver<()>) -> BTreeSet<ObjectKey> {
        let mut objects = self.objects();
        let mut listing = None;
        loop {
            let next = tokio::select! {
                biased;
                _ = &mut stop => break,
                next = objects.next() => next,
            };
            let taken = match next {
                None => break,
                Some(Ok(event)) => self.take(event, &mut listing).await,
                Some(Err(error)) => {
                    self.shared.statistics.watch_errors.fetch_add(1, Ordering::Relaxed);
                    self.explain(&error);
                    Ok(())
                }
            };
            if taken.is_err() {
                break;
            }
        }
        self.known
    }

    fn objects(&self) -> Objects {
        let client = self.shared.client.clone();
        let config = match self.kind {
            // Pods that have run to their end have no address and never will again.
            Kind::Pod => watcher::Config::default().fields("status.phase!=Succeeded,status.phase!=Failed"),
            // A cluster's ConfigMaps are large and many, and one of them means something here.
            Kind::ConfigMap => {
                watcher::Config::default().fields(&format!("metadata.name={}", self.shared.mesh_config_map))
            }
            _ => watcher::Config::default(),
        };
        if !reads_metadata_only(self.kind) {
            return watcher(Api::all_with(client, &self.resource), config).backoff(Retry::default()).boxed();
        }
        let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(client, &self.resource);
        let resource = self.resource.clone();
        let whole = move |object: PartialObjectMeta<DynamicObject>| DynamicObject {
            metadata: object.metadata,
            ..DynamicObject::new("", &resource)
        };
        let stream = watcher(api, config).map_ok(move |event| map(event, &whole));
        stream.backoff(Retry::default()).boxed()
    }

    async fn take(
        &mut self,
        event: watcher::Event<DynamicObject>,
        listing: &mut Option<BTreeSet<ObjectKey>>,
    ) -> Result<(), Closed> {
        match event {
            watcher::Event::Init => {
                *listing = Some(BTreeSet::new());
                Ok(())
            }
            watcher::Event::InitApply(object) => {
                let key = convert::key(self.kind, &object);
                listing.get_or_insert_default().insert(key.clone());
                self.apply(key, object).await
            }
            watcher::Event::InitDone => self.end_list(listing.take().unwrap_or_default()).await,
            watcher::Event::Apply(object) => self.apply(convert::key(self.kind, &object), object).await,
            watcher::Event::Delete(object) => {
                let key = convert::key(self.kind, &object);
                self.known.remove(&key);
                self.delete(key).await
            }
        }
    }

    /// What went while nobody watched is not in the list.
    async fn end_list(&mut self, listed: BTreeSet<ObjectKey>) -> Result<(), Closed> {
        let known = mem::replace(&mut self.known, listed);
        for key in known.difference(&self.known.clone()) {
            self.delete(key.clone()).await?;
        }
        debug!("listed {} objects of kind {}", self.known.len(), self.kind);
        // Only the first is waited for; nobody minds being told again.
        self.listed.send(self.kind).map_err(|_| Closed)
    }

    async fn apply(&mut self, key: ObjectKey, object: DynamicObject) -> Result<(), Closed> {
        let Shared { problems, seen, statistics, .. } = &self.shared;
        let version = object.metadata.resource_version.clone().unwrap_or_default();
        seen.put(&key, &self.resource.api_version, &object);
        self.known.insert(key.clone());
        match convert::object(self.kind, object) {
            Ok(object) => {
                problems.clear(&key);
                self.send_certificates(&object).await?;
                self.send(Event::Applied(Box::new(object))).await
            }
            Err((field, message)) => {
                if problems.put(&key, &version, field, message) {
                    statistics.unreadable.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            }
        }
    }

    /// What a policy needs goes before it.
    async fn send_certificates(&self, object: &Object) -> Result<(), Closed> {
        let Object::BackendTlsPolicy(policy) = object else { return Ok(()) };
        for map in config_maps_of(&object.key().namespace, &policy.spec) {
            if let Some(certificates) = certificates::read(&self.shared.client, &map).await {
                self.send(Event::Certificates(map, certificates)).await?;
            }
        }
        Ok(())
    }

    async fn delete(&self, key: ObjectKey) -> Result<(), Closed> {
        self.shared.problems.clear(&key);
        self.shared.seen.remove(&key);
        self.send(Event::Deleted(key)).await
    }

    async fn send(&self, event: Event) -> Result<(), Closed> {
        self.events.send(event).await.map_err(|_| Closed)
    }

    fn explain(&self, error: &watcher::Error) {
        let kind = self.kind;
        match error {
            // The usual end of a watch that was quiet for long: it is listed again.
            watcher::Error::WatchError(status) if status.code == 410 => {
                self.shared.statistics.relists.fetch_add(1, Ordering::Relaxed);
                debug!("the watch of {kind} is too old and begins anew");
            }
            error => warn!("cannot watch {kind}, trying again: {error}"),
        }
    }
}

/// Kinds of which only names and labels are of use.
fn reads_metadata_only(kind: Kind) -> bool {
    matches!(kind, Kind::Node | Kind::Namespace)
}

fn map<A, B>(event: watcher::Event<A>, with: &impl Fn(A) -> B) -> watcher::Event<B> {
    match event {
        watcher::Event::Init => watcher::Event::Init,
        watcher::Event::InitDone => watcher::Event::InitDone,
        watcher::Event::InitApply(object) => watcher::Event::InitApply(with(object)),
        watcher::Event::Apply(object) => watcher::Event::Apply(with(object)),
        watcher::Event::Delete(object) => watcher::Event::Delete(with(object)),
    }
}
