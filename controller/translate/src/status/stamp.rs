//! Times of transition: they belong to what was written, not to what holds.

use serde_json::{Map, Value};

use super::Status;

pub(super) fn stamp(status: &Status, previous: Option<&Value>, now: &str) -> Value {
    // A status is made of texts, numbers and lists of them, which always have a form in JSON.
    let mut value = serde_json::to_value(status).unwrap_or_default();
    walk(&mut value, previous, now);
    value
}

fn walk(value: &mut Value, previous: Option<&Value>, now: &str) {
    match value {
        Value::Object(fields) if is_condition(fields) => {
            let unchanged = previous.filter(|it| it.get("status") == fields.get("status"));
            let time = unchanged.and_then(|it| it.get("lastTransitionTime")).and_then(Value::as_str);
            fields.insert("lastTransitionTime".into(), time.unwrap_or(now).into());
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                walk(value, previous.and_then(|it| it.get(name)), now);
            }
        }
        Value::Array(items) => {
            for item in items {
                let same = previous.and_then(Value::as_array).and_then(|them| find_same(them, item));
                walk(item, same, now);
            }
        }
        _ => {}
    }
}

fn is_condition(fields: &Map<String, Value>) -> bool {
    fields.contains_key("type") && fields.contains_key("reason")
}

/// The item that was about the same: items of a list are known by one of these fields.
fn find_same<'a>(items: &'a [Value], item: &Value) -> Option<&'a Value> {
    let names = ["type", "name", "parentRef", "ancestorRef"];
    let name = names.into_iter().find(|name| item.get(name).is_some())?;
    items.iter().find(|it| it.get(name) == item.get(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::status::{Condition, Status};

    #[test]
    fn conditions_keep_their_time_until_they_change() {
        let status = |ready| Status::Conditions {
            conditions: vec![
                Condition::holds("Accepted", "Accepted", ""),
                Condition::new("Programmed", ready, "Programmed", ""),
            ],
        };
        let first = status(false).stamp(None, "2026-01-01T00:00:00Z");
        let second = status(true).stamp(Some(&first), "2026-01-02T00:00:00Z");
        let times: Vec<_> = (0..2).map(|at| &second["conditions"][at]["lastTransitionTime"]).collect();
        assert_eq!(times, [&json!("2026-01-01T00:00:00Z"), &json!("2026-01-02T00:00:00Z")]);
        assert_eq!(status(true).stamp(Some(&second), "2026-01-03T00:00:00Z"), second);
    }
}
