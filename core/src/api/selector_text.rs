//! Selectors as they stand in a request: `app=web,tier in (a,b),!old` and `spec.nodeName=node-1`.
//!
//! What is wrong with one is said in the words that kubectl's users know, so that the reader of labels follows Kubernetes'
//! token by token.
//!
//! Source: `k8s.io/apimachinery/pkg/labels/selector.go` and `pkg/fields/selector.go`, v1.32.

use super::selector::{
    FieldRequirement, FieldSelector, LabelSelector, LabelSelectorOperator, LabelSelectorRequirement,
};
use super::validation::text;
use crate::api::text::Text;
use std::collections::BTreeSet;

/// Reads the `labelSelector` of a request: `a=b,c!=d,e in (f,g),h notin (i),j,!k`.
pub fn parse_label_selector(text: &str) -> Result<LabelSelector, String> {
    let mut tokens = Tokens { tokens: tokens(text), at: 0 };
    let mut match_expressions = Vec::new();
    loop {
        match tokens.peek() {
            (Token::Word | Token::Not, _) => {
                let one = requirement(&mut tokens).map_err(|why| format!("unable to parse requirement: {why}"))?;
                match_expressions.push(one);
                match tokens.next() {
                    (Token::End, _) => break,
                    (Token::Comma, _) => {
                        let (token, found) = tokens.peek();
                        if !matches!(token, Token::Word | Token::Not) {
                            return Err(format!("found '{found}', expected: identifier after ','"));
                        }
                    }
                    (_, found) => return Err(format!("found '{found}', expected: ',' or 'end of string'")),
                }
            }
            (Token::End, _) => break,
            (_, found) => return Err(format!("found '{found}', expected: !, identifier, or 'end of string'")),
        }
    }
    Ok(LabelSelector { match_expressions, ..Default::default() })
}

/// What a requirement may say of a label and values.
const OPERATORS: &str = "in, notin, =, ==, !=, gt, lt";

#[derive(Clone, Copy, PartialEq)]
enum Token {
    End,
    Word,
    Not,
    Comma,
    Open,
    Close,
    Operator(Operator),
}

#[derive(Clone, Copy, PartialEq)]
enum Operator {
    Equal,
    NotEqual,
    /// Both are words, too, where a word is expected.
    In,
    NotIn,
    /// `>`.
    More,
    /// `<`.
    Less,
}

struct Tokens<'a> {
    tokens: Vec<(Token, &'a str)>,
    at: usize,
}

impl<'a> Tokens<'a> {
    /// The next one as it is read where words are expected.
    fn peek(&self) -> (Token, &'a str) {
        match self.tokens.get(self.at) {
            Some((Token::Operator(Operator::In | Operator::NotIn), text)) => (Token::Word, text),
            other => other.copied().unwrap_or((Token::End, "")),
        }
    }

    fn next(&mut self) -> (Token, &'a str) {
        let next = self.peek();
        self.at += 1;
        next
    }

    /// The next one as it is read where an operator is expected.
    fn operator(&mut self) -> (Token, &'a str) {
        let next = self.tokens.get(self.at).copied().unwrap_or((Token::End, ""));
        self.at += 1;
        next
    }
}

fn tokens(text: &str) -> Vec<(Token, &str)> {
    let special = |c: char| "=!(),><".contains(c);
    let mut tokens = Vec::new();
    let mut rest = text.trim_start_matches(char::is_whitespace);
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '=' => (Token::Operator(Operator::Equal), if rest.starts_with("==") { 2 } else { 1 }),
            '!' if rest.starts_with("!=") => (Token::Operator(Operator::NotEqual), 2),
            '!' => (Token::Not, 1),
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            ',' => (Token::Comma, 1),
            '>' => (Token::Operator(Operator::More), 1),
            '<' => (Token::Operator(Operator::Less), 1),
            _ => {
                let length = rest.find(|c: char| special(c) || c.is_whitespace()).unwrap_or(rest.len());
                let token = match &rest[..length] {
                    "in" => Token::Operator(Operator::In),
                    "notin" => Token::Operator(Operator::NotIn),
                    _ => Token::Word,
                };
                (token, length)
            }
        };
        tokens.push((token, &rest[..length]));
        rest = rest[length..].trim_start_matches(char::is_whitespace);
    }
    tokens
}

fn requirement(tokens: &mut Tokens) -> Result<LabelSelectorRequirement, String> {
    use LabelSelectorOperator::{DoesNotExist, Exists, Gt, In, Lt, NotIn};
    let negated = tokens.peek().0 == Token::Not;
    if negated {
        tokens.next();
    }
    let (token, key) = tokens.next();
    if token != Token::Word {
        return Err(format!("found '{key}', expected: identifier"));
    }
    let wrong = text::qualified_name(key);
    if !wrong.is_empty() {
        // Kubernetes has no path to say here, and says so.
        return Err(format!("<nil>: Invalid value: {key:?}: {}", wrong.join("; ")));
    }
    let make = |operator, values: BTreeSet<Text>| {
        let values = values.into_iter().collect();
        LabelSelectorRequirement { key: key.into(), operator, values, ..Default::default() }
    };
    if negated {
        return Ok(make(DoesNotExist, BTreeSet::new()));
    }
    if matches!(tokens.peek().0, Token::End | Token::Comma) {
        return Ok(make(Exists, BTreeSet::new()));
    }
    let (operator, values) = match tokens.operator() {
        (Token::Operator(Operator::In), _) => (In, several(tokens)?),
        (Token::Operator(Operator::NotIn), _) => (NotIn, several(tokens)?),
        (Token::Operator(Operator::Equal), _) => (In, exactly_one(tokens)?),
        (Token::Operator(Operator::NotEqual), _) => (NotIn, exactly_one(tokens)?),
        (Token::Operator(Operator::More), _) => (Gt, exactly_one(tokens)?),
        (Token::Operator(Operator::Less), _) => (Lt, exactly_one(tokens)?),
        (_, found) => return Err(format!("found '{found}', expected: {OPERATORS}")),
    };
    let mut wrong = Vec::new();
    for (nth, value) in values.iter().enumerate() {
        if matches!(operator, Gt | Lt) && value.parse::<i64>().is_err() {
            let rule = "for 'Gt', 'Lt' operators, the value must be an integer";
            wrong.push(format!("values[{nth}]: Invalid value: {value:?}: {rule}"));
        }
        let rules = text::label_value(value);
        if !rules.is_empty() {
            wrong.push(format!("values[{nth}][{key}]: Invalid value: {value:?}: {}", rules.join("; ")));
        }
    }
    match wrong.as_slice() {
        [] => Ok(make(operator, values)),
        [one] => Err(one.clone()),
        several => Err(format!("[{}]", several.join(", "))),
    }
}

/// `(a, b)`. Nothing between commas is the empty value.
fn several(tokens: &mut Tokens) -> Result<BTreeSet<Text>, String> {
    let mut values = BTreeSet::new();
    match tokens.next() {
        (Token::Open, _) => {}
        (_, found) => return Err(format!("found '{found}' expected: '('")),
    }
    match tokens.peek() {
        (Token::Word | Token::Comma, _) => {}
        (Token::Close, _) => {
            tokens.next();
            return Ok([Text::default()].into());
        }
        (_, found) => return Err(format!("found '{found}', expected: ',', ')' or identifier")),
    }
    loop {
        match tokens.next() {
            (Token::Word, value) => {
                values.insert(value.into());
                match tokens.peek() {
                    (Token::Comma, _) => {}
                    (Token::Close, _) => break,
                    (_, found) => return Err(format!("found '{found}', expected: ',' or ')'")),
                }
            }
            (Token::Comma, _) => {
                if values.is_empty() {
                    values.insert(Text::default());
                }
                match tokens.peek().0 {
                    Token::Close => {
                        values.insert(Text::default());
                        break;
                    }
                    Token::Comma => {
                        tokens.next();
                        values.insert(Text::default());
                    }
                    _ => {}
                }
            }
            (_, found) => return Err(format!("found '{found}', expected: ',', or identifier")),
        }
    }
    // The closing one, which was seen.
    tokens.next();
    Ok(values)
}

/// One value, which may be empty.
fn exactly_one(tokens: &mut Tokens) -> Result<BTreeSet<Text>, String> {
    if matches!(tokens.peek().0, Token::End | Token::Comma) {
        return Ok([Text::default()].into());
    }
    match tokens.next() {
        (Token::Word, value) => Ok([value.into()].into()),
        (_, found) => Err(format!("found '{found}', expected: identifier")),
    }
}

/// Reads the `fieldSelector` of a request: `a=b,c==d,e!=f`. A backslash before `,`, `=` or another one makes them part of a
/// value.
pub fn parse_field_selector(text: &str) -> Result<FieldSelector, String> {
    let mut requirements = Vec::new();
    for part in split_at_commas(text).into_iter().filter(|part| !part.is_empty()) {
        let operators = [("!=", false), ("==", true), ("=", true)];
        let first = part.char_indices().find_map(|(at, _)| {
            let (operator, equal) = operators.into_iter().find(|(operator, _)| part[at..].starts_with(operator))?;
            Some((&part[..at], &part[at + operator.len()..], equal))
        });
        let Some((field, value, equal)) = first else {
            return Err(format!("invalid selector: '{text}'; can't understand '{part}'"));
        };
        requirements.push(FieldRequirement { field: field.into(), value: unescaped(value)?, equal });
    }
    Ok(FieldSelector(requirements))
}

fn split_at_commas(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn unescaped(text: &str) -> Result<String, String> {
    let mut value = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => value.push(c),
                other => {
                    let sequence = other.map_or("\\".to_owned(), |c| format!("\\{c}"));
                    return Err(format!("invalid field selector: invalid escape sequence: {sequence}"));
                }
            },
            ',' | '=' => {
                return Err(format!("invalid field selector: unescaped character in value: {}", u32::from(c)));
            }
            c => value.push(c),
        }
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::meta::Labels;

    #[test]
    fn selects_by_labels() {
        let labels: Labels =
            [("app", "web"), ("tier", "front"), ("in", ""), ("gen", "7")].map(|(k, v)| (k, v.into())).into();
        let check = |text, want| assert_eq!(parse_label_selector(text).unwrap().matches(&labels), want, "{text}");
        check("", true);
        check("app=web", true);
        check("app==web,tier=back", false);
        check(" app != db ", true);
        check("missing!=x", true);
        check("app in (db, web)", true);
        check("app notin (web)", false);
        check("missing notin (web)", true);
        check("tier", true);
        check("!tier", false);
        check("!missing, app in (web)", true);
        check("in,app in (in,web)", true);
        check("in=", true);
        check("in in ()", true);
        check("in in (,)", true);
        check("app in (a,,b)", false);
        check("gen > 6", true);
        check("gen>7", false);
        check("gen<8,gen>0", true);
        check("gen<7", false);
        check("missing<7", false);
        check("app>1", false);
    }

    #[test]
    fn what_is_wrong_with_labels_is_said_as_kubernetes_does() {
        let check = |text: &str, want: &str| {
            let got = parse_label_selector(text).unwrap_err();
            let want =
                want.strip_prefix("..").map_or(want.to_owned(), |why| format!("unable to parse requirement: {why}"));
            assert!(got == want || want.ends_with(": ") && got.starts_with(&want), "{text}: {got}");
        };
        check("app in (web", "..found '', expected: ',' or ')'");
        check("app in web", "..found 'web' expected: '('");
        check("app in (=)", "..found '=', expected: ',', ')' or identifier");
        check("a b", "..found 'b', expected: in, notin, =, ==, !=, gt, lt");
        check("a=b=c", "found '=', expected: ',' or 'end of string'");
        check("a=b c", "found 'c', expected: ',' or 'end of string'");
        check("=x", "found '=', expected: !, identifier, or 'end of string'");
        check("a,,b", "found ',', expected: identifier after ','");
        check("a,", "found '', expected: identifier after ','");
        check("!", "..found '', expected: identifier");
        check("!a=b", "found '=', expected: ',' or 'end of string'");
        check(
            "-a=b",
            "..<nil>: Invalid value: \"-a\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
        );
        check("a>b", "..values[0]: Invalid value: \"b\": for 'Gt', 'Lt' operators, the value must be an integer");
        check("a<", "..values[0]: Invalid value: \"\": for 'Gt', 'Lt' operators, the value must be an integer");
        check("a=-b", "..values[0][a]: Invalid value: \"-b\": ");
    }

    #[test]
    fn selects_by_fields() {
        let selector = parse_field_selector("spec.nodeName=node-1,status.phase!=Failed").unwrap();
        assert_eq!(selector.required("spec.nodeName"), Some("node-1"));
        assert_eq!(selector.required("status.phase"), None);
        let escaped = parse_field_selector(r"a==x\,y\=z\\,b=").unwrap();
        assert_eq!((escaped.required("a"), escaped.required("b")), (Some(r"x,y=z\"), Some("")));
        let check = |text: &str, want: &str| assert_eq!(parse_field_selector(text).unwrap_err(), want, "{text}");
        check("nodeName", "invalid selector: 'nodeName'; can't understand 'nodeName'");
        check("a=b,c", "invalid selector: 'a=b,c'; can't understand 'c'");
        check("a=b=c", "invalid field selector: unescaped character in value: 61");
        check(r"a=\b", r"invalid field selector: invalid escape sequence: \b");
    }
}
