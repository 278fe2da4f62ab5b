//! Small values that several kinds share, checked where they are read so that errors name the line.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Which workloads an object is about; every label has to be there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelSelector {
    /// The labels; none selects everything.
    #[serde(default)]
    pub match_labels: BTreeMap<String, String>,
}

/// A port number, 1–65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Port(pub u16);

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(deserializer)?;
        match u16::try_from(number) {
            Ok(port) if port > 0 => Ok(Port(port)),
            _ => Err(de::Error::custom(format_args!("{number} is not a port; ports are 1 to 65535"))),
        }
    }
}

/// A port number written as text, as policies do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortText(pub u16);

impl<'de> Deserialize<'de> for PortText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.parse() {
            Ok(port) if port > 0 => Ok(PortText(port)),
            _ => Err(de::Error::custom(format_args!("{text:?} is not a port; ports are \"1\" to \"65535\""))),
        }
    }
}

impl Serialize for PortText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// An address or a block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpBlock(pub IpNet);

impl IpBlock {
    /// `10.0.0.0/8`, or an address for itself.
    pub fn parse(text: &str) -> Option<Self> {
        match text.parse::<IpAddr>() {
            Ok(address) => Some(IpBlock(address.into())),
            Err(_) => text.parse().ok().map(|block: IpNet| IpBlock(block.trunc())),
        }
    }
}

impl<'de> Deserialize<'de> for IpBlock {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        IpBlock::parse(&text).ok_or_else(|| {
            de::Error::custom(format_args!(
                "{text:?} is not an address or a block of addresses, such as 10.0.0.1 or 10.0.0.0/8"
            ))
        })
    }
}

impl Serialize for IpBlock {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A share in per cent, 0–100, fractions allowed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Percent {
    /// The share.
    pub value: f64,
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            #[serde(default)]
            value: f64,
        }
        let value = Written::deserialize(deserializer)?.value;
        match (0.0..=100.0).contains(&value) {
            true => Ok(Percent { value }),
            false => Err(de::Error::custom(format_args!("{value} is not a percentage; use 0 to 100"))),
        }
    }
}

/// Any JSON object: what is inside is for someone else to understand.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FreeForm(pub serde_json::Map<String, serde_json::Value>);

/// The schemas of values that are checked by hand.
macro_rules! schema {
    ($type:ty, $name:literal, $schema:tt) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

schema!(Port, "Port", { "type": "integer", "minimum": 1, "maximum": 65535 });
schema!(PortText, "PortText", { "type": "string", "description": "A port, as text." });
schema!(IpBlock, "IpBlock", { "type": "string", "description": "An address or a block of addresses." });
schema!(Percent, "Percent", {
    "type": "object",
    "properties": { "value": { "type": "number", "format": "double", "minimum": 0, "maximum": 100 } }
});
schema!(FreeForm, "FreeForm", { "type": "object", "x-kubernetes-preserve-unknown-fields": true });
