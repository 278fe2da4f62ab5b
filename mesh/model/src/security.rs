//! Who may ask what of the services behind a waypoint: policies over the attributes of a request, and the tokens
//! of end users. What they mean is `mesh-authz`'s and the waypoint's business.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::path_template::PathTemplate;
use crate::{AuthorizationService, ParseNameError, PolicyKey, RateLimit, ServiceAccountMatch, Telemetry};

/// Everything that holds for all traffic through one waypoint.
#[derive(Clone, Debug, PartialEq)]
pub struct WaypointConfig {
    /// Its Gateway.
    pub key: WaypointKey,
    /// What may be asked of everything behind it.
    pub security: Security,
    /// Who can be asked by policies.
    pub authorization_services: Vec<AuthorizationService>,
    /// What is told of requests to services that say nothing else.
    pub telemetry: Telemetry,
    /// Backends are told who the client is (ID-22).
    pub forward_client_identity: bool,
    /// How many requests pass in all.
    pub rate_limits: Vec<RateLimit>,
}

/// The name of a waypoint's Gateway, written `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WaypointKey {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub gateway: Arc<str>,
}

impl WaypointKey {
    /// A key from its parts.
    pub fn new(namespace: impl Into<Arc<str>>, gateway: impl Into<Arc<str>>) -> Self {
        WaypointKey { namespace: namespace.into(), gateway: gateway.into() }
    }
}

impl fmt::Display for WaypointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.gateway)
    }
}

impl FromStr for WaypointKey {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((namespace, name)) if !name.is_empty() && !name.contains('/') => {
                Ok(WaypointKey::new(namespace, name))
            }
            _ => Err(ParseNameError(text.to_owned())),
        }
    }
}

/// What may be asked of a service, or of everything behind a waypoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Security {
    /// In no order.
    pub policies: Vec<RequestPolicy>,
    /// Which tokens are good.
    pub token_rules: Vec<TokenRule>,
}

impl Security {
    /// It says nothing.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty() && self.token_rules.is_empty()
    }
}

/// A policy over the attributes of requests.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestPolicy {
    /// Namespace and name.
    pub key: PolicyKey,
    /// What a match means.
    pub action: PolicyAction,
    /// Only logged.
    pub dry_run: bool,
    /// Alternatives; none at all never matches.
    pub rules: Vec<PolicyRule>,
}

/// What the match of a policy means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyAction {
    /// The request is allowed, if none denies.
    Allow,
    /// It is denied.
    Deny,
    /// It is noted.
    Audit,
    /// The provider of this name decides.
    Custom(Arc<str>),
}

/// All clauses have to match; a rule without any matches everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicyRule {
    /// The clauses.
    pub clauses: Vec<PolicyClause>,
}

/// One alternative has to match; without any, none does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicyClause {
    /// The alternatives; of each, all conditions have to match.
    pub alternatives: Vec<Vec<Condition>>,
}

/// One of `any_of` has to match, if there are any, and none of `none_of`.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// What it is about.
    pub attribute: Attribute,
    /// The wanted values.
    pub any_of: Vec<Pattern>,
    /// The unwanted values.
    pub none_of: Vec<Pattern>,
}

/// What a policy can be about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Attribute {
    SourcePrincipal,
    SourceNamespace,
    SourceServiceAccount,
    SourceTrustDomain,
    SourceIp,
    /// The client's address as the last proxy before the mesh tells it.
    RemoteIp,
    DestinationIp,
    DestinationPort,
    ConnectionSni,
    Host,
    Method,
    Path,
    /// By its name in lower case.
    Header(Arc<str>),
    /// `issuer/subject`
    TokenPrincipal,
    TokenAudience,
    TokenPresenter,
    /// The way to it through nested objects.
    TokenClaim(Vec<Arc<str>>),
}

impl Attribute {
    /// Only requests have it; connections that carry no HTTP do not.
    pub fn is_of_requests(&self) -> bool {
        use Attribute::{Header, Host, Method, Path};
        matches!(self, Host | Method | Path | Header(_)) || self.is_of_tokens()
    }

    /// Only tokens of end users say it.
    pub fn is_of_tokens(&self) -> bool {
        use Attribute::{TokenAudience, TokenClaim, TokenPresenter, TokenPrincipal};
        matches!(self, TokenPrincipal | TokenAudience | TokenPresenter | TokenClaim(_))
    }
}

/// A pattern for the value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Pattern {
    Exact(Arc<str>),
    Prefix(Arc<str>),
    Suffix(Arc<str>),
    /// Anything but nothing.
    Presence,
    Template(PathTemplate),
    Block(IpNet),
    Port(u16),
    ServiceAccount(ServiceAccountMatch),
}

/// Which tokens of one issuer are good, where they are looked for, and what is made of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenRule {
    /// Who has to have made them.
    pub issuer: Arc<str>,
    /// For whom, one of them; none at all takes every token.
    pub audiences: Vec<Arc<str>>,
    /// A JSON Web Key Set as text; empty while there is none to be had, and then no token is good.
    pub keys: Arc<str>,
    /// Headers, in lower case, and what stands before the token in them. Where no place is named at all it is
    /// `Authorization: Bearer` and the parameter `access_token`.
    pub from_headers: Vec<(Arc<str>, Arc<str>)>,
    /// Parameters of the query.
    pub from_params: Vec<Arc<str>>,
    /// Cookies.
    pub from_cookies: Vec<Arc<str>>,
    /// The backend sees the token too.
    pub forward_original: bool,
    /// The header that is given the payload, in base64.
    pub payload_header: Option<Arc<str>>,
    /// Headers that are given a claim, by name.
    pub claim_headers: Vec<(Arc<str>, Arc<str>)>,
    /// Claims that are lists written as text, beside `scope` and `permission`.
    pub space_delimited_claims: Vec<Arc<str>>,
}
