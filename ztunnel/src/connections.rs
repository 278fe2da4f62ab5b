//! The live connections of one pod, for the config dump (AD-12) and nothing else.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// Where one connection comes from and goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Connection {
    pub(crate) src: SocketAddr,
    pub(crate) original_dst: SocketAddr,
    pub(crate) actual_dst: SocketAddr,
    pub(crate) protocol: Protocol,
}

/// How the two proxies, or proxy and workload, talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Protocol {
    Hbone,
    Tcp,
}

/// Which way a connection goes, seen from the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Inbound,
    Outbound,
}

/// The live connections of one pod.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    next: AtomicU64,
    inbound: Mutex<BTreeMap<u64, Connection>>,
    outbound: Mutex<BTreeMap<u64, Connection>>,
}

/// A connection in the list. Dropping it takes it out.
#[must_use = "a connection that is dropped is no longer listed"]
pub(crate) struct Listed {
    connections: Arc<Connections>,
    direction: Direction,
    key: u64,
}

/// The list at one moment.
#[derive(Debug, Serialize)]
pub(crate) struct ConnectionsDump {
    pub(crate) inbound: Vec<Connection>,
    pub(crate) outbound: Vec<Connection>,
}

impl Connections {
    pub(crate) fn list(self: &Arc<Self>, direction: Direction, connection: Connection) -> Listed {
        let key = self.next.fetch_add(1, Ordering::Relaxed);
        self.of(direction).insert(key, connection);
        Listed { connections: Arc::clone(self), direction, key }
    }

    pub(crate) fn dump(&self) -> ConnectionsDump {
        let all = |direction| self.of(direction).values().copied().collect();
        ConnectionsDump { inbound: all(Direction::Inbound), outbound: all(Direction::Outbound) }
    }

    fn of(&self, direction: Direction) -> MutexGuard<'_, BTreeMap<u64, Connection>> {
        let map = match direction {
            Direction::Inbound => &self.inbound,
            Direction::Outbound => &self.outbound,
        };
        // Every change under the lock is a single step, so a poisoned map is a whole one.
        map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.connections.of(self.direction).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ad_12_lists_a_connection_for_as_long_as_it_lives() {
        let connections = Arc::new(Connections::default());
        let connection = Connection {
            src: "10.0.0.1:1".parse().unwrap(),
            original_dst: "10.0.0.2:80".parse().unwrap(),
            actual_dst: "10.0.0.2:15008".parse().unwrap(),
            protocol: Protocol::Hbone,
        };
        let first = connections.list(Direction::Outbound, connection);
        let second = connections.list(Direction::Inbound, connection);
        drop(first);
        let dump = connections.dump();
        assert_eq!((dump.inbound, dump.outbound.len()), (vec![connection], 0));
        drop(second);
        assert!(connections.dump().inbound.is_empty());
    }

    #[test]
    fn l4_16_of_two_connections_that_look_alike_each_is_listed_for_itself() {
        let connections = Arc::new(Connections::default());
        let connection = Connection {
            src: "10.0.0.1:1".parse().unwrap(),
            original_dst: "10.0.0.2:80".parse().unwrap(),
            actual_dst: "10.0.0.2:80".parse().unwrap(),
            protocol: Protocol::Tcp,
        };
        let [first, second] = [(); 2].map(|()| connections.list(Direction::Inbound, connection));
        assert_eq!(connections.dump().inbound.len(), 2);
        drop(first);
        assert_eq!(connections.dump().inbound, [connection]);
        drop(second);
        assert!(connections.dump().inbound.is_empty());
    }

    #[test]
    fn telemetry_8_6_shape() {
        let connection = Connection {
            src: "10.0.0.1:1".parse().unwrap(),
            original_dst: "10.0.0.2:80".parse().unwrap(),
            actual_dst: "10.0.0.2:15008".parse().unwrap(),
            protocol: Protocol::Hbone,
        };
        assert_eq!(
            serde_json::to_value(connection).unwrap(),
            serde_json::json!({
                "src": "10.0.0.1:1", "originalDst": "10.0.0.2:80",
                "actualDst": "10.0.0.2:15008", "protocol": "HBONE",
            })
        );
    }
}
