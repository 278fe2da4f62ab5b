//! The sessions that a rule of a route asks for.

use std::time::Duration;

use gateway_api::experimental::httproutes::{
    HttpRouteRulesSessionPersistence as Written,
    HttpRouteRulesSessionPersistenceCookieConfigLifetimeType as Lifetime,
    HttpRouteRulesSessionPersistenceType as Carrier,
};
use mesh_model::{SessionCarrier, SessionPersistence};

use super::duration;
use crate::resources::problem::Problem;

pub(super) fn translate(written: &Written, path: &str, problems: &mut Vec<Problem>) -> SessionPersistence {
    let path = format!("{path}.sessionPersistence");
    let mut limit = |text: Option<&String>, field: &str| -> Option<Duration> {
        duration(text?, &format!("{path}.{field}"), problems).filter(|limit| !limit.is_zero())
    };
    let absolute_timeout = limit(written.absolute_timeout.as_ref(), "absoluteTimeout");
    let idle_timeout = limit(written.idle_timeout.as_ref(), "idleTimeout");
    let lifetime = written.cookie_config.as_ref().and_then(|it| it.lifetime_type.as_ref());
    let is_permanent = matches!(lifetime, Some(Lifetime::Permanent));
    if is_permanent && absolute_timeout.is_none() {
        let message = "a permanent cookie needs absoluteTimeout; it lasts as long as its client runs";
        problems.push(Problem::unsupported(format!("{path}.cookieConfig.lifetimeType"), message));
    }
    SessionPersistence {
        name: written.session_name.as_deref().filter(|name| !name.is_empty()).map(Into::into),
        carrier: match written.r#type {
            Some(Carrier::Header) => SessionCarrier::Header,
            Some(Carrier::Cookie) | None => SessionCarrier::Cookie,
        },
        absolute_timeout,
        idle_timeout,
        permanent: is_permanent && absolute_timeout.is_some(),
    }
}
