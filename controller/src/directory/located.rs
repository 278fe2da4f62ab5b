//! A YAML document that remembers the line of everything in it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;

/// A value and the line it begins on; 1 is the document's first.
#[derive(Debug)]
pub(super) struct Located {
    line: u64,
    node: Node,
}

#[derive(Debug)]
enum Node {
    Scalar(Value),
    List(Vec<Located>),
    Map(Vec<(String, Located)>),
}

impl Located {
    /// The value, as JSON has it.
    pub(super) fn to_value(&self) -> Value {
        match &self.node {
            Node::Scalar(value) => value.clone(),
            Node::List(items) => Value::Array(items.iter().map(Located::to_value).collect()),
            Node::Map(fields) => {
                let fields = fields.iter().map(|(name, field)| (name.clone(), field.to_value()));
                Value::Object(fields.collect::<Map<_, _>>())
            }
        }
    }

    /// The line of what a path such as `spec.ports[0].port` leads to, or of as
    /// much of it as there is.
    pub(super) fn find_line(&self, path: &str) -> u64 {
        match self.step(path) {
            Some((next, rest)) => next.find_line(rest),
            None => self.line,
        }
    }

    fn step<'p>(&self, path: &'p str) -> Option<(&Located, &'p str)> {
        match &self.node {
            Node::Scalar(_) => None,
            Node::List(items) => {
                let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
                Some((items.get(index.parse::<usize>().ok()?)?, rest))
            }
            Node::Map(fields) => {
                let path = path.strip_prefix('.').unwrap_or(path);
                // A key may contain dots itself, as annotations do: the longest that fits.
                let fits = |name: &str| {
                    let rest = path.strip_prefix(name)?;
                    (rest.is_empty() || rest.starts_with(['.', '['])).then_some(rest)
                };
                let fitting =
                    fields.iter().filter_map(|(name, field)| Some((name.len(), field, fits(name)?)));
                let (_, field, rest) = fitting.max_by_key(|(length, ..)| *length)?;
                Some((field, rest))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Located {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Node>::deserialize(deserializer)?;
        Ok(Located { line: spanned.referenced.line(), node: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a manifest")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("not a number that JSON can hold"))?;
        Ok(Node::Scalar(number.into()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_none<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut fields = Vec::new();
        while let Some((name, mut field)) = access.next_entry::<Spanned<String>, Located>()? {
            // The line of its name, which is where a person looks for it.
            field.line = name.referenced.line();
            fields.push((name.value, field));
        }
        Ok(Node::Map(fields))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_keep_their_lines() {
        let text = "a: 1\nb:\n  c.d/e: text\n  c:\n  - x: true\n    y: null\n  -  8.5\n443: {z: [1, -2]}\n";
        let located: Located = serde_saphyr::from_str(text).unwrap();
        let value = json!({
            "a": 1, "b": { "c.d/e": "text", "c": [{ "x": true, "y": null }, 8.5] }, "443": { "z": [1, -2] }
        });
        assert_eq!(located.to_value(), value);
        let cases = [
            ("a", 1),
            ("b.c.d/e", 3),
            ("b.c[0].x", 5),
            ("b.c[0].y", 6),
            ("b.c[1]", 7),
            ("443.z[1]", 8),
            ("b.c", 4),
            ("b.c[0].missing.more", 5),
            ("b.c[7]", 4),
            ("missing", 1),
            ("", 1),
        ];
        for (path, line) in cases {
            assert_eq!(located.find_line(path), line, "{path}");
        }
    }
}
