//! Host names in Istio's objects: short names, full names and wildcards.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Cluster, Name, Settings};

/// The hosts that one `host` of an object stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HostPattern {
    /// One host, by its full name.
    Exact(String),
    /// Every host that ends in this; empty for `*`.
    Suffix(String),
}

impl HostPattern {
    /// Reads a host of an object in `namespace`, where short names get their meaning.
    pub(crate) fn new(settings: &Settings, namespace: &str, host: &str) -> Self {
        let host = host.to_ascii_lowercase();
        match host.strip_prefix('*') {
            Some(suffix) => HostPattern::Suffix(suffix.to_owned()),
            None if host.contains('.') => HostPattern::Exact(host),
            None => HostPattern::Exact(format!("{host}.{namespace}.svc.{}", settings.domain)),
        }
    }

    pub(crate) fn matches(&self, host: &str) -> bool {
        match self {
            HostPattern::Exact(exact) => exact == host,
            HostPattern::Suffix(suffix) => host.ends_with(suffix.as_str()),
        }
    }

    /// How closely it names a host: exact names before wildcards, long ones before short ones.
    pub(crate) fn rank(&self) -> usize {
        match self {
            HostPattern::Exact(_) => usize::MAX,
            HostPattern::Suffix(suffix) => suffix.len(),
        }
    }

    /// The host names it stands for; an exact one whether anything has it or not.
    pub(crate) fn hostnames(&self, cluster: &Cluster) -> BTreeSet<Arc<str>> {
        match self {
            HostPattern::Exact(host) => BTreeSet::from([host.as_str().into()]),
            HostPattern::Suffix(_) => {
                let services = cluster.services.iter().map(|(name, _)| cluster.hostname(name));
                let entries = cluster.entries_by_host.keys().cloned();
                services.chain(entries).filter(|host| self.matches(host)).collect()
            }
        }
    }
}

impl Settings {
    /// The host name of a service.
    pub(crate) fn hostname(&self, service: &Name) -> Arc<str> {
        format!("{}.{}.svc.{}", service.name, service.namespace, self.domain).into()
    }

    /// The name of the service that a full host name would have, whether it exists or not.
    pub(crate) fn service_of_host(&self, host: &str) -> Option<Name> {
        let rest = host.strip_suffix(self.domain.as_ref())?.strip_suffix(".svc.")?;
        let (name, namespace) = rest.split_once('.')?;
        (!name.is_empty() && !namespace.is_empty() && !namespace.contains('.'))
            .then(|| Name::new(namespace, name))
    }

    /// The full name that a `host` in an object of `namespace` stands for. A wildcard is itself: it can be the
    /// host of a ServiceEntry.
    pub(crate) fn hostname_meant(&self, namespace: &str, host: &str) -> Arc<str> {
        match HostPattern::new(self, namespace, host) {
            HostPattern::Exact(host) => host.into(),
            HostPattern::Suffix(suffix) => format!("*{suffix}").into(),
        }
    }
}

impl Cluster {
    pub(crate) fn hostname(&self, service: &Name) -> Arc<str> {
        self.settings.hostname(service)
    }

    pub(crate) fn service_of_host(&self, host: &str) -> Option<Name> {
        self.settings.service_of_host(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_belong_to_the_namespace_they_are_written_in() {
        let settings = Settings::default();
        let named = |host| {
            let hostname = settings.hostname_meant("prod", host);
            settings.service_of_host(&hostname).map(|name| name.to_string())
        };
        assert_eq!(named("web").as_deref(), Some("prod/web"));
        assert_eq!(named("Web.Other.svc.cluster.local").as_deref(), Some("other/web"));
        for nothing in
            ["web.other", "example.com", ".prod.svc.cluster.local", "a.b.c.svc.cluster.local", "*", ""]
        {
            assert_eq!(named(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn closer_names_come_first() {
        let settings = Settings::default();
        let host = "web.prod.svc.cluster.local";
        let patterns = ["*", "*.svc.cluster.local", "*.prod.svc.cluster.local", host];
        let patterns = patterns.map(|text| HostPattern::new(&settings, "x", text));
        assert!(patterns.iter().all(|pattern| pattern.matches(host)));
        assert!(patterns.is_sorted_by_key(HostPattern::rank));
        assert!(!HostPattern::new(&settings, "prod", "we").matches(host));
    }
}
