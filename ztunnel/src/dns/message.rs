//! Questions as they come from clients, and replies in the size a client takes.

use std::net::IpAddr;

use hickory_proto::op::{Edns, Header, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME};
use hickory_proto::rr::{Name, RData, Record};
use hickory_proto::serialize::binary::{BinDecodable as _, BinDecoder};

/// Longer questions are nobody's; with all its options a real one is far below.
pub(super) const LONGEST_QUESTION: usize = 4096;
/// The longest reply over UDP, whatever the client says it takes.
const LONGEST_DATAGRAM: u16 = 4096;
/// Seconds for which a client may keep what the mesh says.
const TTL: u32 = 30;
const HEADER: usize = 12;

/// A query of a client with its one question.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    message: Message,
    question: Query,
}

/// What comes of a message that is no query to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unanswerable {
    /// Not a query. To answer it could go to and fro for ever.
    Ignored,
    /// The reply that says what is wrong.
    Refused(Vec<u8>),
}

impl Asked {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Unanswerable> {
        let header = Header::read(&mut BinDecoder::new(bytes));
        let metadata = header.map_err(|_| Unanswerable::Ignored)?.metadata;
        if metadata.message_type != MessageType::Query {
            return Err(Unanswerable::Ignored);
        }
        let refused = |code| Err(Unanswerable::Refused(bare_reply(&metadata, code)));
        if metadata.op_code != OpCode::Query {
            return refused(ResponseCode::NotImp);
        }
        let Ok(message) = Message::from_vec(bytes) else { return refused(ResponseCode::FormErr) };
        let [question] = message.queries.as_slice() else { return refused(ResponseCode::FormErr) };
        let asked = Asked { question: question.clone(), message };
        if asked.message.version() > 0 {
            return Err(Unanswerable::Refused(encode(&asked.reply(ResponseCode::BADVERS))));
        }
        Ok(asked)
    }

    pub(super) fn question(&self) -> &Query {
        &self.question
    }

    /// The longest reply the client takes over UDP.
    pub(super) fn longest_datagram(&self) -> usize {
        self.message.max_payload().min(LONGEST_DATAGRAM).into()
    }

    /// A reply without records (DNS-19).
    pub(super) fn reply(&self, code: ResponseCode) -> Message {
        let mut reply = Message::response(self.message.metadata.id, OpCode::Query);
        reply.metadata.recursion_desired = self.message.metadata.recursion_desired;
        reply.metadata.recursion_available = true;
        reply.metadata.response_code = code;
        reply.queries.push(self.question.clone());
        if self.message.edns.is_some() {
            reply.edns = Some(own_edns());
        }
        reply
    }

    /// The reply of somebody who knows: the addresses, under the name asked for or another one.
    pub(super) fn authoritative(&self, alias_of: Option<&str>, addresses: &[IpAddr]) -> Message {
        let mut reply = self.reply(ResponseCode::NoError);
        reply.metadata.authoritative = true;
        let asked = self.question.name();
        let mut owner = asked.clone();
        if let Some(name) = alias_of.and_then(absolute) {
            let alias = RData::CNAME(CNAME(name.clone()));
            reply.answers.push(Record::from_rdata(asked.clone(), TTL, alias));
            owner = name;
        }
        reply.answers.extend(addresses.iter().map(|ip| {
            let data = match ip {
                IpAddr::V4(ip) => RData::A(A(*ip)),
                IpAddr::V6(ip) => RData::AAAA(AAAA(*ip)),
            };
            Record::from_rdata(owner.clone(), TTL, data)
        }));
        reply
    }

    /// The query as it is sent on: what the client asked, and nothing that was not understood.
    pub(super) fn onward(&self) -> Message {
        let mut onward = Message::new(0, MessageType::Query, OpCode::Query);
        let own = &self.message.metadata;
        onward.metadata.recursion_desired = own.recursion_desired;
        onward.metadata.authentic_data = own.authentic_data;
        onward.metadata.checking_disabled = own.checking_disabled;
        onward.queries.push(self.question.clone());
        onward.edns = self.message.edns.clone().map(|mut edns| {
            edns.set_max_payload(edns.max_payload().min(LONGEST_DATAGRAM));
            edns
        });
        onward
    }

    /// The reply of another server as the client's own (DNS-06): the code and every record stay.
    pub(super) fn forwarded(&self, mut bytes: Vec<u8>, longest: usize) -> Vec<u8> {
        if bytes.len() > longest {
            let whole = Message::from_vec(&bytes).unwrap_or_else(|_| {
                // What cannot even be read is left out; the client asks again over TCP.
                let mut nothing = self.reply(ResponseCode::NoError);
                nothing.metadata.truncation = true;
                nothing
            });
            bytes = fit(whole, longest);
        }
        if let [first, second, flags, more, ..] = bytes.as_mut_slice() {
            [*first, *second] = self.message.metadata.id.to_be_bytes();
            // Not authoritative, recursion desired as asked; recursion available, nothing proven.
            *flags = (*flags & !0b101) | u8::from(self.message.metadata.recursion_desired);
            *more = (*more | 0x80) & !0x30;
        }
        bytes
    }
}

/// The message in at most so many bytes: with as many answers as fit, and the mark that some are missing.
pub(super) fn fit(mut message: Message, longest: usize) -> Vec<u8> {
    let whole = encode(&message);
    if whole.len() <= longest {
        return whole;
    }
    message.metadata.truncation = true;
    message.authorities.clear();
    message.additionals.clear();
    let answers = std::mem::take(&mut message.answers);
    let mut best = encode(&message);
    // How many fit is somewhere from the first to before the second.
    let (mut fit, mut too_many) = (0, answers.len() + 1);
    while too_many - fit > 1 {
        let tried = fit.midpoint(too_many);
        message.answers = answers[..tried].to_vec();
        let part = encode(&message);
        if part.len() <= longest {
            (fit, best) = (tried, part);
        } else {
            too_many = tried;
        }
    }
    best
}

/// As bytes; what cannot be written is a failure of the server.
pub(super) fn encode(message: &Message) -> Vec<u8> {
    message.to_vec().unwrap_or_else(|_| bare_reply(&message.metadata, ResponseCode::ServFail))
}

/// A name with all of its labels.
pub(super) fn absolute(host: &str) -> Option<Name> {
    let mut name = Name::from_ascii(host).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// A reply of the header alone.
fn bare_reply(query: &Metadata, code: ResponseCode) -> Vec<u8> {
    let [first, second] = query.id.to_be_bytes();
    let flags = 0x80 | (u8::from(query.op_code) << 3) | u8::from(query.recursion_desired);
    let mut reply = vec![first, second, flags, 0x80 | code.low()];
    reply.resize(HEADER, 0);
    reply
}

/// What we take, said to whoever says what it takes.
fn own_edns() -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(LONGEST_DATAGRAM);
    edns
}

#[cfg(test)]
mod tests;
