//! `envoy_cluster_outlier_detection_*`: endpoints that a waypoint leaves out for a while, under Envoy's names.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::Registry;

/// Endpoints that are left out. Clones count together.
#[derive(Clone, Debug)]
pub struct OutlierMetrics {
    active: Family<Cluster, Gauge>,
    enforced: Family<Cluster, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Cluster {
    cluster_name: String,
}

impl Cluster {
    fn named(name: &str) -> Cluster {
        Cluster { cluster_name: name.to_owned() }
    }
}

impl OutlierMetrics {
    /// Registers `envoy_cluster_outlier_detection_*`.
    pub fn new(registry: &Registry) -> Self {
        let metrics = OutlierMetrics { active: Family::default(), enforced: Family::default() };
        registry.register(
            "envoy_cluster_outlier_detection_ejections_active",
            "The number of endpoints that are left out now because they failed too often (unstable)",
            metrics.active.clone(),
        );
        registry.register(
            "envoy_cluster_outlier_detection_ejections_enforced",
            "The total number of times that endpoints were left out because they failed too often (unstable)",
            metrics.enforced.clone(),
        );
        metrics
    }

    /// An endpoint of a cluster, by Envoy's name, is left out from now on.
    pub fn ejected(&self, cluster: &str) {
        self.enforced.get_or_create(&Cluster::named(cluster)).inc();
    }

    /// So many are left out now. Clusters of which nobody ever was have no line.
    pub fn left_out(&self, cluster: &str, count: usize) {
        let cluster = Cluster::named(cluster);
        if count > 0 || self.active.get(&cluster).is_some() {
            self.active.get_or_create(&cluster).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn res_20_only_clusters_with_something_to_tell_have_lines() {
        let registry = Registry::new("waypoint", "1");
        let metrics = OutlierMetrics::new(&registry);
        metrics.left_out("quiet", 0);
        metrics.ejected("shop");
        metrics.left_out("shop", 1);
        metrics.left_out("shop", 0);
        let page = registry.encode();
        for line in [
            "envoy_cluster_outlier_detection_ejections_active{cluster_name=\"shop\"} 0",
            "envoy_cluster_outlier_detection_ejections_enforced_total{cluster_name=\"shop\"} 1",
        ] {
            assert!(page.lines().any(|known| known == line), "{line}\n{page}");
        }
        assert!(!page.contains("quiet"), "{page}");
    }
}
