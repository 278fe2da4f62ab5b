//! Workloads that are known by a host name alone: looked up when somebody connects (DNS-25).

use std::net::IpAddr;
use std::sync::Arc;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{RData, RecordType};
use mesh_model::IpFamilies;
use mesh_telemetry::Party;
use rand::seq::IndexedRandom as _;
use thiserror::Error;

use super::message::absolute;
use super::resolver::Resolver;
use super::upstream::AskError;

/// What fits a datagram on every path.
const SAFE_DATAGRAM: u16 = 1232;

/// Why a host has no address to connect to.
#[derive(Clone, Debug, Error)]
pub(crate) enum LookupError {
    #[error("host {0:?} is no name that can be looked up")]
    NoName(Arc<str>),
    #[error("host {host} cannot be looked up: {reason}")]
    Failed { host: Arc<str>, reason: Arc<AskError> },
    #[error("host {host} has no address of the service's families ({code})")]
    NoAddress { host: Arc<str>, code: ResponseCode },
}

impl Resolver {
    /// An address of a host, if possible of the family of `like`. Every use is counted, also when the cache answers.
    pub(crate) async fn fetch_address(
        &self,
        source: &Party,
        host: &Arc<str>,
        like: IpAddr,
        families: IpFamilies,
    ) -> Result<IpAddr, LookupError> {
        self.on_demand.used(source, host);
        let mut code = ResponseCode::NoError;
        for kind in kinds(like, families) {
            let reply = self.look_up(host, kind).await?;
            let addresses: Vec<IpAddr> =
                reply.answers.iter().filter_map(|record| address_of(&record.data, kind)).collect();
            if let Some(address) = addresses.choose(&mut rand::rng()) {
                return Ok(*address);
            }
            code = reply.metadata.response_code;
        }
        Err(LookupError::NoAddress { host: Arc::clone(host), code })
    }

    async fn look_up(&self, host: &Arc<str>, kind: RecordType) -> Result<Message, LookupError> {
        let name = absolute(host).ok_or_else(|| LookupError::NoName(Arc::clone(host)))?;
        let mut query = Message::new(0, MessageType::Query, OpCode::Query);
        query.metadata.recursion_desired = true;
        query.queries.push(Query::query(name, kind));
        let mut edns = Edns::new();
        edns.set_max_payload(SAFE_DATAGRAM);
        query.edns = Some(edns);
        let failed = |reason| LookupError::Failed { host: Arc::clone(host), reason };
        let reply = self.forwarder.ask(query).await.map_err(failed)?;
        let unreadable = |_| LookupError::NoAddress { host: Arc::clone(host), code: ResponseCode::FormErr };
        Message::from_vec(&reply).map_err(unreadable)
    }
}

/// What to ask for, in order.
fn kinds(like: IpAddr, families: IpFamilies) -> Vec<RecordType> {
    match (families, like) {
        (IpFamilies::Ipv4, _) => vec![RecordType::A],
        (IpFamilies::Ipv6, _) => vec![RecordType::AAAA],
        (_, IpAddr::V4(_)) => vec![RecordType::A, RecordType::AAAA],
        (_, IpAddr::V6(_)) => vec![RecordType::AAAA, RecordType::A],
    }
}

fn address_of(data: &RData, kind: RecordType) -> Option<IpAddr> {
    match data {
        RData::A(address) if kind == RecordType::A => Some(address.0.into()),
        RData::AAAA(address) if kind == RecordType::AAAA => Some(address.0.into()),
        _ => None,
    }
}
