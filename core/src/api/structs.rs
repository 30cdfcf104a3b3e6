//! How API types are declared: [`api_struct!`] makes a struct, its JSON form and the walk over its fields from one list.
//!
//! [`api_struct!`]: crate::api_struct
//!
//! Every such struct keeps the fields it does not name in [`Rest`], where they stood, so that nothing a
//! user wrote is lost on the way through, not even inside a list or a pod template.

use crate::api::by_name::ByName;
use crate::api::text::Text;
use crate::schema::{MessageId, Schema, Type};
use serde::de::{Deserialize, Deserializer, Visitor};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// Fields that miniku does not act on, by JSON name, as they came. Every struct has one, and nearly all are empty;
/// the versions of an object share it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rest(Option<Arc<ByName<Value>>>);

impl Rest {
    /// Keeps a field. `null` means absent and is not kept.
    pub fn insert(&mut self, name: &str, value: Value) {
        if !value.is_null() {
            Arc::make_mut(self.0.get_or_insert_default()).insert(name, value);
        }
    }

    /// Takes a field out.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        self.get(name)?;
        let value = Arc::make_mut(self.0.as_mut()?).remove(name);
        self.forget_if_empty();
        value
    }

    /// A field.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.as_ref()?.get(name)
    }

    /// A field, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.get(name)?;
        Arc::make_mut(self.0.as_mut()?).get_mut(name)
    }

    /// Keeps those fields of which this is true, which may change them.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &mut Value) -> bool) {
        if let Some(fields) = &mut self.0 {
            Arc::make_mut(fields).retain(|name, value| keep(name, value));
        }
        self.forget_if_empty();
    }

    /// The fields, to be changed as a JSON object.
    pub fn edit(&mut self, change: impl FnOnce(&mut Map<String, Value>)) {
        let fields = self.0.take().into_iter().flat_map(Arc::unwrap_or_clone);
        let mut map: Map<String, Value> = fields.map(|(name, value)| (name.into(), value)).collect();
        change(&mut map);
        *self = map.into_iter().map(|(name, value)| (name.into(), value)).collect();
    }

    /// The fields, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Text, &Value)> {
        self.0.iter().flat_map(|fields| fields.iter())
    }

    fn forget_if_empty(&mut self) {
        if self.0.as_ref().is_some_and(|fields| fields.is_empty()) {
            self.0 = None;
        }
    }
}

impl FromIterator<(Text, Value)> for Rest {
    fn from_iter<I: IntoIterator<Item = (Text, Value)>>(fields: I) -> Self {
        let fields: ByName<Value> = fields.into_iter().filter(|(_, value)| !value.is_null()).collect();
        Rest((!fields.is_empty()).then(|| Arc::new(fields)))
    }
}

/// What a field of an API struct can do beside serde.
pub trait Field {
    /// Whether the field is left out of the JSON form, as Go's `omitempty` does.
    fn is_absent(&self) -> bool;

    /// Calls `visit` with the path of every field kept in a [`Rest`] at or below this one.
    fn visit_rest(&self, _path: &mut String, _visit: &mut dyn FnMut(&str)) {}

    /// Calls `visit` with every [`Rest`] at or below this value, which is of type `kind` in the schema.
    fn each_rest(&mut self, _schema: &Schema, _kind: &Type, _path: &mut String, _visit: &mut VisitRest) {}
}

/// What is called with the fields without effect of a struct: see [`Field::each_rest`].
pub type VisitRest<'a> = dyn FnMut(RestOf) + 'a;

/// The fields of a struct on which nothing acts by name.
pub struct RestOf<'a> {
    /// What the schema is that knows them.
    pub schema: &'a Schema,
    /// The struct's message.
    pub message: MessageId,
    /// The fields on which something acts.
    pub acted_on: &'static [&'static str],
    /// Where the struct stands; empty for the object itself.
    pub path: &'a mut String,
    /// The others.
    pub rest: &'a mut Rest,
}

macro_rules! plain_field {
    ($($kind:ty: |$value:ident| $absent:expr;)+) => {
        $(impl Field for $kind {
            fn is_absent(&self) -> bool {
                let $value = self;
                $absent
            }
        })+
    };
}

plain_field! {
    Text: |text| text.is_empty();
    bool: |set| !set;
    i32: |_n| false;
    i64: |_n| false;
    u64: |_n| false;
    Value: |value| value.is_null();
}

impl<T: Field> Field for Option<T> {
    fn is_absent(&self) -> bool {
        self.is_none()
    }
    fn visit_rest(&self, path: &mut String, visit: &mut dyn FnMut(&str)) {
        if let Some(inner) = self {
            inner.visit_rest(path, visit);
        }
    }
    fn each_rest(&mut self, schema: &Schema, kind: &Type, path: &mut String, visit: &mut VisitRest) {
        if let Some(inner) = self {
            inner.each_rest(schema, kind, path, visit);
        }
    }
}

impl<T: Field + Clone + PartialEq> Field for Arc<T> {
    fn is_absent(&self) -> bool {
        (**self).is_absent()
    }
    fn visit_rest(&self, path: &mut String, visit: &mut dyn FnMut(&str)) {
        (**self).visit_rest(path, visit);
    }
    fn each_rest(&mut self, schema: &Schema, kind: &Type, path: &mut String, visit: &mut VisitRest) {
        if let Some(inner) = Arc::get_mut(self) {
            return inner.each_rest(schema, kind, path, visit);
        }
        // What is shared stays shared if nothing about it changes.
        let mut own = (**self).clone();
        own.each_rest(schema, kind, path, visit);
        if own != **self {
            *self = Arc::new(own);
        }
    }
}

impl<T: Field> Field for Vec<T> {
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
    fn visit_rest(&self, path: &mut String, visit: &mut dyn FnMut(&str)) {
        for (at, item) in self.iter().enumerate() {
            let end = path.len();
            path.push_str(&format!("[{at}]"));
            item.visit_rest(path, visit);
            path.truncate(end);
        }
    }
    fn each_rest(&mut self, schema: &Schema, kind: &Type, path: &mut String, visit: &mut VisitRest) {
        let Type::List(list) = kind else { return };
        for (at, item) in self.iter_mut().enumerate() {
            let end = path.len();
            path.push_str(&format!("[{at}]"));
            item.each_rest(schema, &list.items, path, visit);
            path.truncate(end);
        }
    }
}

/// Calls `walk` with `path` extended by `.name`.
pub fn below(path: &mut String, name: &str, walk: impl FnOnce(&mut String)) {
    let end = path.len();
    if end > 0 {
        path.push('.');
    }
    path.push_str(name);
    walk(path);
    path.truncate(end);
}

/// A JSON key, borrowed from the input where it holds no escapes.
pub struct Key<'de>(pub Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field name")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
            fn visit_string<E>(self, text: String) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text)))
            }
        }
        from.deserialize_str(Text)
    }
}

/// Declares an API struct: `field "jsonName": Type,` a line, each with its docstring.
///
/// Absent and `null` both give the type's default. A field marked `always` is written even when empty, as Go
/// writes those without `omitempty`.
#[macro_export]
macro_rules! api_struct {
    ($(#[$doc:meta])* pub struct $name:ident {
        $($(#[$field_doc:meta])* $field:ident $json:literal $($always:ident)?: $kind:ty,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $kind,)*
            /// Fields without effect here, kept as they came.
            pub rest: $crate::api::structs::Rest,
        }

        impl $name {
            /// The JSON names of the fields miniku acts on.
            pub const FIELDS: &'static [&'static str] = &[$($json),*];

            /// Writes the fields of these names into a JSON object that has been begun.
            pub fn serialize_fields<M: serde::ser::SerializeMap>(
                &self,
                map: &mut M,
                wanted: impl Fn(&str) -> bool,
            ) -> Result<(), M::Error> {
                $(if wanted($json)
                    && ($crate::api_struct!(@always $($always)?)
                        || !$crate::api::structs::Field::is_absent(&self.$field))
                {
                    map.serialize_entry($json, &self.$field)?;
                })*
                for (name, value) in self.rest.iter().filter(|(name, _)| wanted(name.as_str())) {
                    map.serialize_entry(name, value)?;
                }
                Ok(())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                let mut map = to.serialize_map(None)?;
                self.serialize_fields(&mut map, |_| true)?;
                serde::ser::SerializeMap::end(map)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Object;
                impl<'de> serde::de::Visitor<'de> for Object {
                    type Value = $name;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(concat!("an object (", stringify!($name), ")"))
                    }
                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        let (mut object, mut rest) = ($name::default(), Vec::new());
                        while let Some($crate::api::structs::Key(key)) = map.next_key()? {
                            match &*key {
                                $($json => object.$field = map.next_value::<Option<$kind>>()?.unwrap_or_default(),)*
                                _ => rest.push((key.as_ref().into(), map.next_value()?)),
                            }
                        }
                        object.rest = rest.into_iter().collect();
                        Ok(object)
                    }
                }
                from.deserialize_map(Object)
            }
        }

        impl $crate::api::structs::Field for $name {
            fn is_absent(&self) -> bool {
                $($crate::api::structs::Field::is_absent(&self.$field) &&)* self.rest == Default::default()
            }
            fn visit_rest(&self, path: &mut String, visit: &mut dyn FnMut(&str)) {
                $($crate::api::structs::below(path, $json, |path| {
                    $crate::api::structs::Field::visit_rest(&self.$field, path, visit);
                });)*
                for (name, _) in self.rest.iter() {
                    $crate::api::structs::below(path, name, |path| visit(path));
                }
            }
            fn each_rest(
                &mut self,
                schema: &$crate::schema::Schema,
                kind: &$crate::schema::Type,
                path: &mut String,
                visit: &mut $crate::api::structs::VisitRest,
            ) {
                let $crate::schema::Type::Message(message) = kind else { return };
                $(if let Some(field) = schema.message(*message).field($json) {
                    $crate::api::structs::below(path, $json, |path| {
                        $crate::api::structs::Field::each_rest(&mut self.$field, schema, &field.kind, path, visit);
                    });
                })*
                let (message, acted_on, rest) = (*message, Self::FIELDS, &mut self.rest);
                visit($crate::api::structs::RestOf { schema, message, acted_on, path, rest });
            }
        }
    };
    (@always) => { false };
    (@always always) => { true };
}

/// Declares an API string type with a closed set of values, and what they mean.
#[macro_export]
macro_rules! api_enum {
    ($(#[doc = $about:literal])+ pub enum $name:ident {
        $($(#[doc = $meaning:literal])+ $(#[$default:ident])? $value:ident $text:literal,)+
    }) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[doc = $meaning])+ $(#[$default])? #[serde(rename = $text)] $value,)+ }

        impl $name {
            /// All values, in the order of their declaration.
            pub const ALL: &'static [$name] = &[$($name::$value),+];

            /// The value's JSON text.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$value => $text,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl $crate::api::structs::Field for $name {
            fn is_absent(&self) -> bool {
                false
            }
        }

        impl $crate::table::Words for $name {
            const WORDS: $crate::table::Vocabulary = $crate::table::Vocabulary {
                about: concat!($($about, "\n"),+),
                words: &[$((stringify!($value), concat!($($meaning, "\n"),+))),+],
            };
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_null_is_no_field() {
        let fields = [("b", 1.into()), ("a", Value::Null)].map(|(name, value)| (Text::from(name), value));
        let mut rest: Rest = fields.into_iter().collect();
        rest.insert("c", Value::Null);
        assert!(rest.iter().eq([(&Text::from("b"), &Value::from(1))]));
        rest.remove("b");
        assert_eq!(rest, Rest::default());
    }
}
