//! The ConfigMap that has the settings of the whole mesh; others mean nothing here.

use k8s_openapi::api::core::v1::ConfigMap;

use super::{Cluster, Name, Settings};
use crate::objects::{MESH_CONFIG_KEY, MeshConfig};

impl Settings {
    /// The name of the ConfigMap with the settings of the mesh, in the root namespace (api.md §8).
    pub fn mesh_config_map(&self) -> String {
        match self.revision.as_ref() {
            "" | "default" => "istio".to_owned(),
            revision => format!("istio-{revision}"),
        }
    }
}

impl Cluster {
    pub(super) fn is_mesh_config(&self, name: &Name) -> bool {
        name.namespace == self.settings.root_namespace && *name.name == *self.settings.mesh_config_map()
    }

    /// Returns whether anything changed. What cannot be read leaves all as it was: whoever validates says so.
    pub(super) fn put_config_map(&mut self, name: &Name, object: &ConfigMap) -> bool {
        if !self.is_mesh_config(name) {
            return false;
        }
        let text = object.data.as_ref().and_then(|data| data.get(MESH_CONFIG_KEY));
        let config = MeshConfig::parse(text.map(String::as_str).unwrap_or_default());
        config.is_ok_and(|config| self.set_mesh(config))
    }

    pub(super) fn remove_config_map(&mut self, name: &Name) -> bool {
        self.is_mesh_config(name) && self.set_mesh(MeshConfig::default())
    }

    fn set_mesh(&mut self, config: MeshConfig) -> bool {
        let changed = self.mesh != config;
        self.mesh = config;
        changed
    }
}
