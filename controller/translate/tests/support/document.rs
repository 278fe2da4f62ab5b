//! YAML documents as objects, with the line in every error: what a source of manifests does.

use controller_translate::{Kind, Object};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    api_version: String,
    kind: String,
}

/// The documents of a file.
pub(crate) fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n---")
        .map(|part| part.trim_start_matches("---"))
        .filter(|part| part.lines().any(|line| !line.trim().is_empty() && !line.starts_with('#')))
}

/// One document, as it is written and as an object.
pub(crate) fn read(text: &str) -> Result<(Value, Object), String> {
    let without_snippet = |error: serde_saphyr::Error| error.without_snippet().to_string();
    let header: Header = serde_saphyr::from_str(text).map_err(without_snippet)?;
    let kind = Kind::find(&header.api_version, &header.kind).map_err(|error| error.to_string())?;
    let value = serde_saphyr::from_str(text).map_err(without_snippet)?;
    let object = serde_saphyr::with_deserializer_from_str(text, |yaml| Object::deserialize_as(kind, yaml))
        .map_err(without_snippet)?;
    Ok((value, object))
}
