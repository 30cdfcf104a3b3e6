//! What every object has: names, identity, versions, ownership.
//!
//! Source: Kubernetes API conventions, "Metadata"; `meta/v1.ObjectMeta`.

use crate::api::by_name::ByName;
use crate::api::structs::{Field, Key};
use crate::api::text::Text;
use crate::api_struct;
use crate::time::Wall;
use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;
use std::fmt;
use std::num::NonZeroI64;
use std::sync::Arc;

/// Labels or annotations.
pub type Labels = ByName<Text>;

api_struct! {
    /// Identity and bookkeeping of an object.
    pub struct ObjectMeta {
        /// Unique among the objects of its kind and namespace.
        name "name": Text,
        /// On create, a prefix the server completes to a free name.
        generate_name "generateName": Text,
        /// Empty for kinds without namespaces.
        namespace "namespace": Text,
        /// Given by the server at creation; never used twice.
        uid "uid": Text,
        /// The store's revision of the last write, as decimal digits; opaque to clients.
        resource_version "resourceVersion": Text,
        /// Counts changes of the wish (`spec`), from 1. Kinds without a spec have none.
        generation "generation": Option<i64>,
        /// When the server stored it first.
        creation_timestamp "creationTimestamp": Option<Time>,
        /// Set when its deletion was asked for: the time by which it should be gone.
        deletion_timestamp "deletionTimestamp": Option<Time>,
        /// The grace period that `deletionTimestamp` was computed with, in seconds.
        deletion_grace_period_seconds "deletionGracePeriodSeconds": Option<i64>,
        /// What it can be selected by.
        labels "labels": Labels,
        /// Notes of clients; never selected by.
        annotations "annotations": Labels,
        /// Objects it depends on; with all of them gone it is collected.
        owner_references "ownerReferences": Vec<OwnerReference>,
        /// Who must act before it may vanish; it stays while one is left.
        finalizers "finalizers": Vec<Text>,
        /// Who wants which of its fields: see [`crate::patch::managed`].
        managed_fields "managedFields": Option<Arc<Value>>,
    }
}

impl ObjectMeta {
    /// `namespace/name`, or the name alone where there is no namespace.
    pub fn full_name(&self) -> String {
        match self.namespace.as_str() {
            "" => self.name.to_string(),
            namespace => format!("{namespace}/{}", self.name),
        }
    }

    /// Whether its deletion has been asked for.
    pub fn is_deleting(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    /// The owner that manages it, if any: the reference with `controller: true`.
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.owner_references.iter().find(|owner| owner.controller == Some(true))
    }
}

api_struct! {
    /// A reference from an object to one it depends on, in its own namespace or without one.
    pub struct OwnerReference {
        /// Group and version of the owner's kind.
        api_version "apiVersion" always: Text,
        /// The owner's kind.
        kind "kind" always: Text,
        /// The owner's name.
        name "name" always: Text,
        /// The owner's uid: an owner of the same name and another uid is another owner.
        uid "uid" always: Text,
        /// Whether this owner manages the object; true for at most one.
        controller "controller": Option<bool>,
        /// Whether a foreground deletion of the owner waits for this object.
        block_owner_deletion "blockOwnerDeletion": Option<bool>,
    }
}

/// A time in an object, of one second's resolution, as RFC 3339 in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(Dense);

/// A time in an object, of one microsecond's resolution, as RFC 3339 in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct MicroTime(Dense);

/// A number that leaves room for absence: an object has a dozen times, and most are absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Dense(NonZeroI64);

impl Dense {
    /// The greatest of all is as the one before it.
    fn of(number: i64) -> Self {
        let above = if number < 0 { number } else { number.saturating_add(1) };
        Dense(NonZeroI64::new(above).expect("what is not below zero was raised by one"))
    }

    fn number(self) -> i64 {
        let above = self.0.get();
        if above < 0 { above } else { above - 1 }
    }
}

impl Default for Dense {
    fn default() -> Self {
        Dense::of(0)
    }
}

impl Time {
    /// The second that `wall` falls into.
    pub fn of(wall: Wall) -> Self {
        Time(Dense::of(wall.secs()))
    }

    /// As wall-clock time.
    pub fn wall(self) -> Wall {
        Wall::from_secs(self.0.number())
    }
}

impl MicroTime {
    /// The microsecond that `wall` falls into.
    pub fn of(wall: Wall) -> Self {
        MicroTime(Dense::of(wall.nanos().div_euclid(1_000)))
    }

    /// As wall-clock time.
    pub fn wall(self) -> Wall {
        Wall::from_nanos(self.0.number().saturating_mul(1_000))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_rfc3339(f, self.0.number(), 0, None)
    }
}

impl fmt::Display for MicroTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (secs, micros) = (self.0.number().div_euclid(1_000_000), self.0.number().rem_euclid(1_000_000));
        write_rfc3339(f, secs, i32::try_from(micros * 1_000).expect("less than a second"), Some(6))
    }
}

fn write_rfc3339(f: &mut fmt::Formatter<'_>, secs: i64, nanos: i32, digits: Option<u8>) -> fmt::Result {
    let time = Timestamp::new(secs, nanos).unwrap_or(Timestamp::UNIX_EPOCH);
    let printer = DateTimePrinter::new().precision(Some(digits.unwrap_or(0)));
    f.write_str(&printer.timestamp_to_string(&time))
}

/// Wall-clock time as RFC 3339 with nanoseconds, as container logs carry it.
pub fn rfc3339_nanos(wall: Wall) -> String {
    let time = Timestamp::from_nanosecond(i128::from(wall.nanos())).unwrap_or(Timestamp::UNIX_EPOCH);
    DateTimePrinter::new().precision(Some(9)).timestamp_to_string(&time)
}

/// Reads RFC 3339, with any offset and any fraction.
pub fn parse_rfc3339(text: &str) -> Result<Wall, String> {
    let time: Timestamp = text.parse().map_err(|_| format!("{text:?} is no RFC 3339 time"))?;
    i64::try_from(time.as_nanosecond()).map(Wall::from_nanos).map_err(|_| format!("{text:?} is out of range"))
}

macro_rules! time_serde {
    ($($time:ident),+) => {$(
        impl Serialize for $time {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $time {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let Key(text) = Key::deserialize(from)?;
                parse_rfc3339(&text).map($time::of).map_err(de::Error::custom)
            }
        }
        impl Field for $time {
            fn is_absent(&self) -> bool {
                false
            }
        }
    )+};
}
time_serde!(Time, MicroTime);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_and_write_as_kubernetes_does() {
        let time: Time = serde_json::from_str("\"2026-02-04T15:27:54+02:00\"").unwrap();
        assert_eq!(serde_json::to_string(&time).unwrap(), "\"2026-02-04T13:27:54Z\"");
        let micro: MicroTime = serde_json::from_str("\"2026-02-04T15:27:54.25Z\"").unwrap();
        assert_eq!(micro.to_string(), "2026-02-04T15:27:54.250000Z");
        assert!(serde_json::from_str::<Time>("\"yesterday\"").is_err());
    }

    #[test]
    fn every_time_is_kept_in_its_order_beside_absence() {
        let numbers = [i64::MIN, -2, -1, 0, 1, 2, i64::MAX - 1];
        assert_eq!(numbers.map(|number| Dense::of(number).number()), numbers);
        assert!(numbers.map(Dense::of).is_sorted());
        assert_eq!(size_of::<Option<Time>>(), size_of::<Time>());
    }

    #[test]
    fn times_are_written_and_read_back() {
        let check = |nanos, want: &str| {
            assert_eq!(rfc3339_nanos(Wall::from_nanos(nanos)), want);
            assert_eq!(parse_rfc3339(want), Ok(Wall::from_nanos(nanos)));
        };
        check(0, "1970-01-01T00:00:00.000000000Z");
        check(951_782_400_000_000_001, "2000-02-29T00:00:00.000000001Z");
        check(1_735_689_599_999_999_999, "2024-12-31T23:59:59.999999999Z");
        assert!(parse_rfc3339("nonsense").is_err());
    }

    #[test]
    fn fields_without_effect_stay_where_they_were() {
        let text = r#"{"name":"a","labels":{"app":"x"},"selfLink":"/a"}"#;
        let meta: ObjectMeta = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&meta).unwrap(), text);
        let mut seen = Vec::new();
        meta.visit_rest(&mut "metadata".into(), &mut |path| seen.push(path.to_owned()));
        assert_eq!(seen, ["metadata.selfLink"]);
    }
}
