//! `taint`: what keeps pods from nodes, or drives them away.

use crate::cli::Session;
use crate::cli::cluster::{name, text};
use crate::cli::error::CliError;
use crate::cli::select::{self, SelectArgs};
use crate::client::wire::{self, STRATEGIC_PATCH};
use clap::Args;
use miniku_core::api::kinds::Kind;
use serde_json::{Value, json};
use std::io::Write;

/// The end of `--help`.
pub const EXAMPLE: &str = "Examples:\n  miniku taint nodes node-1 dedicated=db:NoSchedule\n  \
    miniku taint nodes --all dedicated:NoSchedule-\n  miniku taint node node-1 dedicated-";

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// Which nodes, and what.
#[derive(Args, Debug)]
pub struct TaintArgs {
    /// nodes NAME..., then KEY=VALUE:EFFECT to set, KEY:EFFECT- or KEY- to remove
    #[arg(required = true, value_name = "nodes NAME KEY=VALUE:EFFECT")]
    pub words: Vec<String>,
    /// Change what has another value
    #[arg(long)]
    pub overwrite: bool,
    /// All nodes with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "all")]
    pub selector: Option<String>,
    /// All nodes
    #[arg(long)]
    pub all: bool,
}

/// One change of a node's taints.
#[derive(Debug, PartialEq, Eq)]
enum Change<'a> {
    Set { key: &'a str, value: &'a str, effect: &'a str },
    Remove { key: &'a str, effect: Option<&'a str> },
}

/// Taints nodes.
pub fn run(args: &TaintArgs, session: &mut Session) -> Result<(), CliError> {
    let is_change = |word: &String| word.contains([':', '=']) || word.ends_with('-');
    let at = args.words.iter().position(is_change).unwrap_or(args.words.len());
    let (words, changes) = args.words.split_at(at);
    let changes = changes.iter().map(|word| change(word)).collect::<Result<Vec<_>, CliError>>()?;
    if changes.is_empty() {
        return Err(CliError::Usage("at least one taint update is required".into()));
    }
    let chosen = SelectArgs { selector: args.selector.clone(), all: args.all, ..SelectArgs::default() };
    let mut errors = Vec::new();
    for (kind, node) in select::objects(words, &chosen, session)? {
        if kind != Kind::Node {
            return Err(CliError::Usage("only nodes can be tainted".into()));
        }
        let taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
        match apply(taints, &changes, args.overwrite, name(&node)) {
            Ok(taints) => {
                let patch = json!({"metadata": {"resourceVersion": node["metadata"]["resourceVersion"]}, "spec": {"taints": taints}});
                match session.cluster.patch(
                    &wire::key(kind, "", name(&node)),
                    None,
                    STRATEGIC_PATCH,
                    &patch,
                    Vec::new(),
                ) {
                    Ok(_) => {
                        let set = changes.iter().any(|change| matches!(change, Change::Set { .. }));
                        writeln!(session.out, "node/{} {}", name(&node), if set { "tainted" } else { "untainted" })?;
                    }
                    Err(error) => errors.push(error),
                }
            }
            Err(error) => errors.push(error),
        }
    }
    session.out.flush()?;
    CliError::all(errors)
}

fn change(word: &str) -> Result<Change<'_>, CliError> {
    let wrong = |why: &str| CliError::Usage(format!("invalid taint spec: {word}, {why}"));
    let (removes, spec) = match word.strip_suffix('-') {
        Some(spec) => (true, spec),
        None => (false, word),
    };
    let (left, effect) = match spec.split_once(':') {
        Some((left, effect)) => (left, Some(effect)),
        None => (spec, None),
    };
    let (key, value) = left.split_once('=').unwrap_or((left, ""));
    if effect.is_some_and(|effect| !EFFECTS.contains(&effect)) {
        return Err(wrong(&format!("the effect must be one of {}", EFFECTS.join(", "))));
    }
    match (removes, effect) {
        _ if key.is_empty() => Err(wrong("the key is missing")),
        (true, effect) => Ok(Change::Remove { key, effect }),
        (false, Some(effect)) => Ok(Change::Set { key, value, effect }),
        (false, None) => Err(wrong("the effect is missing")),
    }
}

fn apply(mut taints: Vec<Value>, changes: &[Change], overwrite: bool, node: &str) -> Result<Vec<Value>, CliError> {
    for change in changes {
        match change {
            Change::Set { key, value, effect } => {
                let wanted = match value.is_empty() {
                    true => json!({"key": key, "effect": effect}),
                    false => json!({"key": key, "value": value, "effect": effect}),
                };
                let same = |one: &&mut Value| one["key"] == *key && one["effect"] == *effect;
                match taints.iter_mut().find(same) {
                    None => taints.push(wanted),
                    Some(_) if !overwrite => {
                        let message = format!(
                            "error: node {node} already has {key} taint(s) with same effect(s) and --overwrite is false"
                        );
                        return Err(CliError::Plain(message));
                    }
                    Some(one) => *one = wanted,
                }
            }
            Change::Remove { key, effect } => {
                let before = taints.len();
                taints.retain(|one| one["key"] != *key || effect.is_some_and(|effect| text(&one["effect"]) != effect));
                if taints.len() == before {
                    let spec = effect.map_or((*key).to_owned(), |effect| format!("{key}:{effect}"));
                    return Err(CliError::Plain(format!("error: taint {spec:?} not found")));
                }
            }
        }
    }
    Ok(taints)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taints_come_and_go() {
        let check = |taints: Value, words: &[&str], overwrite: bool, want: Result<Value, &str>| {
            let changes: Result<Vec<_>, _> = words.iter().map(|word| change(word)).collect();
            let got = changes.and_then(|changes| {
                apply(taints.as_array().unwrap().clone(), &changes, overwrite, "n").map(Value::from)
            });
            match want {
                Ok(want) => assert_eq!(got.unwrap(), want, "{words:?}"),
                Err(want) => assert!(got.as_ref().unwrap_err().to_string().contains(want), "{got:?}"),
            }
        };
        let one = json!([{"key": "a", "value": "1", "effect": "NoSchedule"}]);
        check(json!([]), &["a=1:NoSchedule"], false, Ok(one.clone()));
        check(json!([]), &["a:NoExecute"], false, Ok(json!([{"key": "a", "effect": "NoExecute"}])));
        check(one.clone(), &["a=2:NoSchedule"], false, Err("already has a taint(s)"));
        check(one.clone(), &["a=2:NoSchedule"], true, Ok(json!([{"key": "a", "value": "2", "effect": "NoSchedule"}])));
        check(one.clone(), &["a-"], false, Ok(json!([])));
        check(one.clone(), &["a:NoSchedule-"], false, Ok(json!([])));
        check(one.clone(), &["a:NoExecute-"], false, Err("taint \"a:NoExecute\" not found"));
        check(one, &["a=1"], false, Err("the effect is missing"));
        check(json!([]), &["a:Never"], false, Err("must be one of"));
        check(json!([]), &["=1:NoSchedule"], false, Err("the key is missing"));
    }
}
