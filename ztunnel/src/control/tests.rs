//! What ztunnel tells the controller of itself.

use std::path::Path;

use super::*;

#[test]
fn the_node_is_named_and_described_as_the_controller_expects() {
    let variables = [
        ("POD_NAME", "ztunnel-1"),
        ("POD_NAMESPACE", "istio-system"),
        ("INSTANCE_IP", "172.30.0.11"),
        ("NODE_NAME", "node1"),
        ("ISTIO_META_CLUSTER_ID", "c1"),
        ("ISTIO_METAJSON_EXTRA", r#"{"list": [1, true, null, "x"]}"#),
    ];
    let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let config = Config::read(variables, Path::new("/does/not/exist")).unwrap();
    let node = node(&config);
    assert_eq!(node.id, "ztunnel~172.30.0.11~ztunnel-1.istio-system~istio-system.svc.cluster.local");
    node.id.parse::<NodeId>().unwrap();
    let fields = node.metadata.unwrap().fields;
    let text = |text: &str| Some(Kind::StringValue(text.to_owned()));
    assert_eq!(fields["NAME"].kind, text("ztunnel-1"));
    assert_eq!(fields["NODE_NAME"].kind, text("node1"));
    assert_eq!(fields["INSTANCE_IPS"].kind, text("172.30.0.11"));
    assert_eq!(fields["CLUSTER_ID"].kind, text("c1"));
    let Some(Kind::StructValue(extra)) = &fields["EXTRA"].kind else { panic!("not a struct") };
    let Some(Kind::ListValue(list)) = &extra.fields["list"].kind else { panic!("not a list") };
    let kinds: Vec<_> = list.values.iter().map(|value| value.kind.clone().unwrap()).collect();
    let expected = [
        Kind::NumberValue(1.0),
        Kind::BoolValue(true),
        Kind::NullValue(0),
        Kind::StringValue("x".to_owned()),
    ];
    assert_eq!(kinds, expected);
}
