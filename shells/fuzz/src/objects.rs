//! Bodies and patches, as what they make of an object.

use miniku::cli::yaml::documents;
use miniku::http::Asked;
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Object;
use miniku_core::api::served::Served;
use miniku_core::api::tabular::Columns;
use miniku_core::apiserver::{Author, admission, fields};
use miniku_core::patch::Patch;
use miniku_core::program::Part;
use miniku_core::schema::{DEPTH_MAX, Schema, depth, protobuf as proto, strict};
use miniku_core::time::{Instant, Now, Wall};
use serde_json::Value;
use std::sync::LazyLock;

const NOW: Now = Now { mono: Instant::from_nanos(0), wall: Wall::from_secs(1_790_000_000) };

/// A body in JSON.
pub fn json(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(data) else {
        // What is no JSON is no object of any kind.
        assert!(Object::decode(Kind::Pod, data).is_err());
        return;
    };
    let kind = kind_of(&value, data);
    let schema = Schema::kubernetes();
    if let Some(message) = schema.named(kind.row().message) {
        strict::check(schema, message, data).expect("it is JSON");
    }
    // A field that stands there twice is read in two ways.
    if let (Ok(text), Ok(tree)) = (Object::decode(kind, data), Object::from_value(kind, value.clone())) {
        assert!(text == tree || text.json().len() != data.len(), "{text:?} {tree:?}");
    }
    created(kind, value);
}

/// A body in YAML.
pub fn yaml(data: &[u8]) {
    let mut asked = Asked { method: "POST", target: "/", headers: Default::default(), body: data };
    asked.headers.content_type = "application/yaml";
    let Ok(value) = miniku::api::value(asked) else { return };
    let kind = kind_of(&value, data);
    created(kind, value);
}

/// A body in protobuf; without its mark, the fields of some kind.
pub fn protobuf(data: &[u8]) {
    let body = match data {
        _ if data.starts_with(proto::MAGIC) => data.to_vec(),
        [nth, rest @ ..] => {
            let row = Kind::BUILT_IN[usize::from(*nth) % Kind::BUILT_IN.len()].row();
            let kind = [field(1, row.api_version().as_bytes()), field(2, row.name.as_bytes())].concat();
            [proto::MAGIC, &field(1, &kind), &field(2, rest)].concat()
        }
        [] => return,
    };
    let Ok(value) = proto::decode(&body) else { return };
    let kind = kind_of(&value, data);
    created(kind, value);
}

/// Source: protobuf.dev, "Encoding".
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length > 0x7f {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
    out
}

/// A patch of a stored object: which object, which type, then the patch in JSON.
pub fn patch(data: &[u8]) {
    let [nth, how, text @ ..] = data else { return };
    let Ok(value) = serde_json::from_slice::<Value>(text) else { return };
    let stored = &STORED[usize::from(*nth) % STORED.len()];
    let part = if how & 8 == 0 { Part::Main } else { Part::Status };
    let by = Author { now: NOW, manager: Some("fuzz"), strict: how & 16 != 0, version: None, user: None };
    let patch = match how % 4 {
        0 => Patch::Json(value),
        1 => Patch::Merge(value),
        2 => Patch::Strategic(value),
        _ => Patch::Apply { configuration: value, force: how & 4 != 0 },
    };
    let patched = |stored: &Object| -> Option<Object> {
        let object = match &patch {
            Patch::Apply { configuration, force } => {
                admission::applied(by, stored.kind(), Some(stored), configuration, *force, part, None).ok()?
            }
            patch => admission::patched(by, stored, patch, None).ok()?,
        };
        admission::updated(stored, object, part, None).ok()
    };
    let Some(once) = patched(stored) else { return };
    kept(&once);
    if let Patch::Apply { force: true, .. } = patch {
        let again = patched(&once).expect("what was applied may be applied again");
        assert_eq!(again, once, "a second time changes nothing");
    }
}

/// The objects of the manifests, as they are stored.
static STORED: LazyLock<Vec<Object>> = LazyLock::new(|| {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/manifests");
    let mut files: Vec<_> =
        std::fs::read_dir(directory).expect("it is there").map(|file| file.unwrap().path()).collect();
    files.sort();
    let texts = files.iter().map(|file| std::fs::read_to_string(file).expect("it can be read"));
    let objects = texts.flat_map(|text| documents(&text, "a manifest").expect("it is YAML"));
    let stored = objects.filter_map(|value| created(named(&value)?, value));
    stored.map(|object| object.with_meta(|meta| meta.resource_version = "5".into())).collect()
});

/// The kind that a value says that it is; any other if it does not say so.
fn kind_of(value: &Value, data: &[u8]) -> Kind {
    let nth = data.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    named(value).unwrap_or(Kind::BUILT_IN[nth % Kind::BUILT_IN.len()])
}

fn named(value: &Value) -> Option<Kind> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    Kind::named(text("apiVersion")?, text("kind")?).filter(|kind| !matches!(kind, Kind::Custom(_)))
}

/// What is stored of a value when it is created, if it may be.
fn created(kind: Kind, value: Value) -> Option<Object> {
    let mut object = admission::read(kind, value).ok()?;
    let schema = Schema::kubernetes();
    if let Some(message) = schema.named(kind.row().message) {
        fields::known(&mut object, schema, message).ok()?;
    }
    let object = admission::created(NOW, object, "uid".into(), None).ok()?;
    let object = admission::noted(NOW, "fuzz", None, object, Part::Main, None);
    kept(&object);
    let again = admission::updated(&object, object.clone(), Part::Main, None).expect("it may stay as it is");
    assert_eq!(again, object, "to write what is stored changes nothing");
    Some(object)
}

/// What must hold of every object that is stored: it is read back as it was written, shown in a table, and served in all
/// versions.
fn kept(object: &Object) {
    let kind = object.kind();
    assert!(depth(&object.to_value()) <= DEPTH_MAX, "text of this depth is not read again");
    assert_eq!(Object::decode(kind, &object.json()).as_ref(), Ok(object));
    let columns = Columns::of(kind, &[]);
    let rows = columns.definitions();
    assert_eq!(columns.cells(object, NOW).len(), rows.as_array().map_or(0, Vec::len));
    for also in kind.row().also {
        let served = Served::at(also.group, also.version, kind.row().plural).expect("it has a row");
        let mut there: Value = serde_json::from_slice(&served.json(object)).expect("it is served as JSON");
        served.to_kept(&mut there);
        Object::from_value(kind, there).expect("what is served may be sent back");
    }
}
