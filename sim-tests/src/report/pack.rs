//! What a page holds of a trace, in few bytes.
//!
//! Entries become columns of small numbers, written as letters. Texts become a template and what fills it: `sees
//! +po/web-1@7` and `sees +po/web-2@9` share one. Heartbeats and steps that led to nothing are left out, unless
//! something that is told names one as its cause; a cause that is left out is replaced by its own.

use super::record::{About, Entry, Op, Record, Turn, What};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Above so many entries, those about Event objects are left out like heartbeats: nobody reads a hundred thousand
/// lines, and each Event repeats what its cause already says.
const CROWD: usize = 60_000;

/// What was left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Heartbeats, and steps that led to nothing.
    pub beats: usize,
    /// Steps and writes about Event objects.
    pub chatter: usize,
}

/// A trace as the page's script reads it.
pub struct Packed {
    /// See `page.js`, `unpack`.
    pub data: Value,
    /// What is not in it.
    pub left_out: LeftOut,
    /// Some cause lies before the first entry: the beginning is missing.
    pub headless: bool,
}

/// Packs a trace.
pub fn pack(record: &Record) -> Packed {
    let entries = &record.entries;
    let seqs: Vec<u64> = entries.iter().map(|entry| entry.seq).collect();
    let (told, left_out) = told(entries, &seqs);
    let mut tables = Tables::default();
    for actor in &record.header.actors {
        let node = actor.node.as_ref().map(|node| tables.nodes.of(node));
        tables.actor(&actor.name, node);
    }
    let mut columns = Columns::default();
    // Which row an entry became.
    let (mut rows, mut row_of, mut before) = (0, vec![0; entries.len()], (0, 0));
    let (mut faults, mut violations, mut headless) = (Vec::new(), Vec::new(), false);
    let mut striking: BTreeMap<u64, usize> = BTreeMap::new();
    for (at, entry) in entries.iter().enumerate().filter(|(at, _)| told[*at]) {
        let row = rows;
        (rows, row_of[at]) = (rows + 1, row);
        columns.seq.push(entry.seq - before.0);
        columns.time.push(entry.at - before.1);
        before = (entry.seq, entry.at);
        let cause = cause(entries, &seqs, &told, entry);
        headless |= matches!(cause, Cause::Lost { before: true });
        columns.cause.push(match cause {
            Cause::None => 0,
            Cause::Lost { .. } => 1,
            Cause::Entry(cause) => (row - row_of[cause]) as u64 + 1,
        });
        let (kind, who, about, state, text) = tables.entry(&entry.what);
        columns.kind.push(kind as u64);
        columns.who.push(who);
        columns.about.push(about.map_or(0, |about| about + 1));
        columns.state.push(state.map_or(0, |state| state + 1));
        tables.text(&text, &mut columns.text);
        match &entry.what {
            What::Fault { id, text, target } => {
                striking.insert(*id, faults.len());
                faults.push(json!({"row": row, "text": text, "target": target}));
            }
            What::Heal { id } => {
                if let Some(fault) = striking.remove(id) {
                    faults[fault]["heal"] = row.into();
                }
            }
            What::Violation(one) => {
                let objects: Vec<u64> = one.objects.iter().map(|key| tables.object(&named(key))).collect();
                violations.push(json!({
                    "row": row, "name": one.name, "statement": one.statement, "objects": objects,
                }));
            }
            _ => {}
        }
    }
    let silences = silences(entries);
    let silences: Vec<_> = silences.into_iter().map(|(node, from, to)| (tables.nodes.of(&node), from, to)).collect();
    let templates = tables.templates.list.iter().map(|parts| parts.iter().map(Part::shown).collect());
    let templates: Vec<Value> = templates.collect();
    let data = json!({
        "title": record.header.title,
        "seed": record.header.seed.map(|seed| seed.to_string()),
        "end": entries.last().map_or(0, |last| last.at),
        "headless": headless,
        "actors": tables.actors.iter().map(|(name, node)| json!([name, node])).collect::<Vec<_>>(),
        "lives": tables.lives.list,
        "nodes": tables.nodes.list,
        "objects": tables.objects.iter().map(|(key, _)| key).collect::<Vec<_>>(),
        "states": tables.states.list.iter().map(|state| serde_json::from_str(state).expect("it was a value")).collect::<Vec<Value>>(),
        "templates": templates,
        "words": tables.words.list,
        "faults": faults,
        "violations": violations,
        "silences": silences,
        "rows": rows,
        "columns": {
            "kind": columns.kind.0, "time": columns.time.0, "seq": columns.seq.0, "cause": columns.cause.0,
            "who": columns.who.0, "about": columns.about.0, "state": columns.state.0, "text": columns.text.0,
        },
    });
    Packed { data, left_out, headless }
}

/// Which entries the page tells.
fn told(entries: &[Entry], seqs: &[u64]) -> (Vec<bool>, LeftOut) {
    let beats = |entry: &Entry| match &entry.what {
        What::Step { beat, .. } | What::Write { beat, .. } => *beat,
        _ => false,
    };
    let chats = |entry: &Entry| match &entry.what {
        What::Step { about: Some(about), .. } | What::Write { about, .. } => about.key.starts_with("Event/"),
        _ => false,
    };
    let crowded = entries.iter().filter(|entry| !beats(entry)).count() > CROWD;
    let quiet = |entry: &Entry| beats(entry) || (crowded && chats(entry));
    let mut told: Vec<bool> = entries.iter().map(|entry| !quiet(entry)).collect();
    for at in 0..entries.len() {
        if told[at]
            && let Some(cause) = entries[at].cause
            && let Ok(cause) = seqs.binary_search(&cause)
        {
            told[cause] = true;
        }
    }
    let mut left_out = LeftOut::default();
    for (entry, told) in entries.iter().zip(&told) {
        left_out.beats += usize::from(!told && beats(entry));
        left_out.chatter += usize::from(!told && !beats(entry));
    }
    (told, left_out)
}

/// What led to an entry, as far as it is told.
enum Cause {
    None,
    /// It is not in the trace: it was not kept, or lies before the first entry.
    Lost {
        before: bool,
    },
    Entry(usize),
}

fn cause(entries: &[Entry], seqs: &[u64], told: &[bool], entry: &Entry) -> Cause {
    let mut cause = entry.cause;
    while let Some(seq) = cause {
        match seqs.binary_search(&seq) {
            Err(place) => return Cause::Lost { before: place == 0 },
            // Nothing is its own past.
            Ok(_) if seq >= entry.seq => return Cause::None,
            Ok(at) if told[at] => return Cause::Entry(at),
            Ok(at) => cause = entries[at].cause.filter(|earlier| *earlier < seq),
        }
    }
    Cause::None
}

/// When a node was not heard of: its lease was not renewed for twice as long as is usual.
fn silences(entries: &[Entry]) -> Vec<(String, u64, u64)> {
    let mut renewals: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for entry in entries {
        if let What::Write { op: Op::Create | Op::Update, about, .. } = &entry.what
            && let Some(node) = about.key.strip_prefix("Lease/kube-node-lease/")
        {
            renewals.entry(node).or_default().push(entry.at);
        }
    }
    let pairs = || renewals.values().flat_map(|times| times.windows(2).map(|pair| pair[1] - pair[0]));
    let mut gaps: Vec<u64> = pairs().collect();
    gaps.sort_unstable();
    let (Some(usual), Some(end)) = (gaps.get(gaps.len() / 2).copied(), entries.last().map(|entry| entry.at)) else {
        return Vec::new();
    };
    let mut silences = Vec::new();
    for (node, times) in &renewals {
        let heard = times.iter().copied().chain([end]);
        for (last, next) in times.iter().copied().zip(heard.skip(1)) {
            if next - last > 2 * usual {
                silences.push(((*node).to_owned(), last + usual, next));
            }
        }
    }
    silences
}

fn named(key: &str) -> About {
    About { key: key.into(), uid: None }
}

/// Numbers as letters: up to 45 in one, others in more, the smallest part first.
#[derive(Default)]
struct Letters(String);

const RADIX: u64 = 46;

impl Letters {
    fn push(&mut self, mut number: u64) {
        while number >= RADIX {
            self.0.push(letter(RADIX + number % RADIX));
            number /= RADIX;
        }
        self.0.push(letter(number));
    }
}

/// Printable, and nothing that would have to be escaped in JSON or would end a script.
fn letter(digit: u64) -> char {
    match digit as u8 + b'#' {
        b'<' => ' ',
        b'\\' => '!',
        letter => letter as char,
    }
}

#[derive(Default)]
struct Columns {
    kind: Letters,
    time: Letters,
    seq: Letters,
    cause: Letters,
    who: Letters,
    about: Letters,
    state: Letters,
    text: Letters,
}

/// What an entry is, as a number; `page.js` has the same list.
#[derive(Clone, Copy)]
enum Kind {
    Step,
    Create,
    Update,
    Delete,
    ProcessStart,
    ProcessEnd,
    ActorStart,
    ActorCrash,
    ActorFreeze,
    ActorThaw,
    NodeUp,
    NodeDown,
    Fault,
    Heal,
    Violation,
    End,
}

/// Each value once.
#[derive(Default)]
struct Table<T> {
    list: Vec<T>,
    at: BTreeMap<T, u64>,
}

impl<T: Ord + Clone> Table<T> {
    fn of<B: Ord + ?Sized + ToOwned<Owned = T>>(&mut self, value: &B) -> u64
    where
        T: std::borrow::Borrow<B>,
    {
        if let Some(at) = self.at.get(value) {
            return *at;
        }
        let at = self.list.len() as u64;
        self.list.push(value.to_owned());
        self.at.insert(value.to_owned(), at);
        at
    }
}

#[derive(Default)]
struct Tables {
    actors: Vec<(String, Option<u64>)>,
    actor_at: BTreeMap<String, u64>,
    lives: Table<(u64, u64)>,
    nodes: Table<String>,
    /// With their uids; a name may be had by one object after another.
    objects: Vec<(String, Option<String>)>,
    /// The latest of a name, and all by uid.
    object_at: BTreeMap<String, (u64, BTreeMap<String, u64>)>,
    states: Table<String>,
    templates: Table<Vec<Part>>,
    words: Table<String>,
}

impl Tables {
    fn actor(&mut self, name: &str, node: Option<u64>) -> u64 {
        if let Some(at) = self.actor_at.get(name) {
            return *at;
        }
        let at = self.actors.len() as u64;
        self.actors.push((name.into(), node));
        self.actor_at.insert(name.into(), at);
        at
    }

    fn life(&mut self, actor: &str, life: u64) -> u64 {
        let actor = self.actor(actor, None);
        self.lives.of(&(actor, life))
    }

    fn object(&mut self, about: &About) -> u64 {
        let next = self.objects.len() as u64;
        let Some(uid) = &about.uid else {
            if let Some((latest, _)) = self.object_at.get(&about.key) {
                return *latest;
            }
            self.objects.push((about.key.clone(), None));
            self.object_at.insert(about.key.clone(), (next, BTreeMap::new()));
            return next;
        };
        let (latest, by_uid) = self.object_at.entry(about.key.clone()).or_insert((next, BTreeMap::new()));
        if let Some(at) = by_uid.get(uid) {
            return *at;
        }
        // A line without a uid came first: it was this one, as no other had the name.
        let known = *latest < next && by_uid.is_empty();
        let at = if known { *latest } else { next };
        by_uid.insert(uid.clone(), at);
        *latest = at;
        if known {
            self.objects[at as usize].1 = Some(uid.clone());
        } else {
            self.objects.push((about.key.clone(), Some(uid.clone())));
        }
        at
    }

    /// Kind, who, about, state, text.
    fn entry(&mut self, what: &What) -> (Kind, u64, Option<u64>, Option<u64>, String) {
        match what {
            What::Step { actor, life, input, about, out, .. } => {
                let about = about.as_ref().map(|about| self.object(about));
                let lines = std::iter::once(input).chain(out).map(|line| line.replace('\n', " "));
                (Kind::Step, self.life(actor, *life), about, None, lines.collect::<Vec<_>>().join("\n"))
            }
            What::Write { op, about, revision, is, .. } => {
                let kind = match op {
                    Op::Create => Kind::Create,
                    Op::Update => Kind::Update,
                    Op::Delete => Kind::Delete,
                };
                let about = self.object(about);
                let state = is.as_ref().map(|is| self.states.of(&is.to_string()));
                (kind, 0, Some(about), state, revision.map_or_else(String::new, |revision| revision.to_string()))
            }
            What::Process { start, node, pod, container, attempt, pid, code } => {
                let kind = if *start { Kind::ProcessStart } else { Kind::ProcessEnd };
                let code = code.map_or_else(String::new, |code| code.to_string());
                let text = format!("{pid}|{code}|{attempt}|{container}");
                (kind, self.nodes.of(node), Some(self.object(pod)), None, text)
            }
            What::Actor { turn, actor, life } => {
                let (kind, text) = match turn {
                    Turn::Start => (Kind::ActorStart, ""),
                    Turn::Crash => (Kind::ActorCrash, "crashes"),
                    Turn::Stop => (Kind::ActorCrash, "has ended"),
                    Turn::Freeze => (Kind::ActorFreeze, ""),
                    Turn::Thaw => (Kind::ActorThaw, ""),
                };
                (kind, self.life(actor, *life), None, None, text.to_owned())
            }
            What::Node { up, node } => {
                let kind = if *up { Kind::NodeUp } else { Kind::NodeDown };
                (kind, self.nodes.of(node), None, None, String::new())
            }
            What::Fault { text, .. } => (Kind::Fault, 0, None, None, text.clone()),
            What::Heal { .. } => (Kind::Heal, 0, None, None, String::new()),
            What::Violation(one) => (Kind::Violation, 0, None, None, one.text.clone()),
            What::End { .. } => (Kind::End, 0, None, None, String::new()),
        }
    }

    /// A text as its template, and what fills it: words with a digit in them, as these are what differs.
    fn text(&mut self, text: &str, out: &mut Letters) {
        if text.is_empty() {
            return out.push(0);
        }
        let (mut template, mut fill) = (Vec::new(), Vec::new());
        let mut rest = text;
        while !rest.is_empty() {
            let of_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            let end = rest.find(|c| !of_word(c)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            let number = word.parse().ok().filter(|number: &u64| *number < 1 << 30 && number.to_string() == word);
            if let Some(number) = number {
                template.push(Part::Number);
                fill.push(number);
            } else if word.contains(|c: char| c.is_ascii_digit()) {
                template.push(Part::Word);
                fill.push(self.words.of(word));
            } else {
                append(&mut template, word);
            }
            let end = after.find(of_word).unwrap_or(after.len());
            let (between, after) = after.split_at(end);
            append(&mut template, between);
            rest = after;
        }
        out.push(self.templates.of(template.as_slice()) + 1);
        fill.into_iter().for_each(|one| out.push(one));
    }
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// Stands there as it is.
    Text(String),
    /// The next number says which of the words stands there.
    Word,
    /// The next number stands there.
    Number,
}

impl Part {
    fn shown(&self) -> Value {
        match self {
            Part::Text(text) => text.as_str().into(),
            Part::Word => 0.into(),
            Part::Number => 1.into(),
        }
    }
}

fn append(template: &mut Vec<Part>, more: &str) {
    match template.last_mut() {
        _ if more.is_empty() => {}
        Some(Part::Text(text)) => text.push_str(more),
        _ => template.push(Part::Text(more.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::record;
    use super::*;

    fn packed(lines: &str) -> Packed {
        let header = r#"{"trace":"miniku","version":1,"title":"t","actors":[{"name":"apiserver"}]}"#;
        pack(&record::read(&format!("{header}\n{}\n", lines.trim())).expect("the lines are right"))
    }

    fn numbers(letters: &str) -> Vec<u64> {
        let (mut list, mut number, mut weight) = (Vec::new(), 0, 1);
        for letter in letters.bytes() {
            let letter = match letter {
                b' ' => b'<',
                b'!' => b'\\',
                letter => letter,
            };
            let digit = u64::from(letter - b'#');
            if digit < RADIX {
                list.push(number + digit * weight);
                (number, weight) = (0, 1);
            } else {
                number += (digit - RADIX) * weight;
                weight *= RADIX;
            }
        }
        list
    }

    #[test]
    fn numbers_survive_as_harmless_letters() {
        let list = [0, 45, 46, 47, 2115, 2116, 1_000_000_007, u64::MAX / 100];
        let mut letters = Letters::default();
        list.iter().for_each(|number| letters.push(*number));
        (0..3000).for_each(|number| letters.push(number));
        assert!(letters.0.chars().all(|c| (' '..='~').contains(&c) && !"\"<\\".contains(c)), "{}", letters.0);
        assert_eq!(numbers(&letters.0)[..list.len()], list);
        assert_eq!(numbers(&letters.0)[list.len()..], (0..3000).collect::<Vec<_>>());
    }

    #[test]
    fn a_left_out_cause_is_replaced_by_its_own() {
        let all = packed(
            r#"
            {"seq":1,"t":1,"what":"actor","op":"start","actor":"apiserver","life":1}
            {"seq":4,"t":2,"cause":1,"what":"step","actor":"apiserver","life":1,"in":"wakes","beat":true}
            {"seq":5,"t":3,"cause":4,"what":"step","actor":"apiserver","life":1,"in":"wakes","beat":true}
            {"seq":6,"t":4,"cause":5,"what":"step","actor":"apiserver","life":1,"in":"wakes","out":["x"]}
            {"seq":7,"t":5,"cause":6,"what":"step","actor":"apiserver","life":1,"in":"wakes","beat":true}"#,
        );
        // The start, the beat that step 6 names, and step 6.
        assert_eq!(numbers(all.data["columns"]["seq"].as_str().expect("a column")), [1, 4, 1]);
        assert_eq!(numbers(all.data["columns"]["cause"].as_str().expect("a column")), [0, 2, 2]);
        assert_eq!((all.left_out, all.headless), (LeftOut { beats: 2, chatter: 0 }, false));
    }

    #[test]
    fn a_cause_outside_of_the_trace_is_told() {
        let all = packed(r#"{"seq":9,"t":1,"cause":3,"what":"heal","id":1}"#);
        assert_eq!(numbers(all.data["columns"]["cause"].as_str().expect("a column")), [1]);
        assert!(all.headless);
    }

    #[test]
    fn texts_that_differ_in_names_and_numbers_share_a_template() {
        let all = packed(
            r#"
            {"seq":1,"t":1,"what":"step","actor":"s","life":1,"in":"sees +po/web-1@7(Pending)"}
            {"seq":2,"t":1,"what":"step","actor":"s","life":1,"in":"sees +po/db-4@19(Pending)"}"#,
        );
        assert_eq!(all.data["templates"], json!([["sees +po/", 0, "@", 1, "(Pending)"]]));
        assert_eq!(all.data["words"], json!(["web-1", "db-4"]));
        assert_eq!(numbers(all.data["columns"]["text"].as_str().expect("a column")), [1, 0, 7, 1, 1, 19]);
    }

    #[test]
    fn objects_of_one_name_are_told_apart_by_uid() {
        let all = packed(
            r#"
            {"seq":1,"t":1,"what":"step","actor":"s","life":1,"in":"x","about":"Pod/default/a"}
            {"seq":2,"t":1,"what":"write","op":"create","about":"Pod/default/a","uid":"1"}
            {"seq":3,"t":1,"what":"write","op":"delete","about":"Pod/default/a","uid":"1"}
            {"seq":4,"t":1,"what":"write","op":"create","about":"Pod/default/a","uid":"2"}
            {"seq":5,"t":1,"what":"process","op":"end","node":"n","pod":"default/a","uid":"1","container":"c","attempt":0,"pid":5}
            {"seq":6,"t":1,"what":"step","actor":"s","life":1,"in":"x","about":"Pod/default/a"}"#,
        );
        assert_eq!(numbers(all.data["columns"]["about"].as_str().expect("a column")), [1, 1, 1, 2, 1, 2]);
    }

    #[test]
    fn a_node_is_silent_when_its_lease_is_overdue() {
        let lease = |seq: u64, at: u64, node: &str| {
            format!(
                r#"{{"seq":{seq},"t":{at},"what":"write","op":"update","about":"Lease/kube-node-lease/{node}","beat":true}}"#
            )
        };
        let lines = [lease(1, 0, "a"), lease(2, 1, "b"), lease(3, 5, "a"), lease(4, 6, "b"), lease(5, 10, "a")];
        let later = [lease(6, 15, "a"), lease(7, 40, "b"), lease(8, 41, "a")];
        let all = packed(&[lines.join("\n"), later.join("\n")].join("\n"));
        assert_eq!(all.data["silences"], json!([[0, 20, 41], [1, 11, 40]]));
    }
}
