//! `set image`: which images a workload's containers run from.

use crate::cli::Session;
use crate::cli::cluster::{name, text};
use crate::cli::error::CliError;
use crate::cli::resource::full_name;
use crate::cli::select::{self, SelectArgs};
use crate::client::wire::{self, STRATEGIC_PATCH};
use clap::{Args, Subcommand};
use miniku_core::api::kinds::Kind;
use serde_json::{Value, json};
use std::io::Write;

/// The end of `--help`.
pub const EXAMPLE: &str = "Examples:\n  miniku set image deployment/web main=busybox:2\n  \
    miniku set image pods,replicasets --all '*=busybox'";

/// What to set.
#[derive(Args, Debug)]
pub struct SetArgs {
    /// What to set.
    #[command(subcommand)]
    pub what: Set,
}

/// What can be set.
#[derive(Debug, Subcommand)]
pub enum Set {
    /// The images of containers
    #[command(after_help = EXAMPLE)]
    Image {
        /// TYPE NAME or TYPE/NAME..., then CONTAINER=IMAGE; * is every container
        #[arg(required = true, value_name = "WHAT CONTAINER=IMAGE")]
        words: Vec<String>,
        /// Which objects.
        #[command(flatten)]
        select: SelectArgs,
    },
}

/// Sets it.
pub fn run(args: &SetArgs, session: &mut Session) -> Result<(), CliError> {
    let Set::Image { words, select } = &args.what;
    let at = words.iter().position(|word| word.contains('=')).unwrap_or(words.len());
    let (words, images) = words.split_at(at);
    let images: Vec<(&str, &str)> = images.iter().filter_map(|word| word.split_once('=')).collect();
    if images.is_empty() {
        return Err(CliError::Usage("at least one image update is required".into()));
    }
    let mut errors = Vec::new();
    for (kind, object) in select::objects(words, select, session)? {
        match patch(kind, &object, &images) {
            Ok(None) => {}
            Ok(Some(patch)) => {
                let key = wire::key(kind, &text(&object["metadata"]["namespace"]), name(&object));
                match session.cluster.patch(&key, None, STRATEGIC_PATCH, &patch, Vec::new()) {
                    Ok(_) => writeln!(session.out, "{} image updated", full_name(kind, name(&object)))?,
                    Err(error) => errors.push(error),
                }
            }
            Err(error) => errors.push(error),
        }
    }
    session.out.flush()?;
    CliError::all(errors)
}

/// Where the pods of a kind are described.
fn pod_spec(kind: Kind) -> Option<&'static [&'static str]> {
    Some(match kind {
        Kind::Pod => &["spec"],
        Kind::CronJob => &["spec", "jobTemplate", "spec", "template", "spec"],
        Kind::ReplicaSet
        | Kind::Deployment
        | Kind::DaemonSet
        | Kind::StatefulSet
        | Kind::Job
        | Kind::ReplicationController => &["spec", "template", "spec"],
        _ => return None,
    })
}

/// What is to be changed; nothing, if the images are these already.
fn patch(kind: Kind, object: &Value, images: &[(&str, &str)]) -> Result<Option<Value>, CliError> {
    let path = pod_spec(kind).ok_or_else(|| CliError::Usage(format!("a {} has no containers", kind.row().singular)))?;
    let spec = path.iter().fold(object, |value, name| &value[*name]);
    let (mut changed, mut found) = (json!({}), vec![false; images.len()]);
    for list in ["containers", "initContainers"] {
        let mut items = Vec::new();
        for container in spec[list].as_array().into_iter().flatten() {
            for (nth, (name, image)) in images.iter().enumerate() {
                if *name != "*" && container["name"] != **name {
                    continue;
                }
                found[nth] = true;
                if container["image"] != **image {
                    items.push(json!({"name": container["name"], "image": image}));
                }
            }
        }
        if !items.is_empty() {
            changed[list] = items.into();
        }
    }
    if let Some(nth) = found.iter().position(|found| !found) {
        return Err(CliError::Usage(format!("unable to find container named {:?}", images[nth].0)));
    }
    if changed.as_object().is_some_and(serde_json::Map::is_empty) {
        return Ok(None);
    }
    Ok(Some(path.iter().rev().fold(changed, |inner, name| json!({*name: inner}))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_found_by_name() {
        let containers = json!([{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]);
        let pod = json!({"spec": {"containers": containers}});
        let of = |images: &[(&str, &str)]| patch(Kind::Pod, &pod, images).map_err(|error| error.to_string());
        assert_eq!(of(&[("a", "z")]), Ok(Some(json!({"spec": {"containers": [{"name": "a", "image": "z"}]}}))));
        assert_eq!(of(&[("*", "y")]), Ok(Some(json!({"spec": {"containers": [{"name": "a", "image": "y"}]}}))));
        assert_eq!(of(&[("a", "x")]), Ok(None));
        assert!(of(&[("c", "x")]).unwrap_err().contains("\"c\""));
        let set = json!({"spec": {"template": {"spec": {"containers": containers}}}});
        let want = json!({"spec": {"template": {"spec": {"containers": [{"name": "b", "image": "z"}]}}}});
        assert_eq!(patch(Kind::Deployment, &set, &[("b", "z")]).unwrap(), Some(want));
        assert!(patch(Kind::ConfigMap, &json!({}), &[("b", "z")]).is_err());
    }
}
