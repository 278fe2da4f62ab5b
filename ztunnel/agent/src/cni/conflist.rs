//! Putting the plugin at the end of a network configuration, and taking it out, as
//! functions from text to text. What is not ours stays as it is, byte for byte.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::PLUGIN;

/// The name of a list made of a single plugin's configuration.
const WRAPPED: &str = "k8s-pod-network";
/// Of a list that does not say its version.
const OLDEST: &str = "0.3.1";

/// Why a text is no network configuration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    /// It is not JSON, or a field is of another kind.
    #[error("no network configuration: {0}")]
    Malformed(String),
    /// It has no plugin the new one could follow.
    #[error("no plugin in it")]
    Empty,
}

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    plugins: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Typed {
    #[serde(rename = "type")]
    kind: String,
}

/// The list with exactly one entry of ours, `entry`, as its last plugin.
pub(crate) fn chain(list: &str, entry: &str) -> Result<String, Unusable> {
    if let Some(ours) = plugins(list)?.last().filter(|last| is_ours(last))
        && same(ours, entry)
        && plugins(list)?.iter().filter(|plugin| is_ours(plugin)).count() == 1
    {
        return Ok(list.to_owned());
    }
    let list = unchain(list)?;
    let plugins = plugins(&list)?;
    let last = plugins.last().ok_or(Unusable::Empty)?;
    let (start, end) = span(&list, last);
    let indent = indentation(&list[..start]);
    Ok(format!("{},{indent}{entry}{}", &list[..end], &list[end..]))
}

/// The list without any entry of ours.
pub(crate) fn unchain(list: &str) -> Result<String, Unusable> {
    let mut list = list.to_owned();
    loop {
        let spans: Vec<_> =
            plugins(&list)?.iter().map(|plugin| (span(&list, plugin), is_ours(plugin))).collect();
        let Some(at) = spans.iter().position(|(_, ours)| *ours) else { return Ok(list) };
        // With the separator before it, or behind it where it is the first.
        let (from, to) = match (at.checked_sub(1).map(|before| spans[before].0), spans.get(at + 1)) {
            (Some((_, end)), _) => (end, spans[at].0.1),
            (None, Some(((start, _), _))) => (spans[at].0.0, *start),
            (None, None) => spans[at].0,
        };
        list.replace_range(from..to, "");
    }
}

/// Whether the list has an entry of ours.
pub(crate) fn is_chained(list: &str) -> bool {
    plugins(list).is_ok_and(|plugins| plugins.iter().any(|plugin| is_ours(plugin)))
}

/// A list with one plugin, of the configuration of that plugin alone.
pub(crate) fn wrap(conf: &str) -> Result<String, Unusable> {
    #[derive(Deserialize)]
    struct Conf {
        #[serde(rename = "cniVersion", default)]
        version: Option<String>,
    }
    let malformed = |error: serde_json::Error| Unusable::Malformed(error.to_string());
    serde_json::from_str::<Typed>(conf).map_err(malformed)?;
    let version = serde_json::from_str::<Conf>(conf).map_err(malformed)?.version;
    let version = serde_json::Value::from(version.unwrap_or_else(|| OLDEST.to_owned()));
    let conf = conf.trim();
    Ok(format!(
        "{{\n  \"cniVersion\": {version},\n  \"name\": \"{WRAPPED}\",\n  \"plugins\": [\n    {conf}\n  ]\n}}\n"
    ))
}

fn plugins(list: &str) -> Result<Vec<&RawValue>, Unusable> {
    let list: List<'_> =
        serde_json::from_str(list).map_err(|error| Unusable::Malformed(error.to_string()))?;
    Ok(list.plugins)
}

fn is_ours(plugin: &RawValue) -> bool {
    serde_json::from_str::<Typed>(plugin.get()).is_ok_and(|typed| typed.kind == PLUGIN)
}

fn same(plugin: &RawValue, entry: &str) -> bool {
    let parse = |text| serde_json::from_str::<serde_json::Value>(text).ok();
    parse(plugin.get()) == parse(entry)
}

/// Where a part that was parsed out of `list` begins and ends in it.
fn span(list: &str, part: &RawValue) -> (usize, usize) {
    let start = part.get().as_ptr() as usize - list.as_ptr() as usize;
    (start, start + part.get().len())
}

/// The white space that comes before the last plugin.
fn indentation(before: &str) -> &str {
    &before[before.trim_end().len()..]
}

#[cfg(test)]
mod tests;
