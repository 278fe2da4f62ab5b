//! How sessions are kept, both ways.

use mesh_proto::adit::waypoint::v1 as proto;

use super::DecodeError;
use super::duration::{decode_timeout, encode};
use super::field::{is_token, known, or_empty};
use crate::{SessionCarrier, SessionPersistence};

pub(super) fn decode(wire: proto::SessionPersistence) -> Result<SessionPersistence, DecodeError> {
    if !wire.name.is_empty() && !is_token(&wire.name) {
        let reason = format!("{:?} is not the name of a cookie or a header", wire.name);
        return Err(DecodeError::new(reason).within("name"));
    }
    Ok(SessionPersistence {
        carrier: match known("carrier", wire.carrier)? {
            proto::SessionCarrier::Cookie => SessionCarrier::Cookie,
            proto::SessionCarrier::Header => SessionCarrier::Header,
        },
        absolute_timeout: decode_timeout("absolute_timeout", wire.absolute_timeout)?,
        idle_timeout: decode_timeout("idle_timeout", wire.idle_timeout)?,
        permanent: wire.permanent,
        name: (!wire.name.is_empty()).then(|| wire.name.into()),
    })
}

pub(super) fn encode_session(session: &SessionPersistence) -> proto::SessionPersistence {
    let carrier = match session.carrier {
        SessionCarrier::Cookie => proto::SessionCarrier::Cookie,
        SessionCarrier::Header => proto::SessionCarrier::Header,
    };
    proto::SessionPersistence {
        name: or_empty(session.name.as_ref()),
        carrier: carrier.into(),
        absolute_timeout: session.absolute_timeout.map(encode),
        idle_timeout: session.idle_timeout.map(encode),
        permanent: session.permanent,
    }
}
