//! Label sets and their values, each label set held once however many metrics it has.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::{EncodeLabelSet, MetricEncoder};
use tracing::warn;

/// With more label sets than this, those that nobody is using start over.
const MOST: usize = 10_000;

/// The values `V` by label sets `L`.
pub(crate) struct Series<L, V> {
    known: Mutex<HashMap<Arc<L>, Arc<V>>>,
}

impl<L, V> Default for Series<L, V> {
    fn default() -> Self {
        Series { known: Mutex::default() }
    }
}

impl<L, V> fmt::Debug for Series<L, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Series").finish_non_exhaustive()
    }
}

impl<L, V> Series<L, V>
where
    L: EncodeLabelSet + Eq + Hash,
    V: Default,
{
    /// The one copy of a label set and its values, to be held on to while they are in use.
    pub(crate) fn of(&self, labels: L) -> (Arc<L>, Arc<V>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((labels, values)) = known.get_key_value(&labels) {
            return (labels.clone(), values.clone());
        }
        if known.len() >= MOST {
            let before = known.len();
            known.retain(|_, values| Arc::strong_count(values) > 1);
            warn!(before, after = known.len(), "too many label sets, those not in use start over");
        }
        let (labels, values) = (Arc::new(labels), Arc::<V>::default());
        known.insert(labels.clone(), values.clone());
        (labels, values)
    }

    /// Writes one metric of every label set that has it.
    pub(crate) fn encode(
        &self,
        metric: &mut MetricEncoder<'_>,
        write: impl Fn(&V, MetricEncoder<'_>) -> fmt::Result,
        has_it: impl Fn(&L, &V) -> bool,
    ) -> fmt::Result {
        // Copied, so that no connection waits for whoever reads the metrics.
        let known: Vec<_> = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.iter().map(|(labels, values)| (labels.clone(), values.clone())).collect()
        };
        for (labels, values) in known.iter().filter(|(labels, values)| has_it(labels, values)) {
            write(values, metric.encode_family(&**labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_sets_not_in_use_give_way() {
        let series: Series<Vec<(String, String)>, u64> = Series::default();
        let labels = |number: usize| vec![("a".to_owned(), number.to_string())];
        let (_, kept) = series.of(labels(0));
        for number in 1..=MOST {
            series.of(labels(number));
        }
        assert!(series.known.lock().unwrap().len() <= 2);
        assert!(Arc::ptr_eq(&kept, &series.of(labels(0)).1), "in use, so it stays");
    }
}
