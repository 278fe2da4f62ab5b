//! Replies leave from where the question was sent to: an application takes none from elsewhere.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mesh_net::namespace::Namespace;
use mesh_net::socket::{CapturedUdp, Sent, SocketOptions, speak_as};
use tracing::warn;

/// A pod has a name server or two; whoever asks more of them makes us open sockets anew.
const MOST_SOURCES: usize = 16;

/// Sends replies for one socket of a pod.
pub(super) struct Replies {
    questions: Arc<CapturedUdp>,
    namespace: Namespace,
    options: SocketOptions,
    /// By the address they speak as.
    sources: Mutex<BTreeMap<SocketAddr, Arc<UdpSocket>>>,
    complained: AtomicBool,
}

impl Replies {
    pub(super) fn new(questions: Arc<CapturedUdp>, namespace: Namespace, options: SocketOptions) -> Self {
        Replies {
            questions,
            namespace,
            options,
            sources: Mutex::default(),
            complained: AtomicBool::new(false),
        }
    }

    /// Sends at once or not at all: a reply that is lost is asked for again.
    pub(super) fn try_send(&self, reply: &[u8], question: Sent) -> io::Result<usize> {
        // Translated, or sent to us on purpose.
        if question.to.port() == self.questions.local().port() {
            return self.questions.try_send_to(reply, question.from);
        }
        self.source(question.to)?.send_to(reply, question.from)
    }

    fn source(&self, address: SocketAddr) -> io::Result<Arc<UdpSocket>> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = sources.get(&address) {
            return Ok(Arc::clone(known));
        }
        let opened = self.namespace.run(|| speak_as(address, &self.options));
        let opened = Arc::new(opened.inspect_err(|error| self.complain(address, error))?);
        if sources.len() == MOST_SOURCES {
            sources.clear();
        }
        sources.insert(address, Arc::clone(&opened));
        Ok(opened)
    }

    /// Once: a pod asks often.
    fn complain(&self, address: SocketAddr, error: &io::Error) {
        if !self.complained.swap(true, Ordering::Relaxed) {
            warn!(
                %address, %error,
                "a pod's questions are not answered: ztunnel cannot speak as the server that was asked, for which it needs \
                 the capabilities NET_ADMIN and NET_BIND_SERVICE"
            );
        }
    }
}
