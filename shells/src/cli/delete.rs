//! `delete`: objects are removed, gracefully, and waited for.

use crate::cli::Session;
use crate::cli::cluster::{name, selectors, text};
use crate::cli::error::CliError;
use crate::cli::manifest::{self, FileArgs};
use crate::cli::print::Format;
use crate::cli::resource::{self, full_name, singular};
use crate::cli::wait;
use clap::{Args, ValueEnum};
use miniku_core::api::object::Key;
use miniku_core::durations;
use miniku_core::program::{DeleteOptions, Propagation};
use std::io::Write;
use std::time::{Duration, Instant};

/// The end of `--help`.
pub const EXAMPLE: &str = "Examples:\n  miniku delete pod web-1\n  miniku delete -f web.yaml\n  \
    miniku delete rs/web --cascade=orphan\n  miniku delete pods -l app=web --now\n  miniku delete pods --all -n team-a";

/// What to delete, and how.
#[derive(Args, Debug)]
pub struct DeleteArgs {
    /// TYPE NAME..., or TYPE/NAME...
    #[arg(value_name = "WHAT")]
    pub what: Vec<String>,
    /// Where the objects are.
    #[command(flatten)]
    pub files: FileArgs,
    /// All objects with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "all")]
    pub selector: Option<String>,
    /// All objects with these fields
    #[arg(long, value_name = "SELECTOR")]
    pub field_selector: Option<String>,
    /// All objects of the kind
    #[arg(long)]
    pub all: bool,
    /// In all namespaces, with --all or -l
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Seconds a pod is given to end; its own if absent or negative
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub grace_period: Option<i64>,
    /// Remove at once, whatever still runs
    #[arg(long)]
    pub force: bool,
    /// The same as --grace-period=1
    #[arg(long, conflicts_with = "grace_period")]
    pub now: bool,
    /// What becomes of the objects it owns
    #[arg(long, value_enum, default_value_t = Cascade::Background, default_missing_value = "background")]
    #[arg(num_args = 0..=1, require_equals = true)]
    pub cascade: Cascade,
    /// Whether to wait until the objects are gone
    #[arg(long, default_value_t = true, default_missing_value = "true", num_args = 0..=1, require_equals = true)]
    #[arg(action = clap::ArgAction::Set)]
    pub wait: bool,
    /// How long to wait; 0 means for ever
    #[arg(long, default_value = "0s", value_parser = durations::parse, value_name = "DURATION")]
    pub timeout: Duration,
    /// What is not there is no error
    #[arg(long)]
    pub ignore_not_found: bool,
    /// name, or a line if absent
    #[arg(short, long, default_value = "table", hide_default_value = true, value_name = "FORMAT")]
    pub output: Format,
}

/// What becomes of the objects that a deleted one owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Cascade {
    /// They are deleted after it
    #[value(alias = "true")]
    Background,
    /// They are deleted before it
    Foreground,
    /// They stay
    #[value(alias = "false")]
    Orphan,
}

/// An object whose deletion was asked for.
struct Deleted {
    key: Key,
    uid: String,
}

/// Deletes objects.
pub fn run(args: &DeleteArgs, session: &mut Session) -> Result<(), CliError> {
    let (keys, mut errors) = chosen(args, session)?;
    let options = options(args);
    if args.force && options.grace_seconds == Some(0) {
        eprintln!(
            "Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. \
             The resource may continue to run on the cluster indefinitely."
        );
    }
    let mut deleted = Vec::new();
    for key in keys {
        match session.cluster.delete(&key, &options, false) {
            Ok(answer) => {
                let done = if args.force { "force deleted" } else { "deleted" };
                match args.output {
                    Format::Name => writeln!(session.out, "{}", full_name(key.kind, &key.name))?,
                    _ => writeln!(session.out, "{} {:?} {done}", singular(key.kind), &*key.name)?,
                }
                session.out.flush()?;
                // Removed at once, it answers with a Status; else with the object, to be waited for.
                if answer["kind"] != "Status" {
                    deleted.push(Deleted { key, uid: text(&answer["metadata"]["uid"]) });
                }
            }
            Err(error) if error.is_not_found() && ignores_missing(args) => {}
            Err(error) => errors.push(error),
        }
    }
    if args.wait {
        let until = (!args.timeout.is_zero()).then(|| Instant::now() + args.timeout);
        let gone = deleted.iter().try_for_each(|one| wait::gone(&one.key, &one.uid, until, session));
        errors.extend(gone.err());
    }
    CliError::all(errors)
}

/// What was chosen by selectors may go while we delete it.
fn ignores_missing(args: &DeleteArgs) -> bool {
    args.ignore_not_found || args.all || args.selector.is_some() || args.field_selector.is_some()
}

fn chosen(args: &DeleteArgs, session: &Session) -> Result<(Vec<Key>, Vec<CliError>), CliError> {
    let cluster = &session.cluster;
    if !args.files.filename.is_empty() {
        if !args.what.is_empty() {
            return Err(CliError::Usage(
                "when paths, URLs, or stdin is provided as input, you may not specify resource arguments as well"
                    .into(),
            ));
        }
        let manifests = manifest::read(&args.files, cluster)?;
        return Ok((manifests.iter().map(|manifest| manifest.key()).collect(), Vec::new()));
    }
    if args.what.is_empty() {
        return Err(CliError::Usage("You must provide one or more resources by argument or filename.".into()));
    }
    let by_selector = args.selector.is_some() || args.field_selector.is_some();
    let (mut keys, mut errors) = (Vec::new(), Vec::new());
    for selection in resource::parse(&args.what, cluster)?.list {
        if !selection.names.is_empty() {
            if args.all || by_selector {
                return Err(CliError::Usage("name cannot be provided when a selector is specified".into()));
            }
            let namespace = selection.namespace.as_deref().unwrap_or(&cluster.namespace);
            keys.extend(selection.names.iter().map(|name| crate::client::wire::key(selection.kind, namespace, name)));
        } else if args.all || by_selector {
            let namespace = (!args.all_namespaces).then_some(cluster.namespace.as_str());
            let selectors = selectors(args.selector.as_deref(), args.field_selector.as_deref());
            match cluster.list(selection.kind, namespace, &selectors) {
                Ok(listed) => keys.extend(listed.items.iter().map(|item| {
                    Key::new(selection.kind, item["metadata"]["namespace"].as_str().unwrap_or_default(), name(item))
                })),
                Err(error) => errors.push(error),
            }
        } else {
            return Err(CliError::Usage("resource(s) were provided, but no name was specified".into()));
        }
    }
    if keys.is_empty() && errors.is_empty() {
        eprintln!("No resources found");
    }
    Ok((keys, errors))
}

fn options(args: &DeleteArgs) -> DeleteOptions {
    let asked = args.grace_period.filter(|seconds| *seconds >= 0);
    let grace_seconds = match (args.now, args.force, asked) {
        (true, _, _) => Some(1),
        (_, true, asked) => Some(asked.unwrap_or(0)),
        // As kubectl: losing data takes --force.
        (_, false, Some(0)) => Some(1),
        (_, false, asked) => asked,
    };
    let propagation = match args.cascade {
        Cascade::Background => Propagation::Background,
        Cascade::Foreground => Propagation::Foreground,
        Cascade::Orphan => Propagation::Orphan,
    };
    DeleteOptions { grace_seconds, propagation: Some(propagation), ..DeleteOptions::default() }
}
