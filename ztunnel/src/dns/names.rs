//! Which hosts a question may mean: the short names of Kubernetes, made whole, and names that
//! a search list has made too long, made short again (DNS-04, DNS-05, DNS-18).

use hickory_proto::rr::Name;

/// The name all services of the cluster end in.
#[derive(Clone, Debug)]
pub(super) struct Domain {
    /// `cluster.local`
    cluster: String,
    /// `svc.cluster.local`
    services: String,
}

/// A host the question may mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) host: String,
    /// What is left of the question once a search domain is taken off, if one had to be.
    pub(super) stripped: Option<String>,
}

impl Domain {
    pub(super) fn new(cluster: &str) -> Self {
        let cluster = cluster.trim_matches('.').to_ascii_lowercase();
        Domain { services: format!("svc.{cluster}"), cluster }
    }

    /// Whether a host is that of a Service of the cluster.
    pub(super) fn has_service(&self, host: &str) -> bool {
        strip(host, &self.services).is_some()
    }

    /// The hosts that a client of this namespace may mean, the likeliest first.
    pub(super) fn candidates(&self, asked: &str, namespace: &str) -> Vec<Candidate> {
        let mut found: Vec<Candidate> = Vec::new();
        let mut add = |host: String, stripped: Option<&str>| {
            if !found.iter().any(|known| known.host == host) {
                found.push(Candidate { host, stripped: stripped.map(str::to_owned) });
            }
        };
        add(asked.to_owned(), None);
        self.expansions(asked, namespace).into_iter().for_each(|host| add(host, None));
        // The search list of the pod, not of ztunnel's own resolver.
        let own = format!("{namespace}.{}", self.services);
        for searched in [&own, &self.services, &self.cluster] {
            let Some(stripped) = strip(asked, searched) else { continue };
            add(stripped.to_owned(), Some(stripped));
            self.expansions(stripped, namespace).into_iter().for_each(|host| add(host, Some(stripped)));
        }
        found
    }

    /// A short name of Kubernetes as whole names: `service`, `service.namespace`,
    /// `service.namespace.svc`, and the same with a pod before the service.
    fn expansions(&self, name: &str, namespace: &str) -> Vec<String> {
        let Domain { cluster, services } = self;
        let ends_in_svc = name.ends_with(".svc");
        let in_cluster = || format!("{name}.{cluster}");
        let in_services = || format!("{name}.{services}");
        let in_namespace = || format!("{name}.{namespace}.{services}");
        match name.split('.').count() {
            1 => vec![in_namespace()],
            2 => vec![in_services(), in_namespace()],
            3 if ends_in_svc => vec![in_cluster(), in_services()],
            3 => vec![in_services()],
            4 if ends_in_svc => vec![in_cluster()],
            _ => Vec::new(),
        }
    }
}

/// The wildcards that cover a host, the longest first: `*.b.c` and `*.c` for `a.b.c` (DNS-09).
pub(super) fn wildcards(host: &str) -> impl Iterator<Item = String> {
    let mut rest = host;
    std::iter::from_fn(move || {
        (_, rest) = rest.split_once('.')?;
        Some(format!("*.{rest}"))
    })
}

/// A name in the form in which hosts are known: lower case, without the last dot. None when
/// it has characters that no host of the mesh has.
pub(super) fn find_host(name: &Name) -> Option<String> {
    let mut host = String::with_capacity(name.len());
    for label in name {
        if !host.is_empty() {
            host.push('.');
        }
        for byte in label {
            let known = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            host.push(known.then(|| byte.to_ascii_lowercase().into())?);
        }
    }
    (!host.is_empty()).then_some(host)
}

/// What is before `.domain`; nothing if that is all there is.
fn strip<'n>(name: &'n str, domain: &str) -> Option<&'n str> {
    name.strip_suffix(domain)?.strip_suffix('.').filter(|rest| !rest.is_empty())
}

#[cfg(test)]
mod tests;
