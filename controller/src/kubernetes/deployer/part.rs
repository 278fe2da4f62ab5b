//! The kinds of objects that make up a waypoint, and their names.

use std::fmt;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{ApiResource, DynamicObject};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A kind of object, in the order in which they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    ServiceAccount,
    Deployment,
    Service,
    HorizontalPodAutoscaler,
    PodDisruptionBudget,
}

impl Part {
    pub(super) const ALL: [Part; 5] = [
        Part::ServiceAccount,
        Part::Deployment,
        Part::Service,
        Part::HorizontalPodAutoscaler,
        Part::PodDisruptionBudget,
    ];

    pub(super) fn kind(self) -> &'static str {
        match self {
            Part::ServiceAccount => "ServiceAccount",
            Part::Deployment => "Deployment",
            Part::Service => "Service",
            Part::HorizontalPodAutoscaler => "HorizontalPodAutoscaler",
            Part::PodDisruptionBudget => "PodDisruptionBudget",
        }
    }

    /// The part that Kubernetes calls so.
    pub(super) fn find(kind: &str) -> Option<Part> {
        Part::ALL.into_iter().find(|part| part.kind() == kind)
    }

    pub(super) fn plural(self) -> &'static str {
        match self {
            Part::ServiceAccount => "serviceaccounts",
            Part::Deployment => "deployments",
            Part::Service => "services",
            Part::HorizontalPodAutoscaler => "horizontalpodautoscalers",
            Part::PodDisruptionBudget => "poddisruptionbudgets",
        }
    }

    fn group_and_version(self) -> (&'static str, &'static str) {
        match self {
            Part::ServiceAccount | Part::Service => ("", "v1"),
            Part::Deployment => ("apps", "v1"),
            Part::HorizontalPodAutoscaler => ("autoscaling", "v2"),
            Part::PodDisruptionBudget => ("policy", "v1"),
        }
    }

    /// Whether a value is an object of the kind, as far as types go; the API server knows the rest.
    pub(super) fn check(self, value: &Value) -> Result<(), String> {
        match self {
            Part::ServiceAccount => check::<ServiceAccount>(value),
            Part::Deployment => check::<Deployment>(value),
            Part::Service => check::<Service>(value),
            Part::HorizontalPodAutoscaler => check::<HorizontalPodAutoscaler>(value),
            Part::PodDisruptionBudget => check::<PodDisruptionBudget>(value),
        }
    }

    pub(super) fn resource(self) -> ApiResource {
        let (group, version) = self.group_and_version();
        ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: self.api_version(),
            kind: self.kind().to_owned(),
            plural: self.plural().to_owned(),
        }
    }

    pub(super) fn api_version(self) -> String {
        match self.group_and_version() {
            ("", version) => version.to_owned(),
            (group, version) => format!("{group}/{version}"),
        }
    }
}

fn check<T: DeserializeOwned>(value: &Value) -> Result<(), String> {
    match serde_path_to_error::deserialize::<_, T>(value) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{}: {}", error.path(), error.inner())),
    }
}

/// The name of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) part: Part,
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Key {
    pub(super) fn api(&self, client: &Client) -> Api<DynamicObject> {
        Api::namespaced_with(client.clone(), &self.namespace, &self.part.resource())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.part.kind(), self.namespace, self.name)
    }
}
