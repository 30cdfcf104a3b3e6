//! What objects look like in an answer: whole, as rows of a table, or their metadata alone.
//!
//! Source: Kubernetes API concepts, "Resource representations"; the first form in `Accept` that is served counts.

use crate::clock;
use miniku_core::api::object::{Json, Object};
use miniku_core::api::served::Served;
use miniku_core::api::status::{Reason, Status};
use miniku_core::api::tabular::Columns;
use miniku_core::apiserver::definitions::{Definition, Within};
use miniku_core::program::Revision;
use miniku_core::schema::{MessageId, Schema};
use miniku_core::time::{Instant, Now};
use std::borrow::Cow;
use std::sync::Arc;

/// How a client wants to be answered.
pub struct Shown {
    /// As what the objects are served.
    pub served: Served,
    /// What defines them, if they are of a custom kind.
    pub definition: Option<Arc<Definition>>,
    /// In which form.
    pub shape: Shape,
    /// How that is written.
    pub written: Written,
}

/// How a form is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// As JSON.
    Json,
    /// As YAML, which is made of the JSON.
    Yaml,
}

/// The form of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// As it is.
    Whole,
    /// A row of a table; with it goes this much of the object.
    Row(Include),
    /// Its metadata alone.
    Metadata,
}

/// How much of an object goes with its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Include {
    /// Nothing.
    None,
    /// Its metadata.
    Metadata,
    /// All of it.
    Object,
}

impl Shape {
    /// The first form that `accept` names and that is served as JSON: see [`form`].
    pub fn of(accept: &str, include: &str) -> Result<Shape, Status> {
        form(accept, include, &[Written::Json]).map(|(shape, _)| shape)
    }
}

/// The first form that `accept` names and that is served, written in one of these ways; whole and as JSON if it names none.
/// `include` is the parameter `includeObject`.
pub fn form(accept: &str, include: &str, ways: &[Written]) -> Result<(Shape, Written), Status> {
    if accept.trim().is_empty() {
        return Ok((Shape::Whole, Written::Json));
    }
    for element in accept.split(',') {
        let mut parts = element.split(';').map(str::trim);
        let (written, any) = match parts.next().unwrap_or("") {
            "application/json" => (Written::Json, false),
            "application/yaml" if ways.contains(&Written::Yaml) => (Written::Yaml, false),
            "application/*" | "*/*" => (Written::Json, true),
            _ => continue,
        };
        let mut form = "";
        let mut meta = true;
        for part in parts {
            match part.split_once('=') {
                Some(("as", value)) => form = value,
                Some(("g", group)) => meta &= group == "meta.k8s.io",
                Some(("v", version)) => meta &= matches!(version, "v1" | "v1beta1"),
                _ => {}
            }
        }
        let shape = match form {
            "" => Shape::Whole,
            "Table" if meta && !any => Shape::Row(match include {
                "None" => Include::None,
                "Object" => Include::Object,
                _ => Include::Metadata,
            }),
            "PartialObjectMetadata" | "PartialObjectMetadataList" if meta && !any => Shape::Metadata,
            _ => continue,
        };
        return Ok((shape, written));
    }
    let yaml = if ways.contains(&Written::Yaml) { "application/yaml, " } else { "" };
    let message = format!(
        "only the following media types are accepted: application/json, {yaml}application/json;as=Table;v=v1;g=meta.k8s.io"
    );
    Err(Status::failure(Reason::NotAcceptable, message))
}

impl Shown {
    /// The fields that objects have where they are served.
    pub fn schema(&self) -> Option<(&Schema, MessageId)> {
        match &self.definition {
            Some(definition) => definition.schema(self.served.version()),
            None => known(self.served.message()),
        }
    }

    /// The fields that objects have as they are kept.
    pub fn kept_schema(&self) -> Option<(&Schema, MessageId)> {
        match &self.definition {
            Some(_) => self.schema(),
            None => known(self.served.kind.row().message),
        }
    }

    /// A kept object with the fields of the version in which it is served.
    fn seen<'a>(&self, object: &'a Object) -> Cow<'a, Object> {
        match &self.definition {
            Some(definition) if definition.said().spec.versions.len() > 1 => {
                Cow::Owned(Within { definition, version: self.served.version() }.seen(object))
            }
            _ => Cow::Borrowed(object),
        }
    }

    fn columns(&self) -> Columns<'_> {
        let version = self.definition.as_ref().and_then(|definition| definition.version(self.served.version()));
        Columns::of(self.served.kind, version.map_or(&[], |version| &version.columns))
    }

    /// One object's JSON text.
    pub fn one(&self, object: &Object) -> Json {
        match self.shape {
            Shape::Whole => self.served.json(&self.seen(object)),
            Shape::Row(include) => {
                Json::of(self.table(object.revision(), &[], std::slice::from_ref(object), include, true))
            }
            Shape::Metadata => {
                let mut out = Vec::with_capacity(512);
                partial(&mut out, object);
                Json::of(out)
            }
        }
    }

    /// The JSON text of an object in a watch. The columns are named in its first event only.
    pub fn event(&self, object: &Object, first: bool) -> Json {
        match self.shape {
            Shape::Row(include) => {
                Json::of(self.table(object.revision(), &[], std::slice::from_ref(object), include, first))
            }
            Shape::Whole | Shape::Metadata => self.one(object),
        }
    }

    /// The JSON text of an object that says only how far a watch has come.
    pub fn bookmark(&self, revision: Revision, annotations: &str) -> Vec<u8> {
        let (kind, api_version) = match self.shape {
            Shape::Whole => (self.served.kind.row().name, self.served.api_version()),
            Shape::Metadata => ("PartialObjectMetadata", META_V1.into()),
            Shape::Row(_) => {
                let head = format!(
                    r#"{{"kind":"Table","apiVersion":"{META_V1}","metadata":{{"resourceVersion":"{revision}"}},"#
                );
                return format!("{head}\"columnDefinitions\":null,\"rows\":[]}}").into_bytes();
            }
        };
        format!(
            r#"{{"kind":"{kind}","apiVersion":"{api_version}","metadata":{{"resourceVersion":"{revision}","creationTimestamp":null{annotations}}}}}"#
        )
        .into_bytes()
    }

    /// A list's JSON text, made of its items' texts. `further` are fields of the list's metadata.
    pub fn list(&self, revision: Revision, further: &[(&str, String)], items: &[Object]) -> Vec<u8> {
        match self.shape {
            Shape::Row(include) => self.table(revision, further, items, include, true),
            Shape::Whole => {
                let kind = format!("{}List", self.served.kind.row().name);
                // They are of about one size, and a text that nobody keeps is made only once.
                let size = items.first().map_or(0, |item| self.served.json_as_item(&self.seen(item)).len() + 2);
                let mut out = Vec::with_capacity(size * items.len() + 256);
                list_head(&mut out, &kind, &self.served.api_version(), revision, further);
                out.extend_from_slice(b"\"items\":[");
                for (nth, item) in items.iter().enumerate() {
                    out.extend_from_slice(if nth == 0 { b"{" } else { b",{" });
                    out.extend_from_slice(&self.served.json_as_item(&self.seen(item)));
                }
                out.extend_from_slice(b"]}");
                out
            }
            Shape::Metadata => {
                let mut out = Vec::with_capacity(512 * (items.len() + 1));
                list_head(&mut out, "PartialObjectMetadataList", META_V1, revision, further);
                out.extend_from_slice(b"\"items\":[");
                for (nth, item) in items.iter().enumerate() {
                    if nth > 0 {
                        out.push(b',');
                    }
                    partial(&mut out, item);
                }
                out.extend_from_slice(b"]}");
                out
            }
        }
    }

    fn table(
        &self,
        revision: Revision,
        further: &[(&str, String)],
        items: &[Object],
        include: Include,
        columns_named: bool,
    ) -> Vec<u8> {
        let columns = self.columns();
        let now = Now { mono: Instant::default(), wall: clock::wall() };
        let mut out = Vec::with_capacity(640 * (items.len() + 2));
        list_head(&mut out, "Table", META_V1, revision, further);
        out.extend_from_slice(b"\"columnDefinitions\":");
        match columns_named {
            true => out.extend_from_slice(columns.definitions().to_string().as_bytes()),
            false => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"rows\":[");
        for (nth, item) in items.iter().enumerate() {
            out.extend_from_slice(if nth == 0 { b"{\"cells\":" } else { b",{\"cells\":" });
            write(&mut out, &columns.cells(item, now));
            match include {
                Include::None => {}
                Include::Metadata => {
                    out.extend_from_slice(b",\"object\":");
                    partial(&mut out, item);
                }
                Include::Object => {
                    out.extend_from_slice(b",\"object\":");
                    out.extend_from_slice(&self.served.json(&self.seen(item)));
                }
            }
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
        out
    }
}

fn known(message: &str) -> Option<(&'static Schema, MessageId)> {
    Schema::kubernetes().named(message).map(|message| (Schema::kubernetes(), message))
}

const META_V1: &str = "meta.k8s.io/v1";

fn list_head(out: &mut Vec<u8>, kind: &str, api_version: &str, revision: Revision, further: &[(&str, String)]) {
    let head = format!(r#"{{"kind":"{kind}","apiVersion":"{api_version}","metadata":{{"resourceVersion":"{revision}""#);
    out.extend_from_slice(head.as_bytes());
    for (name, value) in further {
        out.extend_from_slice(format!(",\"{name}\":{value}").as_bytes());
    }
    out.extend_from_slice(b"},");
}

fn partial(out: &mut Vec<u8>, object: &Object) {
    out.extend_from_slice(br#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":"#);
    write(out, object.meta());
    out.push(b'}');
}

fn write(out: &mut Vec<u8>, value: &impl serde::Serialize) {
    serde_json::to_writer(out, value).expect("API structs have string keys and finite numbers, and a Vec takes all");
}

#[cfg(test)]
mod tests {
    use super::*;
    use miniku_core::api::kinds::Kind;

    fn shown(shape: Shape) -> Shown {
        Shown { served: Served::kept(Kind::Pod), definition: None, shape, written: Written::Json }
    }

    fn pod(name: &str) -> Object {
        let json = format!(r#"{{"metadata":{{"name":"{name}"}},"spec":{{"containers":[]}},"status":{{}}}}"#);
        Object::decode(Kind::Pod, json.as_bytes()).unwrap()
    }

    #[test]
    fn the_first_form_that_is_served_counts() {
        let check = |accept: &str, want: Result<Shape, u16>| {
            assert_eq!(Shape::of(accept, "").map_err(|status| status.http_code()), want, "{accept}");
        };
        check("", Ok(Shape::Whole));
        check("application/json, */*", Ok(Shape::Whole));
        check("application/vnd.kubernetes.protobuf,application/json", Ok(Shape::Whole));
        check("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", Ok(Shape::Row(Include::Metadata)));
        check("application/json,application/json;as=Table;v=v1;g=meta.k8s.io", Ok(Shape::Whole));
        check("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", Ok(Shape::Metadata));
        check("application/json;as=Table;v=v7;g=meta.k8s.io,application/json", Ok(Shape::Whole));
        check("application/xml", Err(406));
    }

    #[test]
    fn a_form_may_be_written_as_yaml() {
        let check = |accept: &str, ways: &[Written], want: Option<(Shape, Written)>| {
            assert_eq!(form(accept, "", ways).ok(), want, "{accept}");
        };
        let (json, both) = (&[Written::Json], &[Written::Json, Written::Yaml]);
        check("application/yaml", both, Some((Shape::Whole, Written::Yaml)));
        check("application/yaml, application/json", both, Some((Shape::Whole, Written::Yaml)));
        check(
            "application/yaml;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
            both,
            Some((Shape::Metadata, Written::Yaml)),
        );
        check("*/*", both, Some((Shape::Whole, Written::Json)));
        check("application/yaml", json, None);
        check("application/yaml, */*", json, Some((Shape::Whole, Written::Json)));
    }

    #[test]
    fn lists_are_json_in_every_form() {
        for shape in [Shape::Whole, Shape::Metadata, Shape::Row(Include::Object)] {
            let further = [("continue", "\"x\"".to_owned())];
            let text = shown(shape).list(Revision(7), &further, &[pod("a"), pod("b")]);
            let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(
                (&value["metadata"]["resourceVersion"], &value["metadata"]["continue"]),
                (&"7".into(), &"x".into())
            );
            let items = value.get("items").or_else(|| value.get("rows")).unwrap();
            assert_eq!(items.as_array().unwrap().len(), 2);
            assert_eq!(items[1].get("object").unwrap_or(&items[1])["metadata"]["name"], "b");
        }
        let empty = shown(Shape::Whole).list(Revision(1), &[], &[]);
        assert_eq!(empty, br#"{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[]}"#);
    }
}
