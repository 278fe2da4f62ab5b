//! What pages of other origins may do, both ways.

use std::sync::Arc;

use mesh_proto::adit::waypoint::v1 as proto;

use super::DecodeError;
use super::duration::{decode as decode_duration, encode as encode_duration};
use super::field::{at, each};
use super::http_match::{decode_value, encode_value, header_name};
use crate::Cors;

pub(super) fn decode(wire: proto::Cors) -> Result<Cors, DecodeError> {
    Ok(Cors {
        origins: each("origins", wire.origins, decode_value)?,
        methods: each("methods", wire.methods, token)?,
        headers: each("headers", wire.headers, token)?,
        exposed_headers: each("exposed_headers", wire.exposed_headers, token)?,
        max_age: at("max_age", wire.max_age.map(decode_duration).transpose())?,
        credentials: wire.credentials,
        forwards_unmatched_preflights: wire.forwards_unmatched_preflights,
    })
}

pub(super) fn encode(cors: &Cors) -> proto::Cors {
    let texts = |texts: &[Arc<str>]| texts.iter().map(ToString::to_string).collect();
    proto::Cors {
        origins: cors.origins.iter().map(encode_value).collect(),
        methods: texts(&cors.methods),
        headers: texts(&cors.headers),
        exposed_headers: texts(&cors.exposed_headers),
        max_age: cors.max_age.map(encode_duration),
        credentials: cors.credentials,
        forwards_unmatched_preflights: cors.forwards_unmatched_preflights,
    }
}

/// Methods and names of headers are made of the same characters; case is kept, for that of methods matters.
fn token(text: String) -> Result<Arc<str>, DecodeError> {
    header_name("", &text)?;
    Ok(text.into())
}
