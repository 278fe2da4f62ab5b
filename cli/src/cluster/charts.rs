//! The charts, carried in the binary, so that program and charts are of one version.

use std::path::PathBuf;

use anyhow::{Context, Result};
use include_dir::{Dir, include_dir};
use tempfile::TempDir;

static CHARTS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../helm");

/// The charts on disk, for as long as this lives.
pub(super) struct Charts {
    directory: TempDir,
}

impl Charts {
    /// Writes them to a directory of their own.
    pub(super) fn unpack() -> Result<Self> {
        let directory = tempfile::tempdir().context("cannot make a directory for the charts")?;
        CHARTS.extract(directory.path()).context("cannot write the charts")?;
        Ok(Charts { directory })
    }

    /// Where a chart is.
    pub(super) fn path(&self, chart: &str) -> PathBuf {
        self.directory.path().join(chart)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{BASE, MESH};

    #[test]
    fn both_charts_are_carried_whole() {
        let charts = Charts::unpack().unwrap();
        for chart in [BASE, MESH] {
            for file in ["Chart.yaml", "values.yaml", "values.schema.json"] {
                assert!(charts.path(chart).join(file).is_file(), "{chart}/{file}");
            }
        }
        assert!(charts.path(BASE).join("files/crds/virtualservices.networking.istio.io.yaml").is_file());
        assert!(charts.path(MESH).join("templates/ztunnel/daemonset.yaml").is_file());
    }
}
