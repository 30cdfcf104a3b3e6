//! The lines of a trace, each checked once, so that the rest of the report has nothing left to doubt.
//!
//! The first line is the header; what follows is in the order of `seq`. A trace may be cut: its first entries may be
//! gone, so that a cause names nothing, and its end may be missing, even in the middle of a line.

use serde_json::{Map, Value};
use std::fmt;

/// What is wrong with a trace, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadTrace {
    /// From 1.
    pub line: usize,
    /// The field's name, or `line` if it is no JSON object at all.
    pub field: String,
    /// What the field breaks: `is missing`, `is not a whole number`.
    pub rule: String,
}

impl fmt::Display for BadTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {} {}", self.line, self.field, self.rule)
    }
}

impl std::error::Error for BadTrace {}

/// A program, and the node it works for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// `scheduler`, `kubelet/node-1`.
    pub name: String,
    /// For a kubelet, its node.
    pub node: Option<String>,
}

/// What the whole trace is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The scenario's name; `recording` for what daemons wrote down.
    pub title: String,
    /// A recording has none.
    pub seed: Option<u64>,
    /// The configuration, as lines for people.
    pub cluster: Vec<String>,
    /// What is done to the cluster, as lines for people.
    pub plan: Vec<String>,
    /// In the order in which they are shown.
    pub actors: Vec<Actor>,
}

/// An object, as exactly as the line tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// `Pod/default/web-1`.
    pub key: String,
    /// Absent where the line only knows the name.
    pub uid: Option<String>,
}

/// What a durable change did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// The object is new.
    Create,
    /// It is another than before.
    Update,
    /// It is gone.
    Delete,
}

/// What became of an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// A new life begins.
    Start,
    /// The life ends.
    Crash,
    /// The life ends in good order.
    Stop,
    /// It takes no step for a while.
    Freeze,
    /// It goes on.
    Thaw,
}

/// Something that a checker found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The checker.
    pub name: String,
    /// What must always be so.
    pub statement: String,
    /// What was so instead, with the values.
    pub text: String,
    /// Keys of the objects it is about.
    pub objects: Vec<String>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A program took an input.
    Step { actor: String, life: u64, input: String, about: Option<About>, out: Vec<String>, beat: bool },
    /// A change became durable. `is` has what is shown of the object.
    Write { op: Op, about: About, revision: Option<u64>, is: Option<Value>, beat: bool },
    /// A process started, or ended with a code.
    Process { start: bool, node: String, pod: About, container: String, attempt: u64, pid: u64, code: Option<i64> },
    /// An actor started, crashed, froze or thawed.
    Actor { turn: Turn, actor: String, life: u64 },
    /// A machine got or lost power.
    Node { up: bool, node: String },
    /// Something is made to go wrong.
    Fault { id: u64, text: String, target: String },
    /// A fault is over.
    Heal { id: u64 },
    /// A statement does not hold.
    Violation(Violation),
    /// Nothing follows.
    End { digest: String, events: u64 },
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Unique, and larger than of all lines before.
    pub seq: u64,
    /// Nanoseconds since the start.
    pub at: u64,
    /// The `seq` of what led to it.
    pub cause: Option<u64>,
    /// What happened.
    pub what: What,
}

/// A whole trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// What it is about.
    pub header: Header,
    /// In order.
    pub entries: Vec<Entry>,
    /// The writer stopped in the middle of the last line.
    pub torn: bool,
}

/// Reads a trace.
pub fn read(trace: &str) -> Result<Record, BadTrace> {
    let mut lines = trace.lines().enumerate().map(|(at, text)| (at + 1, text)).filter(|(_, text)| !text.is_empty());
    let (number, first) = lines.next().ok_or(BadTrace::new(1, "trace", "is missing: the first line is the header"))?;
    let header = header(&Line::of(number, first)?)?;
    let (mut entries, mut torn) = (Vec::<Entry>::new(), false);
    while let Some((number, text)) = lines.next() {
        let line = match Line::of(number, text) {
            Err(_) if !trace.ends_with('\n') && lines.next().is_none() => {
                torn = true;
                break;
            }
            line => line?,
        };
        let entry = entry(&line)?;
        if let Some(before) = entries.last() {
            if entry.seq <= before.seq {
                return Err(line.bad("seq", format!("is {}, and {} came before", entry.seq, before.seq)));
            }
            if entry.at < before.at {
                return Err(line.bad("t", format!("is {}, and {} came before", entry.at, before.at)));
            }
        }
        entries.push(entry);
    }
    Ok(Record { header, entries, torn })
}

fn header(line: &Line) -> Result<Header, BadTrace> {
    if line.text("trace")? != "miniku" {
        return Err(line.bad("trace", "is not \"miniku\""));
    }
    if line.number("version")? != 1 {
        return Err(line.bad("version", "is not 1, the only one that is known"));
    }
    let mut actors = Vec::new();
    for actor in line.list("actors")? {
        let fields = actor.as_object().ok_or_else(|| line.bad("actors", "has something that is no object"))?;
        let actor = Line { number: line.number, fields: fields.clone() };
        let name = actor.text("name").map_err(|bad| bad.inside("actors"))?.into();
        let node = actor.maybe_text("node").map_err(|bad| bad.inside("actors"))?.map(str::to_owned);
        actors.push(Actor { name, node });
    }
    Ok(Header {
        title: line.text("title")?.into(),
        seed: line.maybe_number("seed")?,
        cluster: line.texts("cluster")?,
        plan: line.texts("plan")?,
        actors,
    })
}

fn entry(line: &Line) -> Result<Entry, BadTrace> {
    let (seq, at, cause) = (line.number("seq")?, line.number("t")?, line.maybe_number("cause")?);
    let what = match line.text("what")? {
        "step" => What::Step {
            actor: line.text("actor")?.into(),
            life: line.number("life")?,
            input: line.text("in")?.into(),
            about: line.maybe_about("about")?,
            out: line.texts("out")?,
            beat: line.flag("beat")?,
        },
        "write" => What::Write {
            op: match line.text("op")? {
                "create" => Op::Create,
                "update" => Op::Update,
                "delete" => Op::Delete,
                _ => return Err(line.bad("op", "is none of create, update, delete")),
            },
            about: line.about("about")?,
            revision: line.maybe_number("rv")?,
            is: line.fields.get("is").filter(|is| !is.is_null()).cloned(),
            beat: line.flag("beat")?,
        },
        "process" => What::Process {
            start: line.either("op", "start", "end")?,
            node: line.text("node")?.into(),
            pod: line.about("pod").map(|pod| About { key: format!("Pod/{}", pod.key), ..pod })?,
            container: line.text("container")?.into(),
            attempt: line.number("attempt")?,
            pid: line.number("pid")?,
            code: line.maybe_code("code")?,
        },
        "actor" => What::Actor {
            turn: match line.text("op")? {
                "start" => Turn::Start,
                "crash" => Turn::Crash,
                "stop" => Turn::Stop,
                "freeze" => Turn::Freeze,
                "thaw" => Turn::Thaw,
                _ => return Err(line.bad("op", "is none of start, crash, stop, freeze, thaw")),
            },
            actor: line.text("actor")?.into(),
            life: line.number("life")?,
        },
        "node" => What::Node { up: line.either("op", "up", "down")?, node: line.text("node")?.into() },
        "fault" => {
            What::Fault { id: line.number("id")?, text: line.text("text")?.into(), target: line.text("target")?.into() }
        }
        "heal" => What::Heal { id: line.number("id")? },
        "violation" => What::Violation(Violation {
            name: line.text("name")?.into(),
            statement: line.text("statement")?.into(),
            text: line.text("text")?.into(),
            objects: line.texts("objects")?,
        }),
        "end" => What::End { digest: line.text("digest")?.into(), events: line.number("events")? },
        other => return Err(line.bad("what", format!("is {other:?}, which is nothing known"))),
    };
    Ok(Entry { seq, at, cause, what })
}

impl BadTrace {
    fn new(line: usize, field: impl Into<String>, rule: impl Into<String>) -> Self {
        BadTrace { line, field: field.into(), rule: rule.into() }
    }

    fn inside(self, list: &str) -> Self {
        BadTrace { field: format!("{list}: {}", self.field), ..self }
    }
}

/// A line's fields; a field that is null is not there.
struct Line {
    number: usize,
    fields: Map<String, Value>,
}

impl Line {
    fn of(number: usize, text: &str) -> Result<Self, BadTrace> {
        match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => Ok(Line { number, fields }),
            Ok(_) => Err(BadTrace::new(number, "line", "is no JSON object")),
            Err(why) => Err(BadTrace::new(number, "line", format!("is no JSON: {why}"))),
        }
    }

    fn bad(&self, field: &str, rule: impl Into<String>) -> BadTrace {
        BadTrace::new(self.number, field, rule)
    }

    fn get<T>(&self, field: &str, rule: &str, of: impl FnOnce(&Value) -> Option<T>) -> Result<Option<T>, BadTrace> {
        match self.fields.get(field).filter(|value| !value.is_null()) {
            None => Ok(None),
            Some(value) => of(value).map(Some).ok_or_else(|| self.bad(field, rule)),
        }
    }

    fn must<T>(&self, field: &str, got: Option<T>) -> Result<T, BadTrace> {
        got.ok_or_else(|| self.bad(field, "is missing"))
    }

    fn maybe_text(&self, field: &str) -> Result<Option<&str>, BadTrace> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.bad(field, "is no text")),
        }
    }

    fn text(&self, field: &str) -> Result<&str, BadTrace> {
        self.maybe_text(field).and_then(|text| self.must(field, text))
    }

    fn maybe_number(&self, field: &str) -> Result<Option<u64>, BadTrace> {
        self.get(field, "is no whole number from 0 on", Value::as_u64)
    }

    fn number(&self, field: &str) -> Result<u64, BadTrace> {
        self.maybe_number(field).and_then(|number| self.must(field, number))
    }

    fn maybe_code(&self, field: &str) -> Result<Option<i64>, BadTrace> {
        self.get(field, "is no whole number", Value::as_i64)
    }

    fn flag(&self, field: &str) -> Result<bool, BadTrace> {
        Ok(self.get(field, "is neither true nor false", Value::as_bool)?.unwrap_or(false))
    }

    fn either(&self, field: &str, yes: &str, no: &str) -> Result<bool, BadTrace> {
        match self.text(field)? {
            text if text == yes => Ok(true),
            text if text == no => Ok(false),
            _ => Err(self.bad(field, format!("is neither {yes} nor {no}"))),
        }
    }

    fn list(&self, field: &str) -> Result<Vec<Value>, BadTrace> {
        Ok(self.get(field, "is no list", |value| value.as_array().cloned())?.unwrap_or_default())
    }

    fn texts(&self, field: &str) -> Result<Vec<String>, BadTrace> {
        let texts = self.list(field)?.into_iter().map(|one| match one {
            Value::String(text) => Ok(text),
            _ => Err(self.bad(field, "has something that is no text")),
        });
        texts.collect()
    }

    fn maybe_about(&self, field: &str) -> Result<Option<About>, BadTrace> {
        let uid = self.maybe_text("uid")?.map(str::to_owned);
        Ok(self.maybe_text(field)?.map(|key| About { key: key.into(), uid }))
    }

    fn about(&self, field: &str) -> Result<About, BadTrace> {
        self.maybe_about(field).and_then(|about| self.must(field, about))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = r#"{"trace":"miniku","version":1,"title":"t","seed":7,"actors":[{"name":"apiserver"}]}"#;

    #[test]
    fn says_which_line_and_field_is_wrong() {
        let check = |line: &str, field: &str, rule: &str| {
            let bad = read(&format!("{HEADER}\n{line}\n")).expect_err(line);
            assert_eq!((bad.line, &*bad.field), (2, field), "{line}: {bad}");
            assert!(bad.rule.contains(rule), "{line}: {bad}");
        };
        check(r#"{"t":0,"what":"heal","id":1}"#, "seq", "is missing");
        check(r#"{"seq":-1,"t":0,"what":"heal","id":1}"#, "seq", "whole number");
        check(r#"{"seq":1,"what":"heal","id":1}"#, "t", "is missing");
        check(r#"{"seq":1,"t":0}"#, "what", "is missing");
        check(r#"{"seq":1,"t":0,"what":"dream"}"#, "what", "\"dream\"");
        check(r#"{"seq":1,"t":0,"what":"step","actor":"a","life":1}"#, "in", "is missing");
        check(r#"{"seq":1,"t":0,"what":"step","actor":"a","life":1,"in":"x","out":[7]}"#, "out", "no text");
        check(r#"{"seq":1,"t":0,"what":"step","actor":"a","life":1,"in":"x","beat":"yes"}"#, "beat", "true");
        check(r#"{"seq":1,"t":0,"what":"write","op":"paint","about":"Pod/a/b"}"#, "op", "none of");
        check(r#"{"seq":1,"t":0,"what":"node","op":"left","node":"n"}"#, "op", "neither up nor down");
        check(r#"{"seq":1,"t":0,"what":"process","op":"start","node":"n","container":"c"}"#, "pod", "is missing");
        check("[]", "line", "no JSON object");
        check("{", "line", "no JSON");
    }

    #[test]
    fn order_is_demanded() {
        let check = |second: &str, field: &str| {
            let text = format!("{HEADER}\n{}\n{second}\n", r#"{"seq":5,"t":5,"what":"heal","id":1}"#);
            assert_eq!(read(&text).expect_err(second).field, field);
        };
        check(r#"{"seq":5,"t":6,"what":"heal","id":2}"#, "seq");
        check(r#"{"seq":6,"t":4,"what":"heal","id":2}"#, "t");
    }

    #[test]
    fn the_header_comes_first_and_is_of_the_known_version() {
        assert_eq!(read("").expect_err("empty").field, "trace");
        assert_eq!(read(r#"{"trace":"miniku","version":2}"#).expect_err("version").field, "version");
        assert_eq!(read(r#"{"seq":1}"#).expect_err("no header").field, "trace");
        let nameless = r#"{"trace":"miniku","version":1,"title":"t","actors":[{"node":"n"}]}"#;
        assert_eq!(read(nameless).expect_err("an actor without a name").field, "actors: name");
    }

    #[test]
    fn a_writer_may_stop_in_the_middle_of_a_line() {
        let heal = r#"{"seq":5,"t":5,"what":"heal","id":1}"#;
        let record = read(&format!("{HEADER}\n{heal}\n{{\"seq\":6,\"t\"")).expect("it can be read");
        assert_eq!((record.entries.len(), record.torn), (1, true));
        assert!(read(&format!("{HEADER}\n{{\"seq\":6,\n{heal}")).is_err(), "only the last line may be torn");
    }
}
