//! Sessions of clients: requests of one go to one endpoint.

use std::sync::Arc;
use std::time::Duration;

/// How the sessions of a rule are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionPersistence {
    /// Of the cookie or the header; none: one that follows from the rule's name.
    pub name: Option<Arc<str>>,
    /// What clients bring.
    pub carrier: SessionCarrier,
    /// After its beginning; none: it has no end.
    pub absolute_timeout: Option<Duration>,
    /// After its last request.
    pub idle_timeout: Option<Duration>,
    /// The client keeps the cookie until the session's end, and not only as long as it runs itself.
    pub permanent: bool,
}

/// What a client brings to be known again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum SessionCarrier {
    Cookie,
    Header,
}
