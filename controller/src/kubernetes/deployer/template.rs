//! The file that says what all waypoints have in common: read at the start, and again when it changes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use controller_translate::expand::WaypointTemplate;
use tracing::{info, warn};

/// A template and where it comes from.
pub(super) struct TemplateFile {
    path: PathBuf,
    /// What was found there last, good or bad. Kubernetes swaps links, so neither times nor
    /// inodes tell whether a file has changed.
    found: Result<String, String>,
    template: WaypointTemplate,
}

impl TemplateFile {
    /// Reads it; fails where there is none to begin with.
    pub(super) fn open(path: PathBuf) -> anyhow::Result<Self> {
        let purpose =
            || format!("cannot use the waypoints' template {}; see WAYPOINT_TEMPLATE", path.display());
        let text = read(&path).map_err(anyhow::Error::msg).with_context(purpose)?;
        let template = parse(&text).map_err(anyhow::Error::msg).with_context(purpose)?;
        Ok(TemplateFile { found: Ok(text), template, path })
    }

    /// The last good one.
    pub(super) fn get(&self) -> &WaypointTemplate {
        &self.template
    }

    /// Looks at the file; whether the template is another one now.
    pub(super) fn refresh(&mut self) -> bool {
        let found = read(&self.path);
        if found == self.found {
            return false;
        }
        self.found = found;
        match self.found.as_deref().map_err(Clone::clone).and_then(parse) {
            Ok(template) => {
                let is_new = template != self.template;
                self.template = template;
                if is_new {
                    info!("the waypoints' template has changed; they follow");
                }
                is_new
            }
            Err(error) => {
                warn!(
                    "the waypoints' template {} is broken, the one before stays in force: {error}",
                    self.path.display()
                );
                false
            }
        }
    }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| error.to_string())
}

fn parse(text: &str) -> Result<WaypointTemplate, String> {
    serde_saphyr::from_str(text).map_err(|error| error.to_string())
}
