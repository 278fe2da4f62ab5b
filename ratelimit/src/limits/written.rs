//! The form in which limits are written: a domain, and descriptors in descriptors.

use serde::Deserialize;

use super::{Invalid, Level, Limit, Node, Unit};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Domain {
    domain: String,
    #[serde(default)]
    descriptors: Vec<Descriptor>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Descriptor {
    key: String,
    /// Ends in `*`: the beginning of values. Absent: any value, each counted for itself.
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    rate_limit: Option<RateLimit>,
    #[serde(default)]
    shadow_mode: bool,
    #[serde(default)]
    descriptors: Vec<Descriptor>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RateLimit {
    #[serde(default)]
    name: String,
    #[serde(default)]
    unit: Option<WrittenUnit>,
    #[serde(default)]
    requests_per_unit: Option<u32>,
    #[serde(default)]
    unlimited: bool,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WrittenUnit {
    #[serde(alias = "SECOND")]
    Second,
    #[serde(alias = "MINUTE")]
    Minute,
    #[serde(alias = "HOUR")]
    Hour,
    #[serde(alias = "DAY")]
    Day,
    #[serde(alias = "MONTH")]
    Month,
    #[serde(alias = "YEAR")]
    Year,
}

/// The domain of a file and what it says.
pub(super) fn read(text: &str) -> Result<(String, Level), Invalid> {
    let unreadable = |error: serde_saphyr::Error| Invalid::Unreadable(error.without_snippet().to_string());
    let Domain { domain, descriptors } = serde_saphyr::from_str(text).map_err(unreadable)?;
    if domain.is_empty() {
        return Err(Invalid::Missing { place: "domain".to_owned() });
    }
    let level = level(descriptors, "descriptors")?;
    Ok((domain, level))
}

fn level(descriptors: Vec<Descriptor>, place: &str) -> Result<Level, Invalid> {
    let mut level = Level::default();
    for (at, descriptor) in descriptors.into_iter().enumerate() {
        let place = format!("{place}[{at}]");
        let Descriptor { key, value, rate_limit, shadow_mode, descriptors } = descriptor;
        if key.is_empty() {
            return Err(Invalid::Missing { place: format!("{place}.key") });
        }
        if rate_limit.is_none() && descriptors.is_empty() {
            return Err(Invalid::Empty { place });
        }
        let limit =
            rate_limit.map(|it| limit(it, shadow_mode, &format!("{place}.rate_limit"))).transpose()?;
        let below = self::level(descriptors, &format!("{place}.descriptors"))?;
        let values = level.keys.entry(key).or_default();
        let before = match value.as_deref() {
            None | Some("") => values.any.replace(Node { limit, below }),
            Some(value) => match value.strip_suffix('*') {
                Some(prefix) => {
                    let known = values.prefixes.iter().position(|(known, _)| known == prefix);
                    let before = known.map(|at| values.prefixes.remove(at).1);
                    values.prefixes.push((prefix.to_owned(), Node { limit, below }));
                    values.prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
                    before
                }
                None => values.exact.insert(value.to_owned(), Node { limit, below }),
            },
        };
        if before.is_some() {
            return Err(Invalid::Repeated { place });
        }
    }
    Ok(level)
}

fn limit(written: RateLimit, shadow: bool, place: &str) -> Result<Limit, Invalid> {
    let RateLimit { name, unit, requests_per_unit, unlimited } = written;
    if requests_per_unit.is_some() == unlimited {
        return Err(Invalid::Ambiguous { place: place.to_owned() });
    }
    let unit = match unit {
        Some(WrittenUnit::Second) => Unit::Second,
        Some(WrittenUnit::Minute) => Unit::Minute,
        Some(WrittenUnit::Hour) => Unit::Hour,
        Some(WrittenUnit::Day) => Unit::Day,
        Some(WrittenUnit::Month) => Unit::Month,
        Some(WrittenUnit::Year) => Unit::Year,
        // What is not counted has no windows.
        None if unlimited => Unit::Second,
        None => return Err(Invalid::Missing { place: format!("{place}.unit") }),
    };
    Ok(Limit { name, requests: requests_per_unit, unit, shadow })
}
