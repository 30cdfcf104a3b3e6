//! Shares.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// So many of so many; in files, `1/3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio(pub u32, pub u32);

impl Serialize for Ratio {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let ratio = text.split_once('/').and_then(|(some, all)| Some(Ratio(some.parse().ok()?, all.parse().ok()?)));
        ratio
            .filter(|Ratio(some, all)| some <= all && *all > 0)
            .ok_or_else(|| de::Error::custom(format!("{text:?} is no share; examples: 1/3, 1/1")))
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0, self.1)
    }
}

impl Default for Ratio {
    fn default() -> Self {
        Ratio::NONE
    }
}

impl Ratio {
    /// None at all.
    pub const NONE: Ratio = Ratio(0, 1);
    /// All.
    pub const ALL: Ratio = Ratio(1, 1);

    /// Whether there are none.
    pub fn is_none(&self) -> bool {
        self.0 == 0
    }

    /// Whether these are all.
    pub fn is_all(self) -> bool {
        self.0 >= self.1
    }
}
