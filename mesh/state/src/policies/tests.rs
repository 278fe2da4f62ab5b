//! Which policies apply to a workload.

use mesh_model::{PolicyKey, Scope, Workload};

use crate::Snapshot;
use crate::samples::{policy, workload};

fn names(snapshot: &Snapshot, workload: &Workload) -> Vec<String> {
    snapshot.policies_for(workload).map(|policy| policy.key.to_string()).collect()
}

fn naming(policies: &[PolicyKey]) -> Workload {
    Workload { authorization_policies: policies.to_vec(), ..workload("web") }
}

#[test]
fn policies_of_the_mesh_of_the_namespace_and_named_ones_apply() {
    let (writer, reader) = crate::new();
    writer.change(|edit| {
        edit.insert_policy(policy("root", "mesh", Scope::Global));
        edit.insert_policy(policy("prod", "namespace", Scope::Namespace));
        edit.insert_policy(policy("test", "elsewhere", Scope::Namespace));
        edit.insert_policy(policy("prod", "named", Scope::WorkloadSelector));
        edit.insert_policy(policy("prod", "unnamed", Scope::WorkloadSelector));
    });
    let snapshot = reader.snapshot();
    assert_eq!(
        names(&snapshot, &naming(&[PolicyKey::new("prod", "named")])),
        ["root/mesh", "prod/namespace", "prod/named"]
    );
    assert_eq!(names(&snapshot, &naming(&[])), ["root/mesh", "prod/namespace"]);
}

#[test]
fn l4_17_a_policy_that_changes_its_scope_moves() {
    let (writer, reader) = crate::new();
    let named = naming(&[PolicyKey::new("prod", "p")]);
    for (scope, for_all, for_named) in [
        (Scope::Namespace, 1, 2), // once for the namespace, once by name
        (Scope::WorkloadSelector, 0, 1),
        (Scope::Global, 1, 2),
        (Scope::Namespace, 1, 2),
    ] {
        writer.change(|edit| edit.insert_policy(policy("prod", "p", scope)));
        let snapshot = reader.snapshot();
        assert_eq!(names(&snapshot, &naming(&[])).len(), for_all, "{scope:?}");
        assert_eq!(names(&snapshot, &named).len(), for_named, "{scope:?}");
    }
    writer.change(|edit| edit.remove_policy(&PolicyKey::new("prod", "p")));
    assert!(names(&reader.snapshot(), &named).is_empty());
}

#[test]
fn l4_18_a_name_nobody_knows_is_passed_over() {
    let (writer, reader) = crate::new();
    writer.change(|edit| edit.insert_policy(policy("prod", "known", Scope::WorkloadSelector)));
    let web = naming(&[PolicyKey::new("prod", "unknown"), PolicyKey::new("prod", "known")]);
    assert_eq!(names(&reader.snapshot(), &web), ["prod/known"]);
}
