//! Who an echo server says it is.

use serde::Serialize;

/// The names that stand in every answer.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Name {
    /// The service it is part of.
    pub(super) service: String,
    /// Its version; may be empty.
    pub(super) version: String,
    /// The pod, else the host name.
    pub(super) pod: String,
    /// The pod's namespace; may be empty.
    pub(super) namespace: String,
}

impl Name {
    /// From flags and environment; the host's name stands for what is missing.
    pub(super) fn new(service: Option<String>, version: Option<String>) -> Self {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let pod = variable("POD_NAME")
            .or_else(|| nix::unistd::gethostname().ok()?.into_string().ok())
            .unwrap_or_else(|| "echo".to_owned());
        Name {
            service: service.unwrap_or_else(|| pod.clone()),
            version: version.unwrap_or_default(),
            namespace: variable("POD_NAMESPACE").unwrap_or_default(),
            pod,
        }
    }

    /// `service-version`, as TCP answers begin.
    pub(super) fn label(&self) -> String {
        if self.version.is_empty() {
            self.service.clone()
        } else {
            format!("{}-{}", self.service, self.version)
        }
    }
}
