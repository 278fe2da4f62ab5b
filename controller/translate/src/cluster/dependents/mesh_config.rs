//! What depends on the settings of the whole mesh: whom waypoints can ask, and the policies that ask.

use super::Dependents;
use crate::cluster::Name;
use crate::objects::{Kind, PolicyAction};
use crate::resources::provider_host;

impl Dependents<'_> {
    pub(super) fn of_config_map(&mut self, name: &Name) {
        if self.cluster.is_mesh_config(name) {
            self.add_askers();
            self.add_all_reports();
            self.add_all_limiters();
            self.add_entries();
        }
    }

    /// Who can see ServiceEntries depends on the settings of the mesh, and who means them by their hosts on that.
    fn add_entries(&mut self) {
        for (name, _) in self.cluster.service_entries.iter() {
            self.of_service_entry(&name.key(Kind::ServiceEntry), name);
        }
    }

    /// Who asks somebody with that host name.
    pub(super) fn add_authorizers(&mut self, hostname: &str) {
        let cluster = self.cluster;
        let mut authorizers = cluster.mesh.extension_providers.iter().filter_map(|it| it.authorizer());
        if authorizers.any(|it| &*provider_host(cluster, &it.service).1 == hostname) {
            self.add_askers();
        }
    }

    fn add_askers(&mut self) {
        let cluster = self.cluster;
        for (gateway, _) in cluster.gateways.iter() {
            self.add(cluster.waypoint_key(gateway));
        }
        let policies = cluster.authorization_policies.iter();
        for (at, _) in policies.filter(|(_, it)| it.spec.action == PolicyAction::Custom) {
            self.add_status(Kind::AuthorizationPolicy, at);
        }
    }
}
