//! A kind as it is served in one group and version: what stands at its paths, and what its objects look like there.

use crate::api::kinds::{Also, Kind};
use crate::api::object::{Json, Object};
use serde_json::Value;
use std::sync::Arc;

/// A kind in one of the groups and versions in which it is served.
#[derive(Clone)]
pub struct Served {
    /// Which kind.
    pub kind: Kind,
    /// Which of its forms.
    pub form: Form,
}

/// How objects look at a place.
#[derive(Clone)]
pub enum Form {
    /// As they are kept.
    Kept,
    /// Under other names, or with other fields.
    Also(&'static Also),
    /// As they are kept, but for this version's name.
    Version(Arc<str>),
}

impl Served {
    /// The kind as it is kept.
    pub fn kept(kind: Kind) -> Self {
        Served { kind, form: Form::Kept }
    }

    /// The kind that every cluster serves here: `("", "v1", "pods")`.
    pub fn at(group: &str, version: &str, plural: &str) -> Option<Self> {
        let kind = Kind::served(group, version, plural)?;
        let also = kind.row().also.iter().find(|also| also.group == group && also.version == version);
        Some(Served { kind, form: also.map_or(Form::Kept, Form::Also) })
    }

    /// Its group here.
    pub fn group(&self) -> &'static str {
        match &self.form {
            Form::Also(also) => also.group,
            Form::Kept | Form::Version(_) => self.kind.row().group,
        }
    }

    /// Its version here.
    pub fn version(&self) -> &str {
        match &self.form {
            Form::Kept => self.kind.row().version,
            Form::Also(also) => also.version,
            Form::Version(version) => version,
        }
    }

    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        match self.group() {
            "" => self.version().into(),
            group => format!("{group}/{}", self.version()),
        }
    }

    /// The message of the schema that lists its fields; empty for custom kinds.
    pub fn message(&self) -> &'static str {
        match &self.form {
            Form::Also(also) => also.message,
            Form::Kept | Form::Version(_) => self.kind.row().message,
        }
    }

    /// An object that was written here, as it is kept.
    pub fn to_kept(&self, value: &mut Value) {
        if let Form::Also(also) = &self.form {
            (also.to_kept)(value);
        }
        if !matches!(self.form, Form::Kept)
            && let Some(said) = value.get_mut("apiVersion").filter(|said| said.as_str() == Some(&self.api_version()))
        {
            *said = self.kind.row().api_version().into();
        }
    }

    /// A kept object's JSON text here.
    pub fn json(&self, object: &Object) -> Json {
        if let Form::Kept = &self.form {
            return object.json();
        }
        let mut text = self.head().into_bytes();
        text.extend_from_slice(&self.json_as_item(object));
        Json::of(text)
    }

    /// How the JSON text of each of its objects begins here, which its items in a list leave out but for the brace.
    pub fn head(&self) -> String {
        format!(r#"{{"kind":"{}","apiVersion":"{}","#, self.kind.row().name, self.api_version())
    }

    /// A kept object's JSON text here without `kind` and `apiVersion`, but for the opening brace.
    pub fn json_as_item(&self, object: &Object) -> Json {
        let Form::Also(also) = &self.form else { return object.json_as_item() };
        let mut value = object.to_value();
        (also.from_kept)(&mut value);
        if let Value::Object(fields) = &mut value {
            fields.remove("kind");
            fields.remove("apiVersion");
        }
        let text = serde_json::to_vec(&value).expect("JSON values have string keys and finite numbers");
        Json::of(text).without(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_event_is_served_in_two_groups() {
        let core = br#"{"kind":"Event","apiVersion":"v1","metadata":{"name":"e"},"involvedObject":{"name":"a"},"message":"m"}"#;
        let object = Object::decode(Kind::Event, core).unwrap();
        let there = Served::at("events.k8s.io", "v1", "events").unwrap();
        let shown: Value = serde_json::from_slice(&there.json(&object)).unwrap();
        assert_eq!((&shown["apiVersion"], &shown["note"]), (&"events.k8s.io/v1".into(), &"m".into()));
        assert_eq!(shown["regarding"]["name"], "a");
        let mut back = shown;
        there.to_kept(&mut back);
        assert_eq!(Object::from_value(Kind::Event, back).unwrap(), object);
    }
}
