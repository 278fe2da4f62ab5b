//! Virtual addresses for the hosts of ServiceEntries that have none (api.md §5.4, DNS-24).
//!
//! Every host bids for one address after another until it gets one that nobody with a better right bids for: an
//! address that a user wrote beats one that a status has, that beats one that is drawn, and among equals the older
//! object wins. So the outcome depends on the objects alone, not on the order in which they came, and a host moves
//! only when it loses its address, or when one that it would rather have had becomes free. Once its status has
//! an address, that is the one it would rather have.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::Name;

/// After so many attempts a host goes without; the range would have to be nearly full.
const MOST: u32 = 4096;

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    V4,
    V6,
}

/// Which right a bid has; the better ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Right {
    Written,
    Noted,
    Drawn,
}

/// A host's wish for an address. Smaller ones win.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bid {
    right: Right,
    created: Option<i64>,
    entry: Name,
    host: Arc<str>,
    family: Family,
    attempt: u32,
    /// The address of the first attempt, where it is not drawn.
    named: Option<IpAddr>,
}

/// Who has which address.
#[derive(Clone, Debug, Default)]
pub(super) struct AutoAddresses {
    /// By address everyone who has tried it; the first has it.
    bids: BTreeMap<IpAddr, BTreeSet<Bid>>,
    /// The ServiceEntries whose addresses may have changed since somebody asked.
    moved: BTreeSet<Name>,
}

impl Family {
    pub(super) const ALL: [Family; 2] = [Family::V4, Family::V6];

    /// Whether an address is of the range that is given out.
    pub(super) fn includes(self, address: IpAddr) -> bool {
        match (self, address) {
            (Family::V4, IpAddr::V4(ip)) => ip.octets().starts_with(&[240, 240]),
            (Family::V6, IpAddr::V6(ip)) => ip.segments().starts_with(&[0x2001, 2, 0]),
            _ => false,
        }
    }

    /// Neither the first nor the last address of the range.
    fn draw(self, number: u64) -> IpAddr {
        match self {
            Family::V4 => {
                let [.., high, low] = (number % 65_534 + 1).to_be_bytes();
                Ipv4Addr::new(240, 240, high, low).into()
            }
            Family::V6 => {
                let [.., a, b, c, d] = (number % 0xffff_fffe + 1).to_be_bytes();
                let pair = |high, low| u16::from_be_bytes([high, low]);
                Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, pair(a, b), pair(c, d)).into()
            }
        }
    }
}

impl Bid {
    /// For an address that a host's status has, or for whichever is drawn.
    pub(super) fn asked(
        entry: &Name,
        created: Option<i64>,
        host: &Arc<str>,
        family: Family,
        noted: Option<IpAddr>,
    ) -> Self {
        let right = if noted.is_some() { Right::Noted } else { Right::Drawn };
        Bid { right, created, entry: entry.clone(), host: host.clone(), family, attempt: 0, named: noted }
    }

    /// An address that a user wrote, to which nobody else has a right.
    pub(super) fn written(entry: &Name, created: Option<i64>, address: IpAddr) -> Self {
        let family = if address.is_ipv4() { Family::V4 } else { Family::V6 };
        let (entry, host) = (entry.clone(), "".into());
        Bid { right: Right::Written, created, entry, host, family, attempt: 0, named: Some(address) }
    }

    fn address(&self) -> IpAddr {
        match self.named {
            Some(address) if self.attempt == 0 => address,
            _ => self.family.draw(self.hash()),
        }
    }

    /// What it tries when it does not get this.
    fn next(&self) -> Option<Bid> {
        let goes_on = self.right != Right::Written && self.attempt < MOST;
        goes_on.then(|| Bid { right: Right::Drawn, attempt: self.attempt + 1, ..self.clone() })
    }

    /// FNV-1a: the same in every release, on every machine, and even enough for this.
    fn hash(&self) -> u64 {
        let Name { namespace, name } = &self.entry;
        let attempt = self.attempt.to_be_bytes();
        let parts = [namespace.as_bytes(), b"/", name.as_bytes(), b"/", self.host.as_bytes(), &attempt];
        let bytes = parts.into_iter().flatten();
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }
}

impl AutoAddresses {
    /// Takes in what an object asks for.
    pub(super) fn place(&mut self, bids: Vec<Bid>) {
        for bid in bids {
            let mut waiting = Some(bid);
            while let Some(bid) = waiting.take() {
                let bids = self.bids.entry(bid.address()).or_default();
                let before = bids.first().cloned();
                bids.insert(bid.clone());
                waiting = match before {
                    Some(before) if before < bid => bid.next(),
                    before => {
                        self.moved.insert(bid.entry);
                        self.moved.extend(before.iter().map(|it| it.entry.clone()));
                        before.and_then(|it| it.next())
                    }
                };
            }
        }
    }

    /// Forgets what an object has asked for.
    pub(super) fn withdraw(&mut self, bids: Vec<Bid>) {
        for bid in bids {
            let mut going = Some(bid);
            while let Some(bid) = going.take() {
                let Some(bids) = self.bids.get_mut(&bid.address()) else { break };
                let had_it = bids.first() == Some(&bid);
                if !bids.remove(&bid) {
                    break;
                }
                let heir = bids.first().cloned();
                if bids.is_empty() {
                    self.bids.remove(&bid.address());
                }
                going = match had_it {
                    false => bid.next(),
                    // It has tried nothing after what it got. The heir gives up what it got instead.
                    true => {
                        self.moved.insert(bid.entry);
                        self.moved.extend(heir.iter().map(|it| it.entry.clone()));
                        heir.and_then(|it| it.next())
                    }
                };
            }
        }
    }

    /// What a bidder has got.
    pub(super) fn find(&self, bid: &Bid) -> Option<IpAddr> {
        let mut bid = bid.clone();
        loop {
            let address = bid.address();
            if self.bids.get(&address)?.first() == Some(&bid) {
                return Some(address);
            }
            bid = bid.next()?;
        }
    }

    /// The ServiceEntries whose addresses may have changed since this was asked before.
    pub(super) fn take_moved(&mut self) -> BTreeSet<Name> {
        std::mem::take(&mut self.moved)
    }
}

#[cfg(test)]
mod tests;
