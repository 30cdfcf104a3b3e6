//! `explain`: the fields of a kind, as the server describes them.
//!
//! Source: kubectl, `pkg/explain/v2/templates/plaintext.tmpl`, for the layout.

use crate::cli::Session;
use crate::cli::cluster::text;
use crate::cli::error::CliError;
use crate::cli::similar;
use crate::client::wire::HttpRequest;
use clap::Args;
use serde_json::Value;
use std::fmt::Write as _;
use std::io::Write;

/// The end of `--help`.
pub const EXAMPLE: &str = "Examples:\n  miniku explain pod\n  miniku explain pod.spec.containers\n  \
    miniku explain replicasets --recursive";

/// Of what.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// TYPE, or TYPE.FIELD.FIELD
    #[arg(value_name = "TYPE[.FIELD]")]
    pub what: String,
    /// Fields of fields, too, without what they mean
    #[arg(long)]
    pub recursive: bool,
    /// In this version of the API: apps/v1
    #[arg(long, value_name = "VERSION")]
    pub api_version: Option<String>,
}

/// Lines are broken so that they are no longer. Source: kubectl.
const WIDTH: usize = 80;
/// Schemas may refer to themselves, as those of schemas do.
const DEPTH_MAX: usize = 20;

/// Explains a kind or a field.
pub fn run(args: &ExplainArgs, session: &mut Session) -> Result<(), CliError> {
    let (word, mut path) = (args.what.split('.').next().unwrap_or(""), args.what.split('.').skip(1).peekable());
    // The whole word may be a kind with its group; a first part without one is a kind, too.
    let whole = miniku_core::api::kinds::Kind::meant(&args.what).is_none() && args.what.contains('.');
    let kind =
        match whole.then(|| session.cluster.catalog().ok().and_then(|catalog| catalog.meant(&args.what))).flatten() {
            Some(kind) => {
                path.by_ref().for_each(drop);
                kind
            }
            None => session.cluster.kind(word)?,
        };
    let row = kind.row();
    let api_version = args.api_version.clone().unwrap_or_else(|| row.api_version());
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let page = if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
    let schemas = session.cluster.ask(&HttpRequest::get(format!("/openapi/v3/{page}"))).map_err(|error| {
        let served = error.is_not_found();
        if served {
            CliError::Usage(format!("couldn't find resource for \"{api_version}, Kind={}\"", row.name))
        } else {
            error
        }
    })?;
    let document = Document(&schemas["components"]["schemas"]);
    let is_it = |named: &&Value| {
        let says = named["x-kubernetes-group-version-kind"].as_array().into_iter().flatten();
        says.into_iter().any(|one| {
            text(&one["group"]) == group && text(&one["version"]) == version && text(&one["kind"]) == row.name
        })
    };
    let mut found = document.0.as_object().into_iter().flat_map(|schemas| schemas.values());
    let root = found
        .find(is_it)
        .ok_or_else(|| CliError::Usage(format!("couldn't find resource for \"{api_version}, Kind={}\"", row.name)))?;

    let mut out = String::new();
    if !group.is_empty() {
        let _ = writeln!(out, "GROUP:      {group}");
    }
    let _ = writeln!(out, "KIND:       {}\nVERSION:    {version}\n", row.name);
    let (mut schema, mut field) = (root, None);
    for name in path {
        let fields = document.fields(schema);
        let Some(next) = fields.and_then(|fields| fields.get(name)) else {
            let known = fields.into_iter().flatten().map(|(name, _)| name.as_str());
            let hint = similar::hint(similar::nearest(name, known));
            return Err(CliError::Usage(format!("field {name:?} does not exist{hint}")));
        };
        schema = next;
        field = Some(name);
    }
    if let Some(name) = field {
        let _ = writeln!(out, "FIELD: {name} <{}>\n", document.type_of(schema));
    }
    out.push_str("DESCRIPTION:\n");
    paragraphs(&mut out, &document.description(schema), 4);
    if document.fields(schema).is_some_and(|fields| !fields.is_empty()) {
        out.push_str("\nFIELDS:\n");
        list(&mut out, &document, schema, 2, args.recursive, 0);
    }
    out.push('\n');
    Ok(session.out.write_all(out.as_bytes())?)
}

fn list(out: &mut String, document: &Document, schema: &Value, indent: usize, recursive: bool, depth: usize) {
    let required = document.resolved(schema, 0);
    let required: Vec<&Value> = document.element(required)["required"].as_array().into_iter().flatten().collect();
    for (name, field) in document.fields(schema).into_iter().flatten() {
        let must = if required.iter().any(|one| *one == name) { " -required-" } else { "" };
        let _ = writeln!(out, "{:indent$}{name}\t<{}>{must}", "", document.type_of(field));
        if recursive {
            if depth < DEPTH_MAX {
                list(out, document, field, indent + 2, recursive, depth + 1);
            }
        } else {
            paragraphs(out, &document.description(field), indent + 2);
            out.push('\n');
        }
    }
}

/// The schemas of one group and version.
struct Document<'a>(&'a Value);

impl<'a> Document<'a> {
    /// The schema itself, behind all references.
    fn resolved(&self, schema: &'a Value, depth: usize) -> &'a Value {
        let reference = schema["$ref"].as_str().or_else(|| schema["allOf"][0]["$ref"].as_str());
        let name = reference.and_then(|reference| reference.strip_prefix("#/components/schemas/"));
        match name {
            Some(name) if depth < DEPTH_MAX => self.resolved(&self.0[name], depth + 1),
            _ => schema,
        }
    }

    /// The schema of what is in lists and maps, or itself.
    fn element(&self, schema: &'a Value) -> &'a Value {
        let mut at = schema;
        for _ in 0..DEPTH_MAX {
            let inner = [&at["items"], &at["additionalProperties"]].into_iter().find(|inner| inner.is_object());
            match inner {
                Some(inner) => at = self.resolved(inner, 0),
                None => break,
            }
        }
        at
    }

    fn fields(&self, schema: &'a Value) -> Option<&'a serde_json::Map<String, Value>> {
        self.element(self.resolved(schema, 0))["properties"].as_object()
    }

    /// `string`, `[]Container`, `map[string]string`, `integer`.
    fn type_of(&self, schema: &'a Value) -> String {
        self.type_within(schema, 0)
    }

    fn type_within(&self, schema: &'a Value, depth: usize) -> String {
        let named = schema["$ref"].as_str().or_else(|| schema["allOf"][0]["$ref"].as_str());
        let resolved = self.resolved(schema, 0);
        if depth < DEPTH_MAX {
            if resolved["items"].is_object() {
                return format!("[]{}", self.type_within(&resolved["items"], depth + 1));
            }
            if resolved["additionalProperties"].is_object() {
                return format!("map[string]{}", self.type_within(&resolved["additionalProperties"], depth + 1));
            }
        }
        match (resolved["type"].as_str(), named) {
            // Source: kubectl shows the last part of the schema's name.
            (Some("object") | None, Some(named)) => named.rsplit(['.', '/']).next().unwrap_or(named).to_owned(),
            (Some("object"), None) => "Object".into(),
            (Some(plain), _) => plain.to_owned(),
            (None, None) => "Object".into(),
        }
    }

    /// What a field means, or what its type does.
    fn description(&self, schema: &'a Value) -> String {
        let own = text(&schema["description"]);
        let of_type = text(&self.element(self.resolved(schema, 0))["description"]);
        match (own.is_empty(), of_type.is_empty()) {
            (false, false) if own != of_type => format!("{own}\n{of_type}"),
            (false, _) => own,
            (true, false) => of_type,
            (true, true) => "<no description>".into(),
        }
    }
}

fn paragraphs(out: &mut String, text: &str, indent: usize) {
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && indent + line.chars().count() + 1 + word.chars().count() > WIDTH {
                let _ = writeln!(out, "{:indent$}{line}", "");
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        let _ = writeln!(out, "{:indent$}{line}", "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn types_are_named_as_for_kubectl() {
        let schemas = json!({
            "io.k8s.api.core.v1.Container": {"type": "object", "description": "One.", "properties": {"name": {"type": "string"}}},
            "loop": {"$ref": "#/components/schemas/loop"},
        });
        let document = Document(&schemas);
        let container =
            json!({"allOf": [{"$ref": "#/components/schemas/io.k8s.api.core.v1.Container"}], "default": {}});
        let check = |schema: Value, want: &str| assert_eq!(document.type_of(&schema), want, "{schema}");
        check(json!({"type": "string"}), "string");
        check(container.clone(), "Container");
        check(json!({"type": "array", "items": container.clone()}), "[]Container");
        check(json!({"type": "object", "additionalProperties": {"type": "string"}}), "map[string]string");
        check(json!({"type": "object"}), "Object");
        check(json!({"$ref": "#/components/schemas/loop"}), "loop");
        let many = json!({"type": "array", "items": container, "description": "All."});
        assert_eq!(document.description(&many), "All.\nOne.");
        assert!(document.fields(&many).unwrap().contains_key("name"));
    }

    #[test]
    fn lines_are_broken_between_words() {
        let mut out = String::new();
        paragraphs(&mut out, &"word ".repeat(20), 4);
        assert!(
            out.lines().count() == 2 && out.lines().all(|line| line.starts_with("    word") && line.len() <= WIDTH)
        );
    }
}
