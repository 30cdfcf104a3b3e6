//! The table of Kubernetes 1.32, as text: how it is read.
//!
//! A file a group and version, in `kubernetes/`. A line that begins with a word is a message, `-- ` before what is said of
//! it; `kind` where its objects say by `kind` and `apiVersion` what they are, `atomic` where one manager owns all of one.
//! Below it stand its fields: protobuf number, JSON name, type, marks, and again what is said. A `*` is a message
//! whose fields stand in this one. Marks:
//!
//! - `required`, `pointer` (a zero is not the same as nothing), `default=JSON`, `words=A|B` (all values there can be);
//! - `merge`, `merge=KEY`, `retainKeys`, `retainKeys=KEY`, `replace`: strategic merge patches;
//! - `set`, `keys=A,B`, `atomic`: who owns what of a list or map. A list is atomic if it says nothing, a map is not.
//!
//! Source: the declarations of kubernetes/api and kubernetes/apimachinery, release 1.32; defaults from `pkg/apis/*/v1/defaults.go`.

use super::conditional::CONDITIONAL;
use super::{Field, ListType, MapType, Message, MessageId, Ownership, Schema, Strategy, Type, complete};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

pub(super) const FILES: &[&str] = &[
    include_str!("kubernetes/meta.v1.schema"),
    include_str!("kubernetes/core.v1.schema"),
    include_str!("kubernetes/apps.v1.schema"),
    include_str!("kubernetes/batch.v1.schema"),
    include_str!("kubernetes/autoscaling.v1.schema"),
    include_str!("kubernetes/autoscaling.v2.schema"),
    include_str!("kubernetes/policy.v1.schema"),
    include_str!("kubernetes/scheduling.v1.schema"),
    include_str!("kubernetes/coordination.v1.schema"),
    include_str!("kubernetes/discovery.v1.schema"),
    include_str!("kubernetes/events.v1.schema"),
    include_str!("kubernetes/networking.v1.schema"),
    include_str!("kubernetes/storage.v1.schema"),
    include_str!("kubernetes/rbac.v1.schema"),
    include_str!("kubernetes/authentication.v1.schema"),
    include_str!("kubernetes/authorization.v1.schema"),
    include_str!("kubernetes/admissionregistration.v1.schema"),
    include_str!("kubernetes/apiextensions.v1.schema"),
    include_str!("kubernetes/apiregistration.v1.schema"),
    include_str!("kubernetes/certificates.v1.schema"),
    include_str!("kubernetes/node.v1.schema"),
    include_str!("kubernetes/metrics.v1beta1.schema"),
    include_str!("kubernetes/miniku.v1.schema"),
];

static KUBERNETES: LazyLock<Schema> = LazyLock::new(|| read(FILES).expect("a test reads the table"));

impl Schema {
    /// The schema of the kinds that every cluster has.
    pub fn kubernetes() -> &'static Schema {
        &KUBERNETES
    }
}

/// Reads files of messages.
fn read(files: &[&str]) -> Result<Schema, String> {
    let heads =
        || files.iter().flat_map(|file| file.lines()).filter(|line| line.starts_with(|c: char| !c.is_whitespace()));
    let mut schema = Schema { in_go: true, ..Schema::default() };
    for (nth, head) in heads().enumerate() {
        let name = head.split_whitespace().next().unwrap_or("");
        let id = MessageId(u32::try_from(nth).map_err(|_| "too many messages")?);
        if schema.by_name.insert(name.into(), id).is_some() {
            return Err(format!("{name} is there twice"));
        }
    }
    let mut inlined: Vec<(MessageId, u32, MessageId)> = Vec::new();
    for line in files.iter().flat_map(|file| file.lines()).filter(|line| !line.trim().is_empty()) {
        let (said, about) = line.split_once(" -- ").unwrap_or((line, ""));
        let mut words = said.split_whitespace();
        let wrong = |what: &str| format!("{what}: {line}");
        if line.starts_with(|c: char| !c.is_whitespace()) {
            let name = words.next().unwrap_or("").into();
            let mut message = Message { name, about: said_of(about), ..Message::default() };
            for mark in words {
                match mark {
                    "kind" => message.says_its_kind(),
                    "atomic" => message.atomic = true,
                    _ => return Err(wrong("no such mark")),
                }
            }
            schema.messages.push(message);
            continue;
        }
        let number =
            words.next().filter(|number| *number != "-").map_or(Ok(0), str::parse).map_err(|_| wrong("no number"))?;
        let json = words.next().ok_or_else(|| wrong("no name"))?;
        let kind = words.next().ok_or_else(|| wrong("no type"))?;
        let marks: Vec<&str> = words.collect();
        let kind = kind_of(kind, &marks, &schema.by_name).ok_or_else(|| wrong("no such type"))?;
        let message = MessageId(u32::try_from(schema.messages.len() - 1).map_err(|_| "too many messages")?);
        if json == "*" {
            let Type::Message(inner) = kind else { return Err(wrong("only messages are inlined")) };
            inlined.push((message, number, inner));
            continue;
        }
        let field = field(number, json, kind, &marks, about).ok_or_else(|| wrong("no such mark"))?;
        schema.messages[message.0 as usize].fields.push(field);
    }
    flatten(&mut schema, inlined);
    for message in &mut schema.messages {
        message.fields.sort_by(|one, other| one.json.cmp(&other.json));
    }
    note(&mut schema, fills, |message| &mut message.fills);
    note(&mut schema, is_ruled, |message| &mut message.ruled);
    Ok(schema)
}

/// Notes of which messages something is so, by themselves or by what was noted of others, until that adds nothing.
fn note(schema: &mut Schema, is_so: fn(&Schema, &Message) -> bool, noted: fn(&mut Message) -> &mut bool) {
    loop {
        let so: Vec<bool> = schema.messages.iter().map(|message| is_so(schema, message)).collect();
        let mut is_news = false;
        for (message, so) in schema.messages.iter_mut().zip(so) {
            is_news |= std::mem::replace(noted(message), so) != so;
        }
        if !is_news {
            return;
        }
    }
}

/// Whether a message has defaults.
fn fills(schema: &Schema, message: &Message) -> bool {
    let field = |field: &Field| field.default.is_some() || complete::fills(schema, &field.kind);
    CONDITIONAL.iter().any(|row| *row.message == *message.name) || message.fields.iter().any(field)
}

/// Whether a message has rules.
fn is_ruled(schema: &Schema, message: &Message) -> bool {
    message.fields.iter().any(|field| complete::is_ruled(schema, field))
}

/// Puts the fields of inlined messages where they stand in JSON. One that inlines others is put in after them.
fn flatten(schema: &mut Schema, mut inlined: Vec<(MessageId, u32, MessageId)>) {
    while !inlined.is_empty() {
        let waits =
            |inner: MessageId, all: &[(MessageId, u32, MessageId)]| all.iter().any(|(outer, ..)| *outer == inner);
        let Some(at) = (0..inlined.len()).find(|at| !waits(inlined[*at].2, &inlined)) else { return };
        let (outer, number, inner) = inlined.remove(at);
        let fields: Vec<Field> = schema
            .message(inner)
            .fields
            .iter()
            .map(|field| {
                let inside = std::iter::once(number).chain(field.inside.iter().copied()).collect();
                Field { inside, ..field.clone() }
            })
            .collect();
        schema.messages[outer.0 as usize].fields.extend(fields);
    }
}

/// All that nothing is said of share one empty text.
fn said_of(about: &str) -> Arc<str> {
    let about = about.trim();
    if about.is_empty() { Arc::default() } else { about.into() }
}

fn field(number: u32, json: &str, kind: Type, marks: &[&str], about: &str) -> Option<Field> {
    let mut field = Field { json: json.into(), number, about: said_of(about), ..Field::new(kind) };
    for mark in marks {
        let (name, value) = mark.split_once('=').map_or((*mark, None), |(name, value)| (name, Some(value)));
        match name {
            "pointer" => field.pointer = true,
            "required" => field.required = true,
            "default" => field.default = Some(serde_json::from_str(value?).ok()?),
            "merge" => field.strategy = Strategy::Merge(value.map(Into::into)),
            "retainKeys" => field.strategy = Strategy::RetainKeys(value.map(Into::into)),
            "replace" => field.strategy = Strategy::Replace,
            "words" | "set" | "keys" | "atomic" => {}
            _ => return None,
        }
    }
    Some(field)
}

fn kind_of(name: &str, marks: &[&str], messages: &BTreeMap<Arc<str>, MessageId>) -> Option<Type> {
    let mark = |wanted: &str| marks.iter().find_map(|mark| mark.strip_prefix(wanted));
    if let Some(items) = name.strip_prefix("list<").and_then(|rest| rest.strip_suffix('>')) {
        let items = kind_of(items, marks, messages)?;
        let ownership = match (mark("keys="), marks.contains(&"set")) {
            (Some(keys), _) => Ownership::Map(keys.split(',').map(Into::into).collect()),
            (None, true) => Ownership::Set,
            (None, false) => Ownership::Atomic,
        };
        return Some(Type::List(Box::new(ListType { items, ownership })));
    }
    if let Some(values) = name.strip_prefix("map<").and_then(|rest| rest.strip_suffix('>')) {
        let values = kind_of(values, marks, messages)?;
        return Some(Type::Map(Box::new(MapType { values, atomic: marks.contains(&"atomic") })));
    }
    Some(match name {
        "string" => {
            Type::Text(mark("words=").map_or_else(Arc::default, |words| words.split('|').map(Into::into).collect()))
        }
        "bool" => Type::Bool,
        "int32" => Type::Int32,
        "int64" => Type::Int64,
        "double" => Type::Double,
        "bytes" => Type::Bytes,
        "Quantity" => Type::Quantity,
        "IntOrString" => Type::IntOrString,
        "Time" => Type::Time,
        "MicroTime" => Type::MicroTime,
        "Duration" => Type::Duration,
        "any" => Type::Any,
        message => Type::Message(*messages.get(message)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read() {
        let schema = read(FILES).unwrap();
        let pod_spec = schema.message(schema.named("core/v1.PodSpec").unwrap());
        let containers = pod_spec.field("containers").unwrap();
        assert!(containers.required && containers.strategy == Strategy::Merge(Some("name".into())));
        let probe = schema.message(schema.named("core/v1.Probe").unwrap());
        assert_eq!(
            (probe.field("httpGet").unwrap().inside.as_slice(), probe.field("httpGet").unwrap().number),
            (&[1][..], 2)
        );
        assert_eq!(probe.field("periodSeconds").unwrap().default, Some(10.into()));
        let has = |name: &str| {
            let message = schema.message(schema.named(name).unwrap());
            (message.fills, message.ruled)
        };
        let messages = ["core/v1.Pod", "core/v1.EnvVar", "coordination/v1.Lease", "core/v1.Event"];
        assert_eq!(messages.map(has), [(true, true), (true, true), (false, false), (false, false)]);
        assert_eq!(schema.message(schema.named("core/v1.Volume").unwrap()).field("hostPath").unwrap().inside, [2]);
    }

    #[test]
    fn every_kind_has_its_message() {
        for (_, row) in crate::api::kinds::Kind::rows() {
            for message in std::iter::once(row.message).chain(row.also.iter().map(|also| also.message)) {
                let id = Schema::kubernetes().named(message).unwrap_or_else(|| panic!("{message}"));
                assert!(Schema::kubernetes().message(id).field("metadata").is_some(), "{message}");
            }
        }
        for review in crate::apiserver::discovery::REVIEWS {
            assert!(Schema::kubernetes().named(review.message).is_some(), "{}", review.message);
        }
    }

    #[test]
    fn what_is_wrong_in_a_table_is_said() {
        let check = |text: &str, want: &str| assert!(read(&[text]).unwrap_err().starts_with(want), "{text}");
        check("a\na", "a is there twice");
        check("a\n  1 x string purple", "no such mark");
        check("a\n  1 x b", "no such type");
        check("a\n  x y string", "no number");
        check("a\n  1 x string default={", "no such mark");
        check("a purple", "no such mark");
    }
}
