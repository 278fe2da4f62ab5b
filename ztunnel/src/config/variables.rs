//! Environment variables as a value, so that a configuration can be read from
//! something else than this process; a fallback stands behind them.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use mesh_runtime::env::{InvalidEnv, parse_duration};

/// Names and values. An empty value is an absent one.
#[derive(Clone, Debug, Default)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    /// Those of this process.
    pub fn of_this_process() -> Self {
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
    }

    /// Takes from `fallback` what is not set here.
    pub(crate) fn fill_from(&mut self, fallback: &BTreeMap<String, String>) {
        for (name, value) in fallback {
            if self.find(name).is_none() {
                self.0.insert(name.clone(), value.clone());
            }
        }
    }

    pub(crate) fn find(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    pub(crate) fn text(&self, name: &str, default: &str) -> String {
        self.find(name).unwrap_or(default).to_owned()
    }

    /// Name (without the prefix) and value of those that begin with `prefix`.
    pub(crate) fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value.as_str())))
    }

    pub(crate) fn parse<T: FromStr<Err: Display>>(&self, name: &str, default: T) -> Result<T, InvalidEnv> {
        Ok(self.find_parsed(name)?.unwrap_or(default))
    }

    pub(crate) fn find_parsed<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, InvalidEnv> {
        self.read(name, |text| text.parse().map_err(|error: T::Err| error.to_string()))
    }

    pub(crate) fn duration(&self, name: &str, default: Duration) -> Result<Duration, InvalidEnv> {
        Ok(self.find_duration(name)?.unwrap_or(default))
    }

    pub(crate) fn find_duration(&self, name: &str) -> Result<Option<Duration>, InvalidEnv> {
        self.read(name, |text| parse_duration(text).ok_or("a duration such as 500ms, 10s or 5m".to_owned()))
    }

    pub(crate) fn boolean(&self, name: &str, default: bool) -> Result<bool, InvalidEnv> {
        Ok(self.find_boolean(name)?.unwrap_or(default))
    }

    pub(crate) fn find_boolean(&self, name: &str) -> Result<Option<bool>, InvalidEnv> {
        self.read(name, |text| match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "t" => Ok(true),
            "false" | "0" | "f" => Ok(false),
            _ => Err("true or false".to_owned()),
        })
    }

    fn read<T>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, InvalidEnv> {
        let Some(value) = self.find(name) else { return Ok(None) };
        parse(value).map(Some).map_err(|expected| invalid(name, value, expected))
    }
}

impl FromIterator<(String, String)> for Variables {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(variables: T) -> Self {
        Variables(variables.into_iter().collect())
    }
}

pub(super) fn invalid(name: &str, value: &str, expected: impl Display) -> InvalidEnv {
    InvalidEnv { name: name.to_owned(), value: value.to_owned(), expected: expected.to_string() }
}
