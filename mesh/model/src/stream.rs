//! Where connections go that carry no HTTP, or that stay encrypted: rules by the name that TLS asks for, by who
//! calls and by addresses. Like the rules for requests they arrive in order of precedence.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use ipnet::IpNet;
use thiserror::Error;

use crate::Forward;

/// As long as the name of a host can be.
const LONGEST_NAME: usize = 253;

/// One rule for connections.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamRule {
    /// `kind/namespace/name/rule`, for logs.
    pub name: Arc<str>,
    /// Alternatives; none at all matches everything.
    pub matches: Vec<StreamMatch>,
    /// Where the connection goes; of its backends, the changes to headers mean nothing here.
    pub forward: Forward,
}

/// What a connection has to be like; all populated parts have to match.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct StreamMatch {
    /// The names, one of which its client has to ask for as TLS begins.
    pub sni_hosts: Vec<SniHost>,
    /// The namespace it comes from.
    pub source_namespace: Option<Arc<str>>,
    /// The addresses it may come from.
    pub source_subnets: Vec<IpNet>,
    /// The addresses it may have been made to.
    pub destination_subnets: Vec<IpNet>,
}

impl StreamMatch {
    /// Whether a connection may come from `source` and have been made to `destination`.
    pub fn includes(&self, source: IpAddr, destination: IpAddr) -> bool {
        let within = |subnets: &[IpNet], ip| subnets.is_empty() || subnets.iter().any(|it| it.contains(&ip));
        within(&self.source_subnets, source) && within(&self.destination_subnets, destination)
    }
}

/// A name that TLS may ask for, or many; in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SniHost {
    /// This name.
    Exact(Arc<str>),
    /// Every name that has more labels in front of this.
    Under(Arc<str>),
}

/// It is no name of a host.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not a name that TLS can ask for; write for instance a.example.com or *.example.com")]
pub struct InvalidSniHost(String);

impl SniHost {
    /// Whether `name`, in lower case, is one of those.
    pub fn covers(&self, name: &str) -> bool {
        match self {
            SniHost::Exact(exact) => **exact == *name,
            SniHost::Under(suffix) => {
                let before = name.strip_suffix(&**suffix).and_then(|before| before.strip_suffix('.'));
                before.is_some_and(|labels| !labels.is_empty())
            }
        }
    }
}

impl FromStr for SniHost {
    type Err = InvalidSniHost;

    fn from_str(text: &str) -> Result<Self, InvalidSniHost> {
        let (wild, name) = match text.strip_prefix("*.") {
            Some(suffix) => (true, suffix),
            None => (false, text),
        };
        let is_label = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        if name.len() > LONGEST_NAME || !name.split('.').all(is_label) {
            return Err(InvalidSniHost(text.chars().take(LONGEST_NAME).collect()));
        }
        let name: Arc<str> = name.to_ascii_lowercase().into();
        Ok(if wild { SniHost::Under(name) } else { SniHost::Exact(name) })
    }
}

impl fmt::Display for SniHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SniHost::Exact(name) => f.write_str(name),
            SniHost::Under(suffix) => write!(f, "*.{suffix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_one_label_or_more() {
        for (host, name, expected) in [
            ("a.example.com", "a.example.com", true),
            ("A.Example.com", "a.example.com", true),
            ("a.example.com", "b.example.com", false),
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "b.a.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", ".example.com", false),
            ("*.example.com", "badexample.com", false),
            ("*.example.com", "a.example.org", false),
        ] {
            assert_eq!(host.parse::<SniHost>().unwrap().covers(name), expected, "{host} {name}");
        }
    }
}
