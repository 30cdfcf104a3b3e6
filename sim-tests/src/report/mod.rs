//! A trace as a page: one HTML file that a browser opens offline, for people who want to see what a cluster did.
//!
//! [`record`] reads the lines and refuses what is wrong with them, [`pack`] makes them small. What can be said in words
//! is written into the page here, so that it can be read without its script: verdict, configuration, plan, what
//! happened. `page.js` unpacks the rest, lays it out in lanes over time, and draws.

mod pack;
mod record;

use pack::LeftOut;
pub use record::BadTrace;
use record::{Entry, Op, Record, Turn, Violation, What};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// As many turns of the run are told in words; the timeline has all.
const TURNS: usize = 200;
/// As many causes of a violation are told in words; the timeline has all.
const CAUSES: usize = 30;

/// Makes the page of a trace.
pub fn html(trace: &str) -> Result<String, BadTrace> {
    let record = record::read(trace)?;
    let packed = pack::pack(&record);
    let story = Story::of(&record, packed.left_out, packed.headless);
    // In a script, `</script>` would end it; in JSON, `<` only stands in texts.
    let data = packed.data.to_string().replace('<', "\\u003c");
    let mut page = String::with_capacity(data.len() + (1 << 17));
    let (head, rest) = PAGE.split_once("{{").expect("the page has holes");
    page.push_str(head);
    for part in rest.split("{{") {
        let (hole, rest) = part.split_once("}}").expect("a hole ends");
        match hole {
            "title" => page.push_str(&escaped(&story.title())),
            "style" => page.push_str(include_str!("page.css")),
            "verdict" => story.verdict(&mut page),
            "summary" => story.summary(&mut page),
            "data" => page.push_str(&data),
            "script" => page.push_str(include_str!("page.js")),
            hole => unreachable!("nothing fills {hole}"),
        }
        page.push_str(rest);
    }
    Ok(page)
}

const PAGE: &str = include_str!("page.html");

/// How many of what there were.
#[derive(Default)]
struct Counts {
    steps: usize,
    writes: usize,
    starts: usize,
    ends: usize,
    crashes: usize,
    faults: usize,
    pods: BTreeSet<String>,
    nodes: BTreeSet<String>,
}

/// What is said in words.
struct Story<'a> {
    record: &'a Record,
    left_out: LeftOut,
    headless: bool,
    counts: Counts,
    violations: Vec<(&'a Entry, &'a Violation)>,
    end: Option<(&'a str, u64)>,
}

impl<'a> Story<'a> {
    fn of(record: &'a Record, left_out: LeftOut, headless: bool) -> Self {
        let mut story =
            Story { record, left_out, headless, counts: Counts::default(), violations: Vec::new(), end: None };
        let counts = &mut story.counts;
        counts.nodes.extend(record.header.actors.iter().filter_map(|actor| actor.node.clone()));
        for entry in &record.entries {
            match &entry.what {
                What::Step { .. } => counts.steps += 1,
                What::Write { about, .. } => {
                    counts.writes += 1;
                    if about.key.starts_with("Pod/") {
                        counts.pods.insert(about.uid.clone().unwrap_or_else(|| about.key.clone()));
                    }
                }
                What::Process { start: true, .. } => counts.starts += 1,
                What::Process { start: false, .. } => counts.ends += 1,
                What::Actor { turn: Turn::Crash, .. } => counts.crashes += 1,
                What::Actor { .. } | What::Heal { .. } => {}
                What::Node { node, .. } => {
                    counts.nodes.insert(node.clone());
                }
                What::Fault { .. } => counts.faults += 1,
                What::Violation(one) => story.violations.push((entry, one)),
                What::End { digest, events } => story.end = Some((digest, *events)),
            }
        }
        story
    }

    fn recorded(&self) -> bool {
        self.record.header.title == "recording"
    }

    fn title(&self) -> String {
        let header = &self.record.header;
        let seed = header.seed.map_or_else(String::new, |seed| format!(", seed {seed}"));
        format!("{}{seed}", header.title)
    }

    fn verdict(&self, page: &mut String) {
        let (class, mark, verdict) = match self.violations.as_slice() {
            [] if self.recorded() => ("open", "●", "Recorded: no checkers looked on".into()),
            [] if self.end.is_none() => {
                ("open", "●", "Nothing was violated in what is here, but the end is missing".into())
            }
            [] if self.headless => ("good", "✓", "All held (the beginning is missing here)".into()),
            [] => ("good", "✓", "All held: no checker found anything wrong".into()),
            [(_, one)] => ("bad", "✗", format!("Violated: {}", one.name)),
            more => ("bad", "✗", format!("{} violations, the first: {}", more.len(), more[0].1.name)),
        };
        let _ = write!(page, "<p class=\"verdict {class}\"><b>{mark}</b> {}</p>", escaped(&verdict));
    }

    fn summary(&self, page: &mut String) {
        self.cuts(page);
        for (entry, violation) in &self.violations {
            self.violation(entry, violation, page);
        }
        self.numbers(page);
        page.push_str("<div class=\"told\">");
        let lines = |title: &str, lines: &[String], page: &mut String| {
            if !lines.is_empty() {
                let lines: Vec<String> = lines.iter().map(|line| escaped(line)).collect();
                let _ = write!(page, "<section><h2>{title}</h2><pre>{}</pre></section>", lines.join("\n"));
            }
        };
        lines("What is done to the cluster", &self.record.header.plan, page);
        lines("What happened", &self.turns(), page);
        lines("The cluster", &self.record.header.cluster, page);
        page.push_str("</div>");
    }

    /// What of the run is not in the trace.
    fn cuts(&self, page: &mut String) {
        let from = self.record.entries.first().map_or(0, |first| first.at);
        let mut cuts = Vec::new();
        if self.headless {
            cuts.push(format!(
                "The beginning is missing: the trace starts at t={}, and some causes lie before it.",
                secs(from)
            ));
        }
        if self.record.torn {
            cuts.push("The last line is torn: the writer was stopped in the middle of it.".into());
        } else if self.end.is_none() {
            cuts.push("The end is missing: the trace was cut, or the writer was stopped.".into());
        }
        for cut in cuts {
            let _ = write!(page, "<p class=\"cut\">{cut}</p>");
        }
    }

    fn violation(&self, entry: &Entry, violation: &Violation, page: &mut String) {
        let _ = write!(
            page,
            "<section class=\"violation\"><h2>{} <small>at t={}</small></h2><p>Must always hold: <q>{}</q></p>\
             <p>But: <strong>{}</strong></p>",
            escaped(&violation.name),
            secs(entry.at),
            escaped(&violation.statement),
            escaped(&violation.text)
        );
        if !violation.objects.is_empty() {
            let links = violation.objects.iter().map(|key| link(key)).collect::<Vec<_>>();
            let _ = write!(page, "<p>It is about {}.</p>", links.join(", "));
        }
        let past = self.past(entry);
        let cut = if past.len() > CAUSES { ", the last of them" } else { "" };
        let _ = write!(page, "<details open><summary>What led to it{cut}</summary><ol class=\"past\">");
        for cause in &past[past.len().saturating_sub(CAUSES)..] {
            let text = telling(cause, &BTreeMap::new());
            let _ = write!(page, "<li><a href=\"#seq={}\">t={}</a> {}</li>", cause.seq, secs(cause.at), escaped(&text));
        }
        let _ =
            write!(page, "</ol></details><p><a href=\"#seq={}\">Show it in the timeline</a></p></section>", entry.seq);
    }

    /// The causes of an entry, first to last.
    fn past(&self, of: &Entry) -> Vec<&'a Entry> {
        let entries = &self.record.entries;
        let (mut past, mut cause, mut after) = (Vec::new(), of.cause, of.seq);
        while let Some(seq) = cause.filter(|seq| *seq < after) {
            let Ok(at) = entries.binary_search_by_key(&seq, |entry| entry.seq) else { break };
            past.push(&entries[at]);
            (cause, after) = (entries[at].cause, seq);
        }
        past.reverse();
        past
    }

    fn numbers(&self, page: &mut String) {
        let counts = &self.counts;
        let lasts = self.record.entries.last().map_or(0, |last| last.at);
        let mut numbers = vec![("virtual time", format!("{} s", secs(lasts)))];
        if let Some(seed) = self.record.header.seed {
            numbers.insert(0, ("seed", seed.to_string()));
        }
        let counted = [
            ("nodes", counts.nodes.len()),
            ("pods", counts.pods.len()),
            ("steps of programs", counts.steps),
            ("durable writes", counts.writes),
            ("processes started", counts.starts),
            ("processes ended", counts.ends),
            ("faults", counts.faults),
            ("crashes of programs", counts.crashes),
        ];
        numbers.extend(counted.map(|(what, count)| (what, thousands(count as u64))));
        if let Some((digest, events)) = self.end {
            numbers.push(("events in all", thousands(events)));
            numbers.push(("digest", digest.to_owned()));
        }
        if self.left_out.beats > 0 {
            numbers.push(("heartbeats, not drawn", thousands(self.left_out.beats as u64)));
        }
        if self.left_out.chatter > 0 {
            numbers.push(("about Events, not drawn", thousands(self.left_out.chatter as u64)));
        }
        page.push_str("<dl class=\"numbers\">");
        for (what, number) in numbers {
            let _ = write!(page, "<div><dt>{what}</dt><dd>{}</dd></div>", escaped(&number));
        }
        page.push_str("</dl>");
    }

    /// The turns of the run: what was done to it, who came and went.
    fn turns(&self) -> Vec<String> {
        let mut faults = BTreeMap::new();
        let mut turns = Vec::new();
        for entry in &self.record.entries {
            if let What::Fault { id, text, .. } = &entry.what {
                faults.insert(*id, text.as_str());
            }
            let turns_it = match &entry.what {
                What::Step { actor, out, .. } => actor == "operator" && !out.is_empty(),
                What::Actor { turn, life, .. } => *turn != Turn::Start || *life > 1,
                What::Node { .. } | What::Fault { .. } | What::Heal { .. } | What::Violation(_) => true,
                What::Write { .. } | What::Process { .. } | What::End { .. } => false,
            };
            if turns_it {
                turns.push(format!("{:>10}  {}", secs(entry.at), telling(entry, &faults)));
            }
        }
        if turns.len() > TURNS {
            let more = turns.len() - TURNS;
            turns.truncate(TURNS);
            turns.push(format!("{:>10}  and {more} more", ""));
        }
        turns
    }
}

/// One entry in words; `faults` has the texts of those that struck.
fn telling(entry: &Entry, faults: &BTreeMap<u64, &str>) -> String {
    match &entry.what {
        What::Step { actor, input, out, .. } if out.is_empty() => format!("{actor}: {input}"),
        What::Step { actor, input, out, .. } => format!("{actor}: {input} -> {}", out.join("; ")),
        What::Write { op, about, is, .. } => {
            let op = match op {
                Op::Create => "created",
                Op::Update => "changed",
                Op::Delete => "gone",
            };
            format!("{} is {op}{}", about.key, is.as_ref().map_or_else(String::new, |is| format!(": {}", shown(is))))
        }
        What::Process { start: true, node, pod, container, pid, .. } => {
            format!("process {pid} of {}/{container} starts on {node}", pod.key)
        }
        What::Process { start: false, node, pod, container, pid, code, .. } => {
            let code = code.map_or_else(String::new, |code| format!(" with {code}"));
            format!("process {pid} of {}/{container} ends on {node}{code}", pod.key)
        }
        What::Actor { turn: Turn::Start, actor, life } => format!("{actor} starts its life {life}"),
        What::Actor { turn: Turn::Crash, actor, .. } => format!("{actor} crashes"),
        What::Actor { turn: Turn::Stop, actor, .. } => format!("{actor} has ended"),
        What::Actor { turn: Turn::Freeze, actor, .. } => format!("{actor} freezes"),
        What::Actor { turn: Turn::Thaw, actor, .. } => format!("{actor} goes on"),
        What::Node { up: true, node } => format!("{node} has power again"),
        What::Node { up: false, node } => format!("{node} loses power"),
        What::Fault { text, .. } => format!("fault: {text}"),
        What::Heal { id } => format!("over: {}", faults.get(id).unwrap_or(&"a fault from before")),
        What::Violation(one) => format!("VIOLATION of {}: {}", one.name, one.text),
        What::End { .. } => "the run ends".into(),
    }
}

/// What is known of an object: `phase Running, ready, node node-2`.
fn shown(is: &Value) -> String {
    let fields = is.as_object().into_iter().flatten().filter_map(|(field, value)| match value {
        Value::Null | Value::Bool(false) => None,
        Value::Bool(true) => Some(field.clone()),
        Value::String(text) => Some(format!("{field} {text}")),
        value => Some(format!("{field} {value}")),
    });
    fields.collect::<Vec<_>>().join(", ")
}

/// An object's name, which selects it in the timeline.
fn link(key: &str) -> String {
    let encoded: String = key.bytes().fold(String::new(), |mut text, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'/' => text.push(byte as char),
            _ => write!(text, "%{byte:02X}").expect("a text takes everything"),
        }
        text
    });
    format!("<a href=\"#object={encoded}\">{}</a>", escaped(key))
}

fn secs(nanos: u64) -> String {
    format!("{}.{:03}", nanos / 1_000_000_000, nanos / 1_000_000 % 1_000)
}

/// `12 345`: digits in groups of three.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        (0..digits.len()).rev().step_by(3).map(|end| &digits[(end + 1).saturating_sub(3)..=end]).collect();
    groups.into_iter().rev().collect::<Vec<_>>().join("\u{202f}")
}

/// For HTML, between tags and in attributes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_in_groups() {
        let check = |number, want: &str| assert_eq!(thousands(number).replace('\u{202f}', " "), want);
        check(0, "0");
        check(999, "999");
        check(1_000, "1 000");
        check(12_345_678, "12 345 678");
    }

    #[test]
    fn the_verdict_promises_no_more_than_was_looked_at() {
        let check = |title: &str, lines: &str, want: &str| {
            let header = serde_json::json!({"trace": "miniku", "version": 1, "title": title, "actors": []});
            let page = html(&format!("{header}\n{lines}\n")).expect("it is a trace");
            let verdict =
                page.split_once("<p class=\"verdict ").expect("there is one").1.split_once("</p>").expect("it ends").0;
            assert!(verdict.contains(want), "{lines}: {verdict}");
        };
        let end = r#"{"seq":9,"t":9,"what":"end","digest":"d","events":9}"#;
        let broken = r#"{"seq":8,"t":8,"what":"violation","name":"S-count","statement":"a","text":"b"}"#;
        check("drain", end, "All held");
        check("drain", "", "the end is missing");
        check("drain", r#"{"seq":7,"t":7,"cause":2,"what":"heal","id":1}"#, "the end is missing");
        check("recording", end, "no checkers looked on");
        check("recording", broken, "Violated: S-count");
        check("drain", &format!("{broken}\n{end}"), "Violated: S-count");
    }

    #[test]
    fn names_cannot_leave_their_place() {
        let hostile = "</script><script>alert(1)</script>{{data}}<!--";
        let header =
            serde_json::json!({"trace": "miniku", "version": 1, "title": hostile, "actors": [{"name": hostile}]});
        let step = serde_json::json!({"seq": 1, "t": 1, "what": "step", "actor": hostile, "life": 1, "in": hostile});
        let page = html(&format!("{header}\n{step}\n")).expect("it is a trace");
        assert_eq!(page.matches("</script>").count(), PAGE.matches("</script>").count());
        assert!(!page.contains("<script>alert"));
    }
}
