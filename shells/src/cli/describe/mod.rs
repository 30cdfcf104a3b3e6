//! `describe`: everything about an object, and what happened to it, laid out as kubectl does.
//!
//! A kind's description is a file of its own; kinds without one show their fields as YAML.

mod events;
mod meta;
mod node;
mod pod;
mod replica_set;

use crate::cli::Session;
use crate::cli::cluster::{name, selectors, typed};
use crate::cli::error::CliError;
use crate::cli::manifest::{self, FileArgs};
use crate::cli::resource;
use crate::cli::tabular::align;
use crate::cli::yaml;
use clap::Args;
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::{Key, Object};
use std::fmt::Write as _;
use std::io::Write;

/// The end of `--help`.
pub const EXAMPLE: &str = "Examples:\n  miniku describe pod web-1\n  miniku describe node/node-1\n  \
    miniku describe pods -l app=web";

/// What to describe.
#[derive(Args, Debug)]
pub struct DescribeArgs {
    /// TYPE [NAME or its beginning]..., or TYPE/NAME...
    #[arg(value_name = "WHAT")]
    pub what: Vec<String>,
    /// Where the objects are.
    #[command(flatten)]
    pub files: FileArgs,
    /// Objects with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// Objects of all namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Whether to show events
    #[arg(long, default_value_t = true, default_missing_value = "true", num_args = 0..=1, require_equals = true)]
    #[arg(action = clap::ArgAction::Set)]
    pub show_events: bool,
}

/// Describes objects.
pub fn run(args: &DescribeArgs, session: &mut Session) -> Result<(), CliError> {
    let (objects, mut errors) = chosen(args, session)?;
    if objects.is_empty() && errors.is_empty() {
        match args.all_namespaces {
            true => eprintln!("No resources found"),
            false => eprintln!("No resources found in {} namespace.", session.cluster.namespace),
        }
    }
    let mut first = true;
    for object in objects {
        match description(args, &object, session) {
            Ok(text) => {
                let between = if std::mem::take(&mut first) { "" } else { "\n\n" };
                write!(session.out, "{between}{text}")?;
            }
            Err(error) => errors.push(error),
        }
    }
    session.out.flush()?;
    CliError::all(errors)
}

fn chosen(args: &DescribeArgs, session: &Session) -> Result<(Vec<Object>, Vec<CliError>), CliError> {
    let cluster = &session.cluster;
    let (mut objects, mut errors) = (Vec::new(), Vec::new());
    if !args.files.filename.is_empty() {
        for manifest in manifest::read(&args.files, cluster)? {
            match cluster.get(&manifest.key()) {
                Ok(object) => objects.push(typed(manifest.kind, object)?),
                Err(error) => errors.push(error),
            }
        }
        return Ok((objects, errors));
    }
    for selection in resource::parse(&args.what, cluster)?.list {
        let kind = selection.kind;
        let namespace = (!args.all_namespaces).then_some(cluster.namespace.as_str());
        let namespace = selection.namespace.as_deref().or(namespace);
        if selection.names.is_empty() {
            objects.extend(cluster.objects(kind, namespace, &selectors(args.selector.as_deref(), None))?);
        }
        for wanted in &selection.names {
            match cluster.get(&crate::client::wire::key(kind, namespace.unwrap_or_default(), wanted)) {
                Ok(object) => objects.push(typed(kind, object)?),
                // As kubectl: a name's beginning will do.
                Err(error) if error.is_not_found() => {
                    let all = cluster.list(kind, namespace, &Vec::new())?.items;
                    let before = objects.len();
                    for item in all.into_iter().filter(|item| name(item).starts_with(wanted.as_str())) {
                        objects.push(typed(kind, item)?);
                    }
                    if objects.len() == before {
                        errors.push(error);
                    }
                }
                Err(error) => errors.push(error),
            }
        }
    }
    Ok((objects, errors))
}

/// All text is written with tabs between what belongs in columns; they are aligned at the end.
fn description(args: &DescribeArgs, object: &Object, session: &Session) -> Result<String, CliError> {
    let mut text = String::new();
    match object.kind() {
        Kind::Pod => pod::describe(&mut text, object),
        Kind::Node => {
            let key = Key::new(Kind::Lease, miniku_core::api::namespace::NODE_LEASES, &object.meta().name);
            let lease = session.cluster.find(&key)?.map(|lease| typed(Kind::Lease, lease)).transpose()?;
            let on_node = selectors(None, Some(&format!("spec.nodeName={}", object.meta().name)));
            let pods = session.cluster.objects(Kind::Pod, None, &on_node)?;
            node::describe(&mut text, object, lease.as_ref(), &pods);
        }
        Kind::ReplicaSet => {
            let namespace = object.meta().namespace.as_str();
            let pods = session.cluster.objects(Kind::Pod, Some(namespace), &replica_set::pods_of(object))?;
            replica_set::describe(&mut text, object, &pods);
        }
        Kind::Namespace => {
            meta::head(&mut text, object);
            let _ = writeln!(text, "Status:\t{}", crate::cli::cluster::text(&object.to_value()["status"]["phase"]));
        }
        _ => other(&mut text, object)?,
    }
    if args.show_events && object.kind() != Kind::Event {
        events::describe(&mut text, &events::of(object, session)?);
    }
    Ok(align(&text))
}

/// Metadata, then the fields as they are.
fn other(text: &mut String, object: &Object) -> Result<(), CliError> {
    meta::head(text, object);
    let mut fields = object.to_value();
    if let Some(fields) = fields.as_object_mut() {
        for known in ["kind", "apiVersion", "metadata"] {
            fields.remove(known);
        }
    }
    text.push_str(&yaml::write(&fields)?);
    Ok(())
}
