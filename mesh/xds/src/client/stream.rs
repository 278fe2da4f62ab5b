//! One stream: the first requests, then responses and wishes until it ends.

use futures_util::stream;
use mesh_proto::discovery::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use mesh_proto::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Status};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::demand::Wish;
use super::{Client, Connect, StreamError};

/// Requests that may wait for the controller to read them.
const OUTGOING: usize = 256;
/// Names in one subscribing request.
const BATCH: usize = 512;

impl<C: Connect> Client<C> {
    /// Opens a stream and serves it until it ends. `answered` turns true with
    /// the first response; `ready` is used up when every type has had one.
    pub(super) async fn stream<R: FnOnce()>(
        &mut self,
        answered: &mut bool,
        ready: &mut Option<R>,
    ) -> Result<(), StreamError> {
        let transport = self.connect.connect().await?;
        let (requests, mut outgoing) = mpsc::channel(OUTGOING);
        for known in &mut self.types {
            requests.try_send(known.first_request(&self.node)).map_err(|_| StreamError::Stalled)?;
        }
        let outgoing = stream::poll_fn(move |context| outgoing.poll_recv(context));
        let mut responses = AggregatedDiscoveryServiceClient::new(transport)
            .max_decoding_message_size(self.settings.max_message)
            .delta_aggregated_resources(outgoing)
            .await?
            .into_inner();
        debug!("the discovery stream is open");
        loop {
            tokio::select! {
                response = responses.message() => {
                    let Some(response) = response? else { return Ok(()) };
                    if !std::mem::replace(answered, true) {
                        (self.on_answer)();
                    }
                    let answer = self.take_response(response);
                    requests.try_send(answer).map_err(|_| StreamError::Stalled)?;
                    if self.types.iter().all(|known| known.is_ready()) && let Some(ready) = ready.take() {
                        ready();
                    }
                }
                (permits, wishes) = next_wishes(&requests, self.types.len(), &mut self.wishes) => {
                    let changes = self.types.iter_mut().filter_map(|known| known.take_wishes(&wishes));
                    for (permit, request) in permits.zip(changes) {
                        permit.send(request);
                    }
                }
            }
        }
    }

    /// Hands a response to its handler and makes the ack or nack.
    fn take_response(&mut self, response: DeltaDiscoveryResponse) -> DeltaDiscoveryRequest {
        let type_url = response.type_url.clone();
        let response_nonce = response.nonce.clone();
        let error_detail = match self.types.iter_mut().find(|known| known.type_url() == type_url) {
            Some(known) => known.take_response(response),
            None => {
                debug!("ignoring resources of type {type_url:?}, which nobody here handles");
                None
            }
        };
        if let Some(Status { message, .. }) = &error_detail {
            warn!("rejected resources of type {type_url}: {message}");
        }
        DeltaDiscoveryRequest { type_url, response_nonce, error_detail, ..Default::default() }
    }
}

/// Waits for room for one request per type, then for wishes. Loses none when dropped.
async fn next_wishes<'a>(
    requests: &'a mpsc::Sender<DeltaDiscoveryRequest>,
    room: usize,
    wishes: &mut mpsc::Receiver<Wish>,
) -> (mpsc::PermitIterator<'a, DeltaDiscoveryRequest>, Vec<Wish>) {
    let Ok(permits) = requests.reserve_many(room).await else {
        // The stream is ending; the response side will say why.
        return std::future::pending().await;
    };
    let mut batch = Vec::new();
    wishes.recv_many(&mut batch, BATCH).await;
    (permits, batch)
}
