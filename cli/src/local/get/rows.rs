//! The tables of `adit local get`, a row a document.

use serde_json::Value;

use super::{What, condition};
use crate::local::table::table;

const REDIRECTION: &str = "ambient.istio.io/redirection";
const USE_WAYPOINT: &str = "istio.io/use-waypoint";

/// The table for documents of a kind.
pub(super) fn table_of(what: What, items: &[Value]) -> String {
    match what {
        What::Pods => pods(items),
        What::Services => services(items),
        What::Workloads => workloads(items),
        What::Gateways => gateways(items),
        What::Routes => routes(items),
        What::Policies | What::Kind(_) => policies(items),
    }
}

fn pods(items: &[Value]) -> String {
    let row = |pod: &Value| {
        let (status, metadata, spec) = (&pod["status"], &pod["metadata"], &pod["spec"]);
        let is_ready = |container: &&Value| container["ready"] == true;
        let restarts: u64 =
            list(&status["containerStatuses"]).filter_map(|it| it["restartCount"].as_u64()).sum();
        let is_ending = metadata["deletionTimestamp"].is_string();
        [
            text(&metadata["namespace"]),
            text(&metadata["name"]),
            format!(
                "{}/{}",
                list(&status["containerStatuses"]).filter(is_ready).count(),
                list(&spec["containers"]).count()
            ),
            if is_ending { "Ending".to_owned() } else { text(&status["phase"]) },
            restarts.to_string(),
            text(&spec["nodeName"]),
            text(&status["podIP"]),
            or_dash(&metadata["annotations"][REDIRECTION]),
            text(&status["message"]),
        ]
    };
    let headings = ["NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "NODE", "IP", "CAPTURED", "REASON"];
    table(headings, &items.iter().map(row).collect::<Vec<_>>())
}

fn services(items: &[Value]) -> String {
    let row = |service: &Value| {
        let (metadata, spec) = (&service["metadata"], &service["spec"]);
        let port = |port: &Value| format!("{}/{}", port["port"], port["protocol"].as_str().unwrap_or("TCP"));
        [
            text(&metadata["namespace"]),
            text(&metadata["name"]),
            or_dash(&spec["clusterIP"]),
            list(&spec["ports"]).map(port).collect::<Vec<_>>().join(","),
            or_dash(&metadata["labels"][USE_WAYPOINT]),
        ]
    };
    let headings = ["NAMESPACE", "NAME", "ADDRESS", "PORTS", "USE-WAYPOINT"];
    table(headings, &items.iter().map(row).collect::<Vec<_>>())
}

fn workloads(items: &[Value]) -> String {
    let row = |workload: &Value| {
        [
            text(&workload["namespace"]),
            text(&workload["name"]),
            joined(&workload["workloadIps"], text),
            text(&workload["node"]),
            text(&workload["protocol"]),
            text(&workload["serviceAccount"]),
            text(&workload["status"]),
        ]
    };
    let mut rows: Vec<_> = items.iter().map(row).collect();
    rows.sort();
    table(["NAMESPACE", "NAME", "ADDRESS", "NODE", "PROTOCOL", "ACCOUNT", "STATUS"], &rows)
}

fn gateways(items: &[Value]) -> String {
    let row = |gateway: &Value| {
        [
            text(&gateway["metadata"]["namespace"]),
            text(&gateway["metadata"]["name"]),
            text(&gateway["spec"]["gatewayClassName"]),
            joined(&gateway["status"]["addresses"], |address| text(&address["value"])),
            condition(&gateway["status"], "Programmed"),
        ]
    };
    let headings = ["NAMESPACE", "NAME", "CLASS", "ADDRESS", "PROGRAMMED"];
    table(headings, &items.iter().map(row).collect::<Vec<_>>())
}

fn routes(items: &[Value]) -> String {
    let row = |route: &Value| {
        let (metadata, spec) = (&route["metadata"], &route["spec"]);
        let parents = list(&spec["parentRefs"]).map(|parent| text(&parent["name"]));
        let accepted = joined(&route["status"]["parents"], |parent| condition(parent, "Accepted"));
        [
            text(&metadata["namespace"]),
            text(&route["kind"]),
            text(&metadata["name"]),
            parents.chain(list(&spec["hosts"]).map(text)).collect::<Vec<_>>().join(","),
            if accepted.is_empty() { "-".to_owned() } else { accepted },
        ]
    };
    let headings = ["NAMESPACE", "KIND", "NAME", "FOR", "ACCEPTED"];
    table(headings, &items.iter().map(row).collect::<Vec<_>>())
}

fn policies(items: &[Value]) -> String {
    let row = |policy: &Value| {
        let (metadata, spec, status) = (&policy["metadata"], &policy["spec"], &policy["status"]);
        let target = |target: &Value| format!("{}/{}", text(&target["kind"]), text(&target["name"]));
        let targets = list(&spec["targetRefs"]).chain(spec.get("targetRef")).map(target);
        let hosts = list(&spec["hosts"]).chain(spec.get("host")).map(text);
        let parents = list(&spec["parentRefs"]).map(|parent| text(&parent["name"]));
        let reasons: Vec<_> = conditions(status).map(|condition| text(&condition["reason"])).collect();
        [
            text(&metadata["namespace"]),
            text(&policy["kind"]),
            text(&metadata["name"]),
            or_dash(&targets.chain(hosts).chain(parents).collect::<Vec<_>>().join(",").into()),
            or_dash(&reasons.join(",").into()),
        ]
    };
    let headings = ["NAMESPACE", "KIND", "NAME", "FOR", "STATUS"];
    table(headings, &items.iter().map(row).collect::<Vec<_>>())
}

/// Some objects are told of once, others once for each target or parent.
fn conditions(status: &Value) -> impl Iterator<Item = &Value> {
    let each = list(&status["ancestors"]).chain(list(&status["parents"]));
    let of_targets = each.flat_map(|target| list(&target["conditions"]));
    let accepted = of_targets.filter(|condition| condition["type"] == "Accepted");
    list(&status["conditions"]).chain(accepted)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn joined(value: &Value, shown: impl Fn(&Value) -> String) -> String {
    list(value).map(shown).collect::<Vec<_>>().join(",")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn or_dash(value: &Value) -> String {
    value.as_str().filter(|text| !text.is_empty()).unwrap_or("-").to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_is_a_row() {
        let pod = json!({
            "metadata": { "namespace": "prod", "name": "web", "annotations": { REDIRECTION: "enabled" } },
            "spec": { "nodeName": "node-1", "containers": [{}, {}] },
            "status": {
                "phase": "Running", "podIP": "10.244.1.2", "message": "not ready: x",
                "containerStatuses": [{ "ready": true, "restartCount": 2 }, { "ready": false, "restartCount": 1 }],
            },
        });
        let table = table_of(What::Pods, &[pod]);
        let row: Vec<_> = table.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row[..8], ["prod", "web", "1/2", "Running", "3", "node-1", "10.244.1.2", "enabled"]);
    }

    #[test]
    fn what_is_not_known_is_a_dash() {
        for what in ["services", "gateways", "routes", "policies", "serviceentries"] {
            let what = What::parse(what).unwrap();
            let table = table_of(what, &[json!({ "metadata": { "name": "x" } })]);
            assert!(table.lines().nth(1).unwrap().contains('-'), "{what:?}: {table}");
        }
    }

    #[test]
    fn what_stands_for_several_kinds_is_told_from_a_kind() {
        assert_eq!(What::parse("svc").unwrap(), What::Services);
        assert_eq!(What::parse("policies").unwrap(), What::Policies);
        assert!(matches!(What::parse("dr").unwrap(), What::Kind(kind) if kind.name == "destinationrule"));
        let error = format!("{:#}", What::parse("thing").unwrap_err());
        assert!(
            error.contains("none of workloads, routes and policies") && error.contains("known are"),
            "{error}"
        );
    }

    #[test]
    fn a_destination_rule_is_a_row_with_its_host_and_what_is_said_of_it() {
        let rule = json!({
            "kind": "DestinationRule",
            "metadata": { "namespace": "prod", "name": "web" },
            "spec": { "host": "web.prod.svc.cluster.local" },
            "status": { "conditions": [{ "type": "Accepted", "status": "True", "reason": "Accepted" }] },
        });
        let table = table_of(What::parse("dr").unwrap(), &[rule]);
        let row: Vec<_> = table.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row, ["prod", "DestinationRule", "web", "web.prod.svc.cluster.local", "Accepted"]);
    }
}
