//! `auth`: who one is, and what one may do.

use crate::cli::Session;
use crate::cli::cluster::text;
use crate::cli::error::CliError;
use crate::cli::print::{self, plain_table};
use crate::cli::yaml;
use clap::{Args, Subcommand, ValueEnum};
use miniku_core::api::kinds::Kind;
use serde_json::{Value, json};
use std::io::Write;

/// The end of `--help`.
pub const EXAMPLE: &str = "Examples:\n  miniku auth can-i create pods -n team-a\n  miniku auth can-i --list\n  \
    miniku auth whoami";
const CAN_I: &str = "Examples:\n  miniku auth can-i list deployments -A\n  miniku auth can-i get pods/web-1 --subresource=log\n  \
    miniku auth can-i get /metrics\n  miniku auth can-i --list -n team-a";
const WHOAMI: &str = "Example:\n  miniku auth whoami -o yaml";

/// What is asked.
#[derive(Args, Debug)]
pub struct AuthArgs {
    /// What is asked.
    #[command(subcommand)]
    pub what: Question,
}

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Question {
    /// Whether one may do something; ends with 0 if so
    #[command(after_help = CAN_I)]
    CanI(CanIArgs),
    /// Who the server takes one for
    #[command(after_help = WHOAMI)]
    Whoami {
        /// A table if absent
        #[arg(short, long, value_enum, value_name = "FORMAT")]
        output: Option<Structured>,
    },
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum Structured {
    Json,
    Yaml,
}

/// What one may want to do.
#[derive(Args, Debug)]
pub struct CanIArgs {
    /// A verb, and TYPE, TYPE/NAME or a path
    #[arg(value_name = "VERB WHAT", num_args = 2.., required_unless_present = "list")]
    pub wish: Vec<String>,
    /// In all namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// A part of the objects: log, scale
    #[arg(long, value_name = "PART")]
    pub subresource: Option<String>,
    /// List all that one may do
    #[arg(long, conflicts_with = "wish")]
    pub list: bool,
    /// Say nothing
    #[arg(short, long)]
    pub quiet: bool,
    /// Leave the headers out
    #[arg(long)]
    pub no_headers: bool,
}

const AUTHORIZATION: &str = "/apis/authorization.k8s.io/v1";
const AUTHENTICATION: &str = "/apis/authentication.k8s.io/v1";

/// Asks.
pub fn run(args: &AuthArgs, session: &mut Session) -> Result<(), CliError> {
    match &args.what {
        Question::CanI(args) if args.list => list(args, session),
        Question::CanI(args) => can_i(args, session),
        Question::Whoami { output } => whoami(*output, session),
    }
}

fn can_i(args: &CanIArgs, session: &mut Session) -> Result<(), CliError> {
    let [verb, what, rest @ ..] = args.wish.as_slice() else {
        return Err(CliError::Usage(
            "you must specify two arguments: verb resource or verb resource/resourceName".into(),
        ));
    };
    let spec = if what.starts_with('/') {
        json!({"nonResourceAttributes": {"verb": verb, "path": what}})
    } else {
        let (word, name) = match (what.split_once('/'), rest) {
            (Some((word, name)), []) => (word, name),
            (None, []) => (what.as_str(), ""),
            (None, [name]) => (what.as_str(), name.as_str()),
            _ => return Err(CliError::Usage("one object is asked about at a time".into())),
        };
        let (group, resource) = match (word, session.cluster.kind(word)) {
            ("*", _) => ("*".to_owned(), "*".to_owned()),
            (_, Ok(kind)) => (kind.row().group.to_owned(), kind.row().plural.to_owned()),
            // A role may be about what is not there.
            (word, Err(CliError::NoSuchKind { .. })) => {
                eprintln!("Warning: the server doesn't have a resource type '{word}'\n");
                let (plural, group) = word.split_once('.').unwrap_or((word, ""));
                (group.to_owned(), plural.to_owned())
            }
            (_, Err(error)) => return Err(error),
        };
        let namespaced = Kind::of_resource(&resource).is_none_or(|kind| kind.row().namespaced);
        if !namespaced && !args.all_namespaces {
            eprintln!("Warning: resource '{resource}' is not namespace scoped\n");
        }
        let namespace = if args.all_namespaces || !namespaced { "" } else { &session.cluster.namespace };
        json!({"resourceAttributes": {"verb": verb, "group": group, "resource": resource, "name": name,
            "namespace": namespace, "subresource": args.subresource.as_deref().unwrap_or("")}})
    };
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec});
    let answer = session.cluster.post(&format!("{AUTHORIZATION}/selfsubjectaccessreviews"), &review)?;
    let status = &answer["status"];
    let allowed = status["allowed"] == true;
    if !args.quiet {
        let said = |field: &str| Some(text(&status[field])).filter(|text| !text.is_empty());
        let why = if allowed { None } else { said("reason").map(|reason| format!(" - {reason}")) };
        let error = said("evaluationError").map(|error| format!(" - {error}"));
        let rest = [why, error].into_iter().flatten().collect::<String>();
        writeln!(session.out, "{}{rest}", if allowed { "yes" } else { "no" })?;
    }
    if allowed { Ok(()) } else { Err(CliError::Told(1)) }
}

fn list(args: &CanIArgs, session: &mut Session) -> Result<(), CliError> {
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": session.cluster.namespace}});
    let answer = session.cluster.post(&format!("{AUTHORIZATION}/selfsubjectrulesreviews"), &review)?;
    let words = |value: &Value| value.as_array().into_iter().flatten().map(text).collect::<Vec<_>>();
    let shown = |words: Vec<String>| format!("[{}]", words.join(" "));
    let mut lines = Vec::new();
    if !args.no_headers {
        lines.push(["Resources", "Non-Resource URLs", "Resource Names", "Verbs"].map(str::to_owned).to_vec());
    }
    let rules = |name: &str| answer["status"][name].as_array().cloned().unwrap_or_default();
    for rule in rules("resourceRules") {
        let groups = words(&rule["apiGroups"]);
        for resource in words(&rule["resources"]) {
            for group in &groups {
                // Source: kubectl writes `deployments.apps`, and `*.*` for all.
                let full = if group.is_empty() { resource.clone() } else { format!("{resource}.{group}") };
                lines.push(vec![full, "[]".into(), shown(words(&rule["resourceNames"])), shown(words(&rule["verbs"]))]);
            }
        }
    }
    for rule in rules("nonResourceRules") {
        lines.push(vec![
            String::new(),
            shown(words(&rule["nonResourceURLs"])),
            "[]".into(),
            shown(words(&rule["verbs"])),
        ]);
    }
    plain_table(&mut session.out, &lines)
}

fn whoami(output: Option<Structured>, session: &mut Session) -> Result<(), CliError> {
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let answer = session.cluster.post(&format!("{AUTHENTICATION}/selfsubjectreviews"), &review)?;
    match output {
        Some(Structured::Json) => return print::json(&mut session.out, &answer),
        Some(Structured::Yaml) => return Ok(write!(session.out, "{}", yaml::write(&answer)?)?),
        None => {}
    }
    let user = &answer["status"]["userInfo"];
    let words =
        |value: &Value| format!("[{}]", value.as_array().into_iter().flatten().map(text).collect::<Vec<_>>().join(" "));
    let mut lines =
        vec![vec!["ATTRIBUTE".to_owned(), "VALUE".into()], vec!["Username".into(), text(&user["username"])]];
    if !text(&user["uid"]).is_empty() {
        lines.push(vec!["UID".into(), text(&user["uid"])]);
    }
    lines.push(vec!["Groups".into(), words(&user["groups"])]);
    for (name, values) in user["extra"].as_object().into_iter().flatten() {
        lines.push(vec![format!("Extra: {name}"), words(values)]);
    }
    plain_table(&mut session.out, &lines)
}
