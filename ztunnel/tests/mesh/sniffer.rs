//! Everything that passes a node's interfaces.

use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;
use mesh_testkit::node::Netns;
use socket2::{Domain, Protocol, Socket, Type};

/// `ETH_P_ALL` in network byte order, as packet sockets want it.
const EVERYTHING: i32 = (0x0003_u16).to_be() as i32;
/// Silence that says that nothing more is queued.
const SILENCE: Duration = Duration::from_millis(100);

pub(crate) struct Sniffer {
    stop: Arc<AtomicBool>,
    frames: JoinHandle<Vec<u8>>,
}

impl Sniffer {
    pub(crate) fn start(netns: &Netns) -> Result<Self> {
        let mut socket = netns
            .namespace()
            .run(|| Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(EVERYTHING))))?;
        socket.set_read_timeout(Some(SILENCE))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let frames = std::thread::spawn(move || {
            let (mut all, mut frame) = (Vec::new(), [0; 65536]);
            loop {
                match socket.read(&mut frame) {
                    Ok(length) => all.extend_from_slice(&frame[..length]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        if stopped.load(Ordering::Relaxed) {
                            return all;
                        }
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        });
        Ok(Sniffer { stop, frames })
    }

    /// What has passed until now.
    pub(crate) fn finish(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        Seen(self.frames.join().unwrap())
    }
}

pub(crate) struct Seen(Vec<u8>);

impl Seen {
    pub(crate) fn holds(&self, bytes: &[u8]) -> bool {
        self.0.windows(bytes.len()).any(|window| window == bytes)
    }

    /// A TLS 1.3 record of application data.
    pub(crate) fn holds_tls(&self) -> bool {
        self.holds(&[0x17, 0x03, 0x03])
    }
}
