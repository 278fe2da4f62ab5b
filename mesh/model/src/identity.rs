//! A workload's identity in SPIFFE form, `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

/// Who a workload is: the service account it runs as (wire.md §3).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// For instance `cluster.local`.
    pub trust_domain: Arc<str>,
    /// The service account's namespace; may be empty (ID-01).
    pub namespace: Arc<str>,
    /// The service account's name; may be empty (ID-01).
    pub service_account: Arc<str>,
}

/// A text that is not an identity.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not an identity; expected spiffe://<trust domain>/ns/<namespace>/sa/<service account>")]
pub struct InvalidIdentity(pub String);

impl Identity {
    /// An identity from its three parts.
    pub fn new(
        trust_domain: impl Into<Arc<str>>,
        namespace: impl Into<Arc<str>>,
        service_account: impl Into<Arc<str>>,
    ) -> Self {
        Identity {
            trust_domain: trust_domain.into(),
            namespace: namespace.into(),
            service_account: service_account.into(),
        }
    }

    /// The form policies compare: without the `spiffe://` prefix (L4-10).
    pub fn principal(&self) -> String {
        format!("{}/ns/{}/sa/{}", self.trust_domain, self.namespace, self.service_account)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/ns/{}/sa/{}", self.trust_domain, self.namespace, self.service_account)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Identity {
    type Err = InvalidIdentity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidIdentity(text.to_owned());
        let mut parts = text.strip_prefix("spiffe://").ok_or_else(invalid)?.split('/');
        let mut next = || parts.next();
        match (next(), next(), next(), next(), next(), next()) {
            (Some(domain), Some("ns"), Some(namespace), Some("sa"), Some(account), None) => {
                Ok(Identity::new(domain, namespace, account))
            }
            _ => Err(invalid()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_01_parses_only_the_exact_form() {
        let id: Identity = "spiffe://td/ns/prod/sa/web.v1".parse().unwrap();
        assert_eq!(id, Identity::new("td", "prod", "web.v1"));
        assert_eq!(id.to_string(), "spiffe://td/ns/prod/sa/web.v1");
        assert_eq!(id.principal(), "td/ns/prod/sa/web.v1");
        assert_eq!("spiffe://td/ns//sa/".parse(), Ok(Identity::new("td", "", "")));
        for bad in [
            "",
            "td/ns/a/sa/b",
            "spiffe://td",
            "spiffe://td/ns/a/sa",
            "spiffe://td/ns/a/sa/b/c",
            "spiffe://td/nx/a/sa/b",
            "spiffe://td/ns/a/sx/b",
            "https://td/ns/a/sa/b",
        ] {
            assert_eq!(bad.parse::<Identity>(), Err(InvalidIdentity(bad.to_owned())), "{bad}");
        }
    }
}
