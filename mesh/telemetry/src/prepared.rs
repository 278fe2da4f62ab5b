//! What the requests of one connection count in: found by their labels once, and held on to for those that follow.

use std::sync::{Arc, Mutex, PoisonError};

use crate::http_metrics::RequestValues;
use crate::{Party, RequestFlags, ServiceRef};

/// More outcomes than one connection has at a time; past it, the oldest is looked up again.
const MOST: usize = 8;

/// What a request's labels are made of, beside its source.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ingredients {
    pub(crate) destination: Party,
    pub(crate) service: Option<ServiceRef>,
    pub(crate) grpc: bool,
    pub(crate) code: u16,
    pub(crate) grpc_status: Option<u8>,
    pub(crate) flags: RequestFlags,
}

/// Values by what their labels are made of, for one source.
#[derive(Debug, Default)]
pub(crate) struct Prepared(Mutex<Vec<(Ingredients, Arc<RequestValues>)>>);

impl Prepared {
    /// The values for a request, `made` now if there has been none like it.
    pub(crate) fn of(
        &self,
        request: Ingredients,
        make: impl FnOnce(&Ingredients) -> Arc<RequestValues>,
    ) -> Arc<RequestValues> {
        // A panic below leaves a shorter list at worst.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, values)) = known.iter().find(|(known, _)| known.is(&request)) {
            return values.clone();
        }
        if known.len() >= MOST {
            known.remove(0);
        }
        let values = make(&request);
        known.push((request, values.clone()));
        values
    }
}

impl Ingredients {
    /// Whether the labels are the same. The same workload is the same value; a new value may have new labels.
    fn is(&self, other: &Ingredients) -> bool {
        let of_workload = |it: &Ingredients| it.destination.workload.as_ref().map(Arc::as_ptr);
        (self.code, self.flags, self.grpc, self.grpc_status)
            == (other.code, other.flags, other.grpc, other.grpc_status)
            && of_workload(self) == of_workload(other)
            && self.destination.identity == other.destination.identity
            && self.service == other.service
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(code: u16) -> Ingredients {
        Ingredients {
            destination: Party::default(),
            service: None,
            grpc: false,
            code,
            grpc_status: None,
            flags: RequestFlags::NONE,
        }
    }

    #[test]
    fn tel_labels_are_looked_up_once_for_each_outcome() {
        let (prepared, mut made) = (Prepared::default(), 0);
        let mut of = |request: Ingredients| {
            prepared.of(request, |_| {
                made += 1;
                Arc::default()
            })
        };
        let ok = of(request(200));
        assert!(!Arc::ptr_eq(&ok, &of(request(404))));
        assert!(!Arc::ptr_eq(&ok, &of(Ingredients { grpc: true, ..request(200) })));
        let elsewhere = ServiceRef { key: mesh_model::NamespacedHostname::new("shop", "reviews") };
        assert!(!Arc::ptr_eq(&ok, &of(Ingredients { service: Some(elsewhere), ..request(200) })));
        assert!(Arc::ptr_eq(&ok, &of(request(200))));
        assert_eq!(made, 4);
    }

    #[test]
    fn tel_a_connection_with_many_outcomes_keeps_few() {
        let prepared = Prepared::default();
        for code in 200..300 {
            prepared.of(request(code), |_| Arc::default());
        }
        assert_eq!(prepared.0.lock().unwrap().len(), MOST);
    }
}
