//! Entries as files have them.

use super::ask::{Ask, Delete, Evict, Patch, Relabel, Scale};
use super::manifest::try_object;
use super::{Act, Entry, Fault, When};
use crate::units;
use miniku_core::time::Duration;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

/// An entry as a file has it: a time, and one of these.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Line {
    #[serde(with = "units::duration", default)]
    at: Duration,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    when: Option<When>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    create: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scale: Option<Scale>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    patch: Option<Patch>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replace: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    relabel: Option<Relabel>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    evict: Option<Evict>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delete: Option<Delete>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cordon: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uncordon: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    drain: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vacate: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fault: Option<Fault>,
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut line = Line { at: self.at, when: self.when.clone(), ..Line::default() };
        match self.act.clone() {
            Act::Ask(Ask::Create(object)) => line.create = Some(object.to_value()),
            Act::Ask(Ask::Scale(scale)) => line.scale = Some(scale),
            Act::Ask(Ask::Patch(patch)) => line.patch = Some(patch),
            Act::Ask(Ask::Replace(object)) => line.replace = Some(object.to_value()),
            Act::Ask(Ask::Relabel(relabel)) => line.relabel = Some(relabel),
            Act::Ask(Ask::Evict(evict)) => line.evict = Some(evict),
            Act::Ask(Ask::Delete(delete)) => line.delete = Some(delete),
            Act::Ask(Ask::Cordon(node)) => line.cordon = Some(node),
            Act::Ask(Ask::Uncordon(node)) => line.uncordon = Some(node),
            Act::Ask(Ask::Drain(node)) => line.drain = Some(node),
            Act::Ask(Ask::Vacate(node)) => line.vacate = Some(node),
            Act::Strike(fault) => line.fault = Some(fault),
        }
        line.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Line {
            at,
            when,
            create,
            scale,
            patch,
            replace,
            relabel,
            evict,
            delete,
            cordon,
            uncordon,
            drain,
            vacate,
            fault,
        } = Line::deserialize(from)?;
        let object = |manifest: Option<Value>| {
            manifest.map(|manifest| try_object(manifest).map_err(de::Error::custom)).transpose()
        };
        let (create, replace) = (object(create)?, object(replace)?);
        let acts = [
            create.map(|object| Act::Ask(Ask::Create(object))),
            scale.map(|scale| Act::Ask(Ask::Scale(scale))),
            patch.map(|patch| Act::Ask(Ask::Patch(patch))),
            replace.map(|object| Act::Ask(Ask::Replace(object))),
            relabel.map(|relabel| Act::Ask(Ask::Relabel(relabel))),
            evict.map(|evict| Act::Ask(Ask::Evict(evict))),
            delete.map(|delete| Act::Ask(Ask::Delete(delete))),
            cordon.map(|node| Act::Ask(Ask::Cordon(node))),
            uncordon.map(|node| Act::Ask(Ask::Uncordon(node))),
            drain.map(|node| Act::Ask(Ask::Drain(node))),
            vacate.map(|node| Act::Ask(Ask::Vacate(node))),
            fault.map(Act::Strike),
        ];
        let mut acts = acts.into_iter().flatten();
        match (acts.next(), acts.next()) {
            (Some(act), None) => Ok(Entry { at, when, act }),
            (None, _) => Err(de::Error::custom(
                "an entry needs one of create, scale, patch, replace, relabel, evict, delete, cordon, uncordon, drain, vacate, \
                 fault",
            )),
            (Some(_), Some(_)) => Err(de::Error::custom("an entry does one thing; write two entries for two")),
        }
    }
}
