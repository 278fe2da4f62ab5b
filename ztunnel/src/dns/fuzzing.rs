//! What the fuzz target of DNS reaches: every reply that a question may get.

use std::net::IpAddr;

use hickory_proto::op::ResponseCode;

use super::message::{Asked, Unanswerable, encode, fit};

/// Replies to a question, and how long each may be. One of them is what another server is supposed to have said.
pub(crate) fn replies(question: &[u8], elsewhere: Vec<u8>) -> Option<(usize, Vec<Vec<u8>>)> {
    let asked = match Asked::read(question) {
        Ok(asked) => asked,
        Err(Unanswerable::Refused(reply)) => return Some((question.len().max(512), vec![reply])),
        Err(Unanswerable::Ignored) => return None,
    };
    let longest = asked.longest_datagram();
    let many: Vec<IpAddr> = (0..=255).map(|last| [10, 0, 0, last].into()).collect();
    let known = asked.authoritative(Some("db.prod.svc.cluster.local"), &many);
    let replies = vec![
        encode(&asked.reply(ResponseCode::ServFail)),
        fit(known, longest),
        asked.forwarded(elsewhere, longest),
        encode(&asked.onward()),
    ];
    Some((longest, replies))
}
