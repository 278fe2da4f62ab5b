//! Selection by labels.

use std::collections::BTreeMap;

use gateway_api::experimental::gateways::GatewayListenersAllowedRoutesNamespacesSelector as NamespaceSelector;

/// Whether `labels` has all of `wanted`.
pub(crate) fn includes(labels: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(name, value)| labels.get(name) == Some(value))
}

/// A selector of namespaces; an operator that does not exist selects nothing.
pub(crate) fn selects(selector: &NamespaceSelector, labels: &BTreeMap<String, String>) -> bool {
    let empty = BTreeMap::new();
    let by_label = includes(labels, selector.match_labels.as_ref().unwrap_or(&empty));
    let mut expressions = selector.match_expressions.iter().flatten();
    by_label
        && expressions.all(|expression| {
            let value = labels.get(&expression.key);
            let listed = value.is_some_and(|value| expression.values.iter().flatten().any(|it| it == value));
            match expression.operator.as_str() {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn wp_08_every_operator_selects_as_kubernetes_has_it() {
        let labels = BTreeMap::from([("team".to_owned(), "shop".to_owned())]);
        for (key, operator, values, expected) in [
            ("team", "In", vec!["shop", "bank"], true),
            ("team", "In", vec!["bank"], false),
            ("other", "In", vec!["shop"], false),
            ("team", "NotIn", vec!["shop"], false),
            ("other", "NotIn", vec!["shop"], true),
            ("team", "Exists", vec![], true),
            ("other", "Exists", vec![], false),
            ("team", "DoesNotExist", vec![], false),
            ("other", "DoesNotExist", vec![], true),
            ("team", "Like", vec!["shop"], false),
        ] {
            let expression = json!({ "key": key, "operator": operator, "values": values });
            let selector = serde_json::from_value(json!({ "matchExpressions": [expression] })).unwrap();
            assert_eq!(selects(&selector, &labels), expected, "{key} {operator}");
        }
        assert!(selects(&NamespaceSelector::default(), &labels), "an empty selector selects everything");
    }
}
