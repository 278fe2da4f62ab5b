//! What is said of a workload and what is understood.

use mesh_model::Locality;

use super::*;
use crate::labels::tests::workload;

#[test]
fn hb_27_keys_are_in_order_and_empty_values_are_left_out() {
    let mut web = Workload::clone(&workload("web"));
    assert_eq!(
        encode(&web),
        "k8s.cluster.name=Kubernetes,k8s.namespace.name=prod,k8s.pod.name=web,service.name=web,service.version=v1"
    );
    web.locality = Locality { region: "r".into(), zone: "z".into(), subzone: "s".into() };
    web.canonical_revision = "".into();
    for (kind, key) in [
        (WorkloadKind::Deployment, "deployment"),
        (WorkloadKind::CronJob, "cronjob"),
        (WorkloadKind::Pod, "pod"),
        (WorkloadKind::Job, "job"),
    ] {
        web.kind = kind;
        assert_eq!(
            encode(&web),
            format!(
                "k8s.cluster.name=Kubernetes,k8s.namespace.name=prod,k8s.{key}.name=web,service.name=web,\
                 cloud.region=r,cloud.availability_zone=z"
            )
        );
    }
}

#[test]
fn a_value_that_would_break_the_header_is_left_out() {
    let mut web = Workload::clone(&workload("web"));
    web.cluster_id = "a,k8s.namespace.name=evil".into();
    web.canonical_name = "ü\r\n".into();
    assert_eq!(encode(&web), "k8s.namespace.name=prod,k8s.pod.name=web,service.version=v1");
}

#[test]
fn hb_27_headers_are_merged_and_nonsense_is_ignored() {
    let baggage = parse([
        "k8s.cluster.name=Kubernetes, k8s.namespace.name = prod ;property=1",
        "k8s.job.name=clean,service.name=,unknown=x,nonsense,cloud.region=r",
    ]);
    assert_eq!(
        baggage,
        Baggage {
            cluster: Some("Kubernetes".into()),
            namespace: Some("prod".into()),
            workload_name: Some("clean".into()),
            kind: Some(WorkloadKind::Job),
            region: Some("r".into()),
            ..Baggage::default()
        }
    );
    assert_eq!(parse([]), Baggage::default());
    let long = format!("service.name={}", "x".repeat(LONGEST + 1));
    assert_eq!(parse([long.as_str()]), Baggage::default(), "label sets stay small");
}

#[test]
fn hb_27_what_is_said_is_understood() {
    let web = workload("web");
    let baggage = parse([encode(&web).as_str()]);
    assert_eq!(baggage.cluster.as_deref(), Some("Kubernetes"));
    assert_eq!(baggage.namespace.as_deref(), Some("prod"));
    assert_eq!(baggage.workload_name.as_deref(), Some("web"));
    assert_eq!(baggage.kind, Some(WorkloadKind::Pod));
    assert_eq!(baggage.service_name.as_deref(), Some("web"));
    assert_eq!(baggage.revision.as_deref(), Some("v1"));
    assert_eq!((baggage.region, baggage.zone), (None, None));
}
