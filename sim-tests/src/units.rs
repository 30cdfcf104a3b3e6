//! How files write amounts: `90s`, `1500ms`, `1/3`.

/// For `#[serde(with = "units::duration")]`.
pub mod duration {
    use miniku_core::durations;
    use miniku_core::time::Duration;
    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Writes `90s`.
    pub fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&durations::text(*duration))
    }

    /// Reads `90s`.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        durations::parse(&text).map_err(de::Error::custom)
    }
}

/// For `#[serde(with = "units::spelled")]`: what is written and read as a word.
pub mod spelled {
    use serde::{Deserialize, Deserializer, Serializer, de};
    use std::fmt::Display;
    use std::str::FromStr;

    /// Writes the word.
    pub fn serialize<T: Display, S: Serializer>(one: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(one)
    }

    /// Reads the word.
    pub fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

/// For `#[serde(with = "units::spelled_each")]`: words by their names.
pub mod spelled_each {
    use miniku_core::api::text::Text;
    use serde::{Deserialize, Deserializer, Serializer, de};
    use std::collections::BTreeMap;
    use std::fmt::Display;
    use std::str::FromStr;

    /// Writes the words.
    pub fn serialize<T: Display, S: Serializer>(all: &BTreeMap<Text, T>, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(all.iter().map(|(name, one)| (name, one.to_string())))
    }

    /// Reads the words.
    pub fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<Text, T>, D::Error> {
        let all = BTreeMap::<Text, String>::deserialize(from)?;
        all.into_iter().map(|(name, text)| text.parse().map(|one| (name, one)).map_err(de::Error::custom)).collect()
    }
}

/// For `#[serde(with = "units::maybe_duration")]`: nothing is never.
pub mod maybe_duration {
    use miniku_core::durations;
    use miniku_core::time::Duration;
    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Writes `90s`, or null.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => to.serialize_str(&durations::text(*duration)),
            None => to.serialize_none(),
        }
    }

    /// Reads `90s`, or null.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| durations::parse(&text).map_err(de::Error::custom)).transpose()
    }
}
