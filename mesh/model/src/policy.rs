//! An L4 authorization policy (wire.md §5.5). What it means is `mesh-authz`'s business.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::ParseNameError;

/// A policy as the controller describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Namespace and name.
    pub key: PolicyKey,
    /// Whose traffic it judges.
    pub scope: Scope,
    /// What a match means.
    pub action: Action,
    /// Alternatives; none at all never matches (L4-08).
    pub rules: Vec<Rule>,
    /// Only logged.
    pub dry_run: bool,
}

/// The name of a policy, written `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyKey {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
}

impl PolicyKey {
    /// A key from its parts.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        PolicyKey { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for PolicyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl FromStr for PolicyKey {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((namespace, name)) if !name.is_empty() && !name.contains('/') => {
                Ok(PolicyKey::new(namespace, name))
            }
            _ => Err(ParseNameError(text.to_owned())),
        }
    }
}

/// Whose traffic a policy judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every workload's.
    Global,
    /// That of the workloads in its namespace.
    Namespace,
    /// That of the workloads that name it.
    WorkloadSelector,
}

/// What a match means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The connection is allowed, if none denies.
    Allow,
    /// The connection is denied.
    Deny,
}

/// All clauses have to match; a rule without any matches everything.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Rule {
    /// The clauses.
    pub clauses: Vec<Clause>,
}

/// One match has to match; a clause without any matches everything.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Clause {
    /// The alternatives.
    pub matches: Vec<Match>,
}

/// All populated fields have to match, the values of a field are alternatives;
/// a match without any populated field never matches.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[allow(missing_docs)] // the names say it; `not_` fields must not match
pub struct Match {
    pub namespaces: Vec<StringMatch>,
    pub not_namespaces: Vec<StringMatch>,
    pub service_accounts: Vec<ServiceAccountMatch>,
    pub not_service_accounts: Vec<ServiceAccountMatch>,
    pub principals: Vec<StringMatch>,
    pub not_principals: Vec<StringMatch>,
    pub source_ips: Vec<IpNet>,
    pub not_source_ips: Vec<IpNet>,
    pub destination_ips: Vec<IpNet>,
    pub not_destination_ips: Vec<IpNet>,
    pub destination_ports: Vec<u16>,
    pub not_destination_ports: Vec<u16>,
}

/// A service account whatever its trust domain (L4-12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccountMatch {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The name.
    pub service_account: Arc<str>,
}

/// A pattern for a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StringMatch {
    /// The text itself.
    Exact(Arc<str>),
    /// `x*`.
    Prefix(Arc<str>),
    /// `*x`.
    Suffix(Arc<str>),
    /// `*`: anything but nothing.
    Presence,
}
