//! Typed environment variables. An empty variable is an absent one.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

/// A variable whose value is none of its kind.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("environment variable {name} is {value:?}; expected {expected}")]
pub struct InvalidEnv {
    /// The variable.
    pub name: String,
    /// What it holds.
    pub value: String,
    /// What it should hold.
    pub expected: String,
}

/// The variable's text.
pub fn find_text(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()).filter(|value| !value.is_empty())
}

/// The variable's text, or else `default`.
pub fn text(name: &str, default: &str) -> String {
    find_text(name).unwrap_or_else(|| default.to_owned())
}

/// The variable as a value, or else `default`.
pub fn parse<T: FromStr<Err: Display>>(name: &str, default: T) -> Result<T, InvalidEnv> {
    Ok(find(name)?.unwrap_or(default))
}

/// The variable as a value, if it is set.
pub fn find<T: FromStr<Err: Display>>(name: &str) -> Result<Option<T>, InvalidEnv> {
    read(name, find_text(name), |text| text.parse().map_err(|error: T::Err| error.to_string()))
}

/// The variable as a duration, or else `default`.
pub fn duration(name: &str, default: Duration) -> Result<Duration, InvalidEnv> {
    Ok(find_duration(name)?.unwrap_or(default))
}

/// The variable as a duration such as `10s` or `1h30m`, if it is set.
pub fn find_duration(name: &str) -> Result<Option<Duration>, InvalidEnv> {
    read(name, find_text(name), |text| {
        parse_duration(text).ok_or_else(|| "a duration such as 500ms, 10s, 5m or 1h30m".to_owned())
    })
}

/// The variable as `true` or `false`, or else `default`.
pub fn boolean(name: &str, default: bool) -> Result<bool, InvalidEnv> {
    Ok(read(name, find_text(name), parse_boolean)?.unwrap_or(default))
}

fn parse_boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "t" | "true" | "yes" | "on" => Ok(true),
        "0" | "f" | "false" | "no" | "off" => Ok(false),
        _ => Err("true or false".to_owned()),
    }
}

fn read<T>(
    name: &str,
    value: Option<String>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, InvalidEnv> {
    let Some(value) = value else { return Ok(None) };
    match parse(value.trim()) {
        Ok(parsed) => Ok(Some(parsed)),
        Err(expected) => Err(InvalidEnv { name: name.to_owned(), value, expected }),
    }
}

/// A duration as numbers with units, `h`, `m`, `s`, `ms`, `us`, `ns`, largest first or not;
/// `0` needs no unit.
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_end);
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        total = total.checked_add(part)?;
        rest = next;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_in_the_usual_notation() {
        for (text, expected) in [
            ("10s", Some(10_000)),
            ("5m", Some(300_000)),
            ("1h30m", Some(5_400_000)),
            ("500ms", Some(500)),
            ("1.5s", Some(1_500)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("", None),
            ("10", None),
            ("s", None),
            ("-1s", None),
            ("1d", None),
            ("1..s", None),
            ("99999999999999999999h", None),
        ] {
            assert_eq!(parse_duration(text), expected.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn a_bad_value_says_which_and_what_instead() {
        let read = |value: &str| read("SOME_FLAG", Some(value.to_owned()), parse_boolean);
        assert_eq!(read("True"), Ok(Some(true)));
        assert_eq!(read(" off "), Ok(Some(false)));
        assert_eq!(
            read("maybe").unwrap_err().to_string(),
            "environment variable SOME_FLAG is \"maybe\"; expected true or false"
        );
    }

    #[test]
    fn an_absent_variable_is_its_default() {
        assert_eq!(parse("ADIT_TEST_NOT_SET", 7_u16), Ok(7));
        assert_eq!(duration("ADIT_TEST_NOT_SET", Duration::from_secs(1)), Ok(Duration::from_secs(1)));
        assert_eq!(boolean("ADIT_TEST_NOT_SET", true), Ok(true));
        assert_eq!(text("ADIT_TEST_NOT_SET", "x"), "x");
        // Set by cargo for every test, and no number.
        let error = parse::<u16>("CARGO_PKG_NAME", 1).unwrap_err();
        assert_eq!((error.name.as_str(), error.value.as_str()), ("CARGO_PKG_NAME", "mesh-runtime"));
    }
}
