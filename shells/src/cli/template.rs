//! JSONPath templates: `{.metadata.name}`, `{range .items[*]}{.metadata.name}{"\n"}{end}`.
//!
//! Names, quoted names, indices, slices, unions, `*`, `..`, filters with one comparison, `range` and `end`, texts. Source:
//! Kubernetes documentation, "JSONPath Support".

use serde_json::Value;

/// A template, read once.
#[derive(Clone, Debug, PartialEq)]
pub struct Template(Vec<Part>);

/// A path alone, as columns and `--sort-by` have it.
#[derive(Clone, Debug, PartialEq)]
pub struct Path(Vec<Step>);

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Path(Path),
    Range(Path, Vec<Part>),
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    /// A field.
    Name(String),
    /// A field whose name was quoted. kubectl takes the name for a path; so it is here, if there is no such field.
    Quoted(String, Path),
    /// All items or fields.
    All,
    /// Items from here to there, each so many; ends may be counted from the end.
    Slice(Option<i64>, Option<i64>, i64),
    /// What several steps lead to.
    Union(Vec<Step>),
    /// The value and everything in it.
    Within,
    /// The items for which something holds.
    Where(Condition),
}

#[derive(Clone, Debug, PartialEq)]
enum Condition {
    There(Path),
    Compared(Operand, Operator, Operand),
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Path(Path),
    Value(Value),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operator {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What is read deeper than this was made to hurt.
const DEPTH_MAX: usize = 32;

impl Template {
    /// Reads a template. Text outside of braces is itself.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text;
        let parts = parts(&mut rest, 0)?;
        match rest.is_empty() {
            true => Ok(Template(parts)),
            false => Err("{end} without {range}".into()),
        }
    }

    /// What it makes of a value. What is not there is nothing.
    pub fn of(&self, value: &Value) -> String {
        let mut out = String::new();
        write(&self.0, value, &mut out);
        out
    }
}

fn write(parts: &[Part], at: &Value, out: &mut String) {
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Path(path) => {
                let found: Vec<String> = path.find(at).into_iter().map(shown).collect();
                out.push_str(&found.join(" "));
            }
            Part::Range(path, inner) => {
                for item in path.find(at) {
                    write(inner, item, out);
                }
            }
        }
    }
}

/// A value as text: strings without quotes, all else as JSON.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Reads up to `{end}` or to the end; what follows is left in `rest`.
fn parts(rest: &mut &str, depth: usize) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    if depth > DEPTH_MAX {
        return Err("too many {range} within each other".into());
    }
    while !rest.is_empty() {
        let Some(open) = rest.find('{') else {
            parts.push(Part::Text(std::mem::take(rest).to_owned()));
            break;
        };
        if open > 0 {
            parts.push(Part::Text(rest[..open].to_owned()));
        }
        let inside = &rest[open + 1..];
        let close = closing(inside, '}').ok_or_else(|| format!("unclosed action: {{{inside}"))?;
        let after = &inside[close + 1..];
        let action = inside[..close].trim();
        if action == "end" {
            // The one who began the range takes it.
            if depth > 0 {
                *rest = after;
                return Ok(parts);
            }
            return Err("{end} without {range}".into());
        }
        *rest = after;
        if let Some(path) = action.strip_prefix("range ") {
            let path = Path::parse(path)?;
            parts.push(Part::Range(path, self::parts(rest, depth + 1)?));
        } else if let Some(text) = quoted(action) {
            parts.push(Part::Text(text));
        } else {
            parts.push(Part::Path(Path::parse(action)?));
        }
    }
    if depth > 0 {
        return Err("{range} without {end}".into());
    }
    Ok(parts)
}

/// Where something ends that was opened before `text`; quotes may hold anything, and brackets each other.
fn closing(text: &str, close: char) -> Option<usize> {
    let (mut quote, mut escaped, mut inner) = (None, false, 0_usize);
    let open = match close {
        '}' => '{',
        ')' => '(',
        _ => '[',
    };
    for (at, c) in text.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (_, '\\') => escaped = true,
            (Some(opened), _) if opened == c => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, _) if c == open => inner += 1,
            (None, _) if c == close && inner == 0 => return Some(at),
            (None, _) if c == close => inner -= 1,
            _ => {}
        }
    }
    None
}

/// The text within quotes, with Go's escapes.
fn quoted(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let inside = text[1..].strip_suffix(quote)?;
    let (mut out, mut chars) = (String::new(), inside.chars());
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(match chars.next()? {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                other => other,
            }),
            c if c == quote => return None,
            c => out.push(c),
        }
    }
    Some(out)
}

impl Path {
    /// Reads a path; the dot before its first name may be missing, and braces may stand around it.
    pub fn parse(text: &str) -> Result<Self, String> {
        Path::parse_at(text, 0)
    }

    fn parse_at(text: &str, depth: usize) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no path; an example is .metadata.name");
        if depth > DEPTH_MAX {
            return Err(wrong());
        }
        let text = text.trim();
        let mut rest = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text).trim();
        rest = rest.strip_prefix(['$', '@']).unwrap_or(rest);
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix("..") {
                steps.push(Step::Within);
                // A name may follow without a dot of its own.
                rest = after;
                if rest.starts_with('[') || rest.is_empty() {
                    continue;
                }
            } else if let Some(after) = rest.strip_prefix('[') {
                let end = closing(after, ']').ok_or_else(wrong)?;
                steps.push(bracket(after[..end].trim(), depth).ok_or_else(wrong)?);
                rest = &after[end + 1..];
                continue;
            } else if let Some(after) = rest.strip_prefix('.') {
                rest = after;
                if rest.is_empty() && steps.is_empty() || rest.starts_with('[') {
                    continue;
                }
            } else if !steps.is_empty() {
                return Err(wrong());
            }
            let (name, after) = name(rest);
            match name.as_str() {
                "" => return Err(wrong()),
                "*" => steps.push(Step::All),
                _ if name.contains([' ', '(', ')', '{', '}', '"', '\'', ']']) => return Err(wrong()),
                _ => steps.push(Step::Name(name)),
            }
            rest = after;
        }
        Ok(Path(steps))
    }

    /// The values that it leads to, in order.
    pub fn find<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        let mut found = vec![value];
        for step in &self.0 {
            found = match step {
                // All of the first, then all of the second.
                Step::Union(steps) => {
                    steps.iter().flat_map(|step| found.iter().flat_map(|value| step.of(value))).collect()
                }
                step => found.into_iter().flat_map(|value| step.of(value)).collect(),
            };
        }
        found
    }

    /// The first value that it leads to; null if there is none.
    pub fn first<'a>(&self, value: &'a Value) -> &'a Value {
        self.find(value).into_iter().next().unwrap_or(&Value::Null)
    }
}

/// A name up to the next dot or bracket; a backslash takes the next character as it is.
fn name(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '.' | '[' => return (name, &text[at..]),
            '\\' => name.extend(chars.next().map(|(_, c)| c)),
            _ => name.push(c),
        }
    }
    (name, "")
}

fn bracket(inside: &str, depth: usize) -> Option<Step> {
    if inside == "*" {
        return Some(Step::All);
    }
    if let Some(condition) = inside.strip_prefix("?(").and_then(|inside| inside.strip_suffix(')')) {
        return condition_of(condition.trim(), depth + 1).map(Step::Where);
    }
    let several: Vec<&str> = separated(inside);
    if several.len() > 1 {
        return several.into_iter().map(|one| bracket(one.trim(), depth)).collect::<Option<_>>().map(Step::Union);
    }
    if let Some(name) = quoted(inside) {
        let path = Path::parse_at(&name, depth + 1).unwrap_or(Path(vec![Step::Name(name.clone())]));
        return Some(Step::Quoted(name, path));
    }
    let number = |text: &str| match text.trim() {
        "" => Some(None),
        text => text.parse::<i64>().ok().map(Some),
    };
    match inside.split(':').collect::<Vec<_>>().as_slice() {
        [one] => {
            let at: i64 = one.trim().parse().ok()?;
            // -1 is the last: what follows it is the end.
            Some(Step::Slice(Some(at), if at == -1 { None } else { at.checked_add(1) }, 1))
        }
        [from, to] => Some(Step::Slice(number(from)?, number(to)?, 1)),
        [from, to, step] => Some(Step::Slice(number(from)?, number(to)?, number(step)?.unwrap_or(1))),
        _ => None,
    }
}

/// At commas outside of quotes.
fn separated(text: &str) -> Vec<&str> {
    let (mut parts, mut from, mut quote) = (Vec::new(), 0, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (None, ',') => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

fn condition_of(text: &str, depth: usize) -> Option<Condition> {
    const OPERATORS: [(&str, Operator); 6] = [
        ("==", Operator::Equal),
        ("!=", Operator::Unequal),
        ("<=", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("<", Operator::Less),
        (">", Operator::Greater),
    ];
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (None, _) => {
                if let Some((sign, operator)) = OPERATORS.iter().find(|(sign, _)| text[at..].starts_with(sign)) {
                    let (left, right) = (operand(&text[..at], depth)?, operand(&text[at + sign.len()..], depth)?);
                    return Some(Condition::Compared(left, *operator, right));
                }
            }
            _ => {}
        }
    }
    text.starts_with('@').then(|| Path::parse_at(text, depth).ok()).flatten().map(Condition::There)
}

fn operand(text: &str, depth: usize) -> Option<Operand> {
    let text = text.trim();
    if text.starts_with('@') {
        return Path::parse_at(text, depth).ok().map(Operand::Path);
    }
    match quoted(text) {
        Some(text) => Some(Operand::Value(text.into())),
        None => serde_json::from_str(text).ok().map(Operand::Value),
    }
}

impl Step {
    fn of<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match (self, value) {
            (Step::Name(name), Value::Object(_)) => value.get(name).into_iter().collect(),
            (Step::Quoted(name, path), Value::Object(fields)) => match fields.get(name) {
                Some(value) => vec![value],
                None => path.find(value),
            },
            (Step::All, Value::Array(items)) => items.iter().collect(),
            (Step::All, Value::Object(fields)) => fields.values().collect(),
            (Step::Slice(from, to, step), Value::Array(items)) => slice(items, *from, *to, *step),
            (Step::Union(steps), _) => steps.iter().flat_map(|step| step.of(value)).collect(),
            (Step::Within, _) => {
                let (mut all, mut next) = (Vec::new(), vec![value]);
                while let Some(value) = next.pop() {
                    all.push(value);
                    match value {
                        Value::Array(items) => next.extend(items.iter().rev()),
                        Value::Object(fields) => next.extend(fields.values().rev()),
                        _ => {}
                    }
                }
                all
            }
            (Step::Where(condition), Value::Array(items)) => {
                items.iter().filter(|item| condition.holds(item)).collect()
            }
            _ => Vec::new(),
        }
    }
}

fn slice(items: &[Value], from: Option<i64>, to: Option<i64>, step: i64) -> Vec<&Value> {
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let place = |at: i64| if at < 0 { at.saturating_add(length).max(-1) } else { at.min(length) };
    let from = from.map_or(0, place);
    // An item before the first is none, rather than the first.
    let (from, to) = (from, to.map_or(length, place));
    if step <= 0 || from < 0 {
        return Vec::new();
    }
    let span = usize::try_from(to.saturating_sub(from)).unwrap_or(0);
    let from = usize::try_from(from).unwrap_or(0);
    items.iter().skip(from).take(span).step_by(usize::try_from(step).unwrap_or(1)).collect()
}

impl Condition {
    fn holds(&self, item: &Value) -> bool {
        match self {
            Condition::There(path) => !path.find(item).is_empty(),
            Condition::Compared(left, operator, right) => {
                let (Some(left), Some(right)) = (left.of(item), right.of(item)) else { return false };
                let order = match (left, right) {
                    (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()),
                    (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
                    (a, b) => (a == b).then_some(std::cmp::Ordering::Equal),
                };
                match operator {
                    Operator::Equal => order.is_some_and(std::cmp::Ordering::is_eq),
                    Operator::Unequal => !order.is_some_and(std::cmp::Ordering::is_eq),
                    Operator::Less => order.is_some_and(std::cmp::Ordering::is_lt),
                    Operator::LessOrEqual => order.is_some_and(std::cmp::Ordering::is_le),
                    Operator::Greater => order.is_some_and(std::cmp::Ordering::is_gt),
                    Operator::GreaterOrEqual => order.is_some_and(std::cmp::Ordering::is_ge),
                }
            }
        }
    }
}

impl Operand {
    fn of<'a>(&'a self, item: &'a Value) -> Option<&'a Value> {
        match self {
            Operand::Path(path) => path.find(item).into_iter().next(),
            Operand::Value(value) => Some(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object() -> Value {
        json!({"kind": "List", "items": [
            {"metadata": {"name": "a", "labels": {"app.x/y": "1"}}, "status": {"capacity": {"cpu": 4}, "ready": true}},
            {"metadata": {"name": "b"}, "status": {"capacity": {"cpu": 8}}, "addresses": [{"type": "A", "ip": "1"}, {"type": "B", "ip": "2"}]},
        ], "empty": []})
    }

    /// The examples of Kubernetes' page, and what users combine them to.
    #[test]
    fn templates_say_what_they_say_for_kubectl() {
        let check = |text: &str, want: &str| {
            let template = Template::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(template.of(&object()), want, "{text}");
        };
        check("kind is {.kind}", "kind is List");
        check("{.kind}", "List");
        check("{['kind']}", "List");
        check("{@.kind}", "List");
        check("{$.kind}", "List");
        check("{.items[*].metadata.name}", "a b");
        check("{.items[*]['metadata.name', 'status.capacity']}", r#"a b {"cpu":4} {"cpu":8}"#);
        check("{.items[0].metadata.labels['app.x/y']}", "1");
        check("{.items[0]['metadata', 'status'].name}", "a");
        check("{.items[1].status.capacity}", "{\"cpu\":8}");
        check("{.items[?(@.metadata.name==\"b\")].status.capacity.cpu}", "8");
        check("{.items[?(@.status.capacity.cpu>4)].metadata.name}", "b");
        check("{.items[?(@.status.ready==true)].metadata.name}", "a");
        check("{.items[?(@.addresses)].addresses[?(@.type!='A')].ip}", "2");
        check("{range .items[*]}[{.metadata.name}, {.status.capacity.cpu}] {end}", "[a, 4] [b, 8] ");
        check("{range .items[*]}{.metadata.name}{'\\n'}{end}", "a\nb\n");
        check("{range .items[*]}{range .addresses[*]}{.ip}{\"\\t\"}{end}{end}.", "1\t2\t.");
        check("{.items[-1].metadata.name}{.items[-1:].metadata.name}", "bb");
        check("{.items[0:1].metadata.name}{.items[::2].metadata.name}{.items[1:].metadata.name}", "aab");
        check("{..name}", "a b");
        check("{.items[0].metadata.labels.app\\.x/y}", "1");
        check("{.items[7].metadata.name}{.items[-7].metadata.name}{.nothing.at.all}{.empty[0]}", "");
        check("{.items[*].status['capacity'].*}", "4 8");
        check("", "");
    }

    #[test]
    fn what_is_no_template_is_told() {
        for wrong in
            ["{.a", "{end}", "{range .a}", "{.a..}x{", "{.a[}", "{.a[?(x)]}", "{a b}", "{.a[1:2:3:4]}", "{.a.}"]
        {
            assert!(Template::parse(wrong).is_err(), "{wrong}: {:?}", Template::parse(wrong));
        }
        let deep = "{range .a}".repeat(10_000);
        assert!(Template::parse(&deep).is_err());
        let deep = format!("{{{}", ".a[?(@".repeat(10_000));
        assert!(Template::parse(&deep).is_err());
    }
}
