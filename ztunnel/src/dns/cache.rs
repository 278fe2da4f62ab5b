//! Replies of other servers for as long as they hold: bounded in number and in size, with the
//! time left written into what is handed out. Pure; the time comes from outside.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RData;
use tokio::time::Instant;

/// Replies of one pod.
const MOST: usize = 1024;
/// Longer replies are fetched anew.
const LONGEST: usize = 2048;
/// However long the owner says, after this it is asked again.
const LONGEST_LIFE: Duration = Duration::from_secs(300);
/// A name that does not exist may come to be.
const LONGEST_NEGATIVE_LIFE: Duration = Duration::from_secs(30);

/// A query without its id: two that are the same in every byte have the same reply.
pub(super) type Key = Arc<[u8]>;

#[derive(Debug, Default)]
pub(super) struct Cache {
    entries: HashMap<Key, Entry>,
    /// By age. May name some that are gone.
    order: VecDeque<(Key, Instant)>,
}

#[derive(Debug)]
struct Entry {
    reply: Message,
    since: Instant,
    until: Instant,
}

impl Cache {
    /// The reply as it is by now.
    pub(super) fn find(&self, key: &[u8], now: Instant) -> Option<Message> {
        let entry = self.entries.get(key).filter(|entry| now < entry.until)?;
        let age = u32::try_from((now - entry.since).as_secs()).unwrap_or(u32::MAX);
        let mut reply = entry.reply.clone();
        let sections = [&mut reply.answers, &mut reply.authorities, &mut reply.additionals];
        for record in sections.into_iter().flatten() {
            record.ttl = record.ttl.saturating_sub(age);
        }
        Some(reply)
    }

    /// Keeps a reply if that is of use.
    pub(super) fn keep(&mut self, key: Key, bytes: &[u8], now: Instant) {
        if bytes.len() > LONGEST {
            return;
        }
        let Ok(reply) = Message::from_vec(bytes) else { return };
        let Some(life) = life(&reply) else { return };
        self.make_room(now);
        self.order.push_back((Arc::clone(&key), now));
        self.entries.insert(key, Entry { reply, since: now, until: now + life });
    }

    /// The oldest go, and with them those whose time is over.
    fn make_room(&mut self, now: Instant) {
        while let Some((key, since)) = self.order.front() {
            let entry = self.entries.get(key).filter(|entry| entry.since == *since);
            if entry.is_some_and(|entry| now < entry.until) && self.order.len() < MOST {
                break;
            }
            if entry.is_some() {
                self.entries.remove(key);
            }
            self.order.pop_front();
        }
    }
}

/// How long a reply holds: as long as its shortest record, and one that there is nothing as
/// long as the owner of the zone says (RFC 2308). None: not at all.
fn life(reply: &Message) -> Option<Duration> {
    let negative = match reply.metadata.response_code {
        ResponseCode::NoError => reply.answers.is_empty(),
        ResponseCode::NXDomain => true,
        _ => return None,
    };
    if reply.metadata.truncation {
        return None;
    }
    let seconds = |count: u32| Duration::from_secs(count.into());
    let shortest = reply.answers.iter().map(|record| seconds(record.ttl)).min();
    let life = if negative {
        let owners = reply.authorities.iter().filter_map(|record| match &record.data {
            RData::SOA(soa) => Some(seconds(record.ttl.min(soa.minimum))),
            _ => None,
        });
        owners.min()?.min(shortest.unwrap_or(LONGEST_LIFE)).min(LONGEST_NEGATIVE_LIFE)
    } else {
        shortest?.min(LONGEST_LIFE)
    };
    (!life.is_zero()).then_some(life)
}

#[cfg(test)]
mod tests;
