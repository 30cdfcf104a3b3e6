//! Objects that a command works on: named one by one, or all that match.

use crate::cli::Session;
use crate::cli::cluster::selectors;
use crate::cli::error::CliError;
use crate::cli::manifest::{self, FileArgs};
use crate::cli::resource;
use clap::Args;
use miniku_core::api::kinds::Kind;
use serde_json::Value;

/// Which objects, where they are not named.
#[derive(Args, Clone, Debug, Default)]
pub struct SelectArgs {
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
}

/// The objects that are meant, as the server has them.
pub fn objects(words: &[String], args: &SelectArgs, session: &Session) -> Result<Vec<(Kind, Value)>, CliError> {
    let cluster = &session.cluster;
    let mut objects = Vec::new();
    for manifest in if args.files.filename.is_empty() { Vec::new() } else { manifest::read(&args.files, cluster)? } {
        objects.push((manifest.kind, cluster.get(&manifest.key())?));
    }
    if words.is_empty() {
        return match args.files.filename.is_empty() {
            true => Err(CliError::Usage(
                "one or more resources must be specified as <resource> <name> or <resource>/<name>".into(),
            )),
            false => Ok(objects),
        };
    }
    let by_selector = args.all || args.selector.is_some() || args.field_selector.is_some();
    for selection in resource::parse(words, cluster)?.list {
        let namespace = selection.namespace.as_deref().unwrap_or(&cluster.namespace);
        if selection.names.is_empty() && !by_selector {
            return Err(CliError::Usage("resource(s) were provided, but no name was specified".into()));
        }
        if !selection.names.is_empty() && by_selector {
            return Err(CliError::Usage("name cannot be provided when a selector is specified".into()));
        }
        for name in &selection.names {
            objects.push((selection.kind, cluster.get(&crate::client::wire::key(selection.kind, namespace, name))?));
        }
        if by_selector {
            let namespace = (!args.all_namespaces).then_some(namespace);
            let selectors = selectors(args.selector.as_deref(), args.field_selector.as_deref());
            let listed = cluster.list(selection.kind, namespace, &selectors)?.items;
            objects.extend(listed.into_iter().map(|item| (selection.kind, item)));
        }
    }
    if objects.is_empty() {
        eprintln!("No resources found");
    }
    Ok(objects)
}
