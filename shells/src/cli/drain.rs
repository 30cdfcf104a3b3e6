//! `drain`: a node without pods, so that its machine may be stopped.
//!
//! Source: Kubernetes documentation, "Safely Drain a Node"; kubectl, `pkg/drain/filters.go` for the words.

use crate::cli::Session;
use crate::cli::cluster::{name, selectors, text};
use crate::cli::error::CliError;
use crate::cli::{cordon, wait};
use crate::client::{paths, wire};
use clap::Args;
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Key;
use miniku_core::api::status::Reason;
use miniku_core::durations;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

/// The end of `--help`.
pub const EXAMPLE: &str = "Examples:\n  miniku drain node-1 --ignore-daemonsets\n  \
    miniku drain node-1 --force --delete-emptydir-data --grace-period=10";

/// A pod that may not go yet is asked again after this time. Source: kubectl, `pkg/drain/drain.go`.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);

/// Which nodes, and what may be lost.
#[derive(Args, Debug)]
pub struct DrainArgs {
    /// Names of nodes
    #[arg(value_name = "NODE", required_unless_present = "selector")]
    pub nodes: Vec<String>,
    /// All nodes with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "nodes")]
    pub selector: Option<String>,
    /// Only pods with these labels
    #[arg(long, value_name = "SELECTOR")]
    pub pod_selector: Option<String>,
    /// Leave pods of daemon sets, which would come back at once
    #[arg(long)]
    pub ignore_daemonsets: bool,
    /// Remove pods that nobody makes again, too
    #[arg(long)]
    pub force: bool,
    /// Remove pods that keep data on the node, too
    #[arg(long)]
    pub delete_emptydir_data: bool,
    /// Delete pods instead of asking for their eviction
    #[arg(long)]
    pub disable_eviction: bool,
    /// Seconds a pod is given to end; its own if negative
    #[arg(long, default_value_t = -1, hide_default_value = true, value_name = "SECONDS", allow_negative_numbers = true)]
    pub grace_period: i64,
    /// How long to go on; 0 means for ever
    #[arg(long, default_value = "0s", value_parser = durations::parse, value_name = "DURATION")]
    pub timeout: Duration,
}

/// Drains nodes, one after the other.
pub fn run(args: &DrainArgs, session: &mut Session) -> Result<(), CliError> {
    let nodes = cordon::nodes(&args.nodes, args.selector.as_deref(), session)?;
    // None gets a pod of another.
    nodes.iter().try_for_each(|node| cordon::mark(node, true, session))?;
    session.out.flush()?;
    nodes.iter().try_for_each(|node| drain(args, name(node), session))
}

/// Why a pod stays, or must not be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Hindrance {
    Unmanaged,
    DaemonSet,
    LocalData,
}

/// What is done about a pod.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// It goes; a warning, if it is only because of a flag.
    Goes(Option<&'static str>),
    /// It stays.
    Stays(Option<&'static str>),
    /// Nothing is done at all.
    Hinders(Hindrance),
}

fn fate(pod: &Value, args: &DrainArgs) -> Fate {
    let metadata = &pod["metadata"];
    if !metadata["annotations"]["kubernetes.io/config.mirror"].is_null() {
        return Fate::Stays(None);
    }
    // What has ended needs nobody.
    if matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed")) {
        return Fate::Goes(None);
    }
    let owners = metadata["ownerReferences"].as_array().into_iter().flatten();
    let owner = owners.into_iter().find(|owner| owner["controller"] == true);
    if owner.is_some_and(|owner| owner["kind"] == "DaemonSet") {
        return match args.ignore_daemonsets {
            true => Fate::Stays(Some("ignoring DaemonSet-managed Pods")),
            false => Fate::Hinders(Hindrance::DaemonSet),
        };
    }
    let mut volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    if volumes.any(|volume| !volume["emptyDir"].is_null()) && !args.delete_emptydir_data {
        return Fate::Hinders(Hindrance::LocalData);
    }
    match (owner, args.force) {
        (Some(_), _) => Fate::Goes(None),
        (None, true) => Fate::Goes(Some("deleting Pods that declare no controller")),
        (None, false) => Fate::Hinders(Hindrance::Unmanaged),
    }
}

fn drain(args: &DrainArgs, node: &str, session: &mut Session) -> Result<(), CliError> {
    let on_node = selectors(args.pod_selector.as_deref(), Some(&format!("spec.nodeName={node}")));
    let pods = session.cluster.list(Kind::Pod, None, &on_node)?.items;
    let full = |pod: &Value| format!("{}/{}", text(&pod["metadata"]["namespace"]), name(pod));
    let (mut going, mut warned, mut hindered) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for pod in &pods {
        match fate(pod, args) {
            Fate::Goes(warning) => {
                warned.extend(warning.map(|warning| (warning, full(pod))));
                going.push(pod);
            }
            Fate::Stays(warning) => warned.extend(warning.map(|warning| (warning, full(pod)))),
            Fate::Hinders(why) => {
                hindered.insert((why, full(pod)));
            }
        }
    }
    if !hindered.is_empty() {
        return Err(CliError::Plain(refusal(node, &hindered)));
    }
    let mut warnings: Vec<&str> = warned.iter().map(|(warning, _)| *warning).collect();
    warnings.dedup();
    for warning in warnings {
        let pods: Vec<&str> =
            warned.iter().filter(|(other, _)| *other == warning).map(|(_, pod)| pod.as_str()).collect();
        eprintln!("Warning: {warning}: {}", pods.join(", "));
    }
    let until = (!args.timeout.is_zero()).then(|| Instant::now() + args.timeout);
    let mut left = Vec::new();
    for pod in going {
        let (namespace, name) = (text(&pod["metadata"]["namespace"]), name(pod));
        writeln!(session.out, "evicting pod {namespace}/{name}")?;
        session.out.flush()?;
        let key = wire::key(Kind::Pod, &namespace, name);
        remove(args, &key, until, session)?;
        left.push((key, text(&pod["metadata"]["uid"])));
    }
    for (key, uid) in left {
        wait::gone(&key, &uid, until, session)?;
        writeln!(session.out, "pod/{} evicted", key.name)?;
        session.out.flush()?;
    }
    writeln!(session.out, "node/{node} drained")?;
    Ok(session.out.flush()?)
}

fn refusal(node: &str, hindered: &BTreeSet<(Hindrance, String)>) -> String {
    let reasons = [
        (Hindrance::Unmanaged, "cannot delete Pods that declare no controller (use --force to override)"),
        (Hindrance::DaemonSet, "cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore)"),
        (Hindrance::LocalData, "cannot delete Pods with local storage (use --delete-emptydir-data to override)"),
    ];
    let told = reasons.iter().filter_map(|(why, words)| {
        let pods: Vec<&str> = hindered.iter().filter(|(other, _)| other == why).map(|(_, pod)| pod.as_str()).collect();
        (!pods.is_empty()).then(|| format!("{words}: {}", pods.join(", ")))
    });
    let told: Vec<String> = told.collect();
    format!("error: unable to drain node {node:?}, nothing was removed: {}", told.join("; "))
}

/// Asks until the pod may go, or is gone.
fn remove(args: &DrainArgs, key: &Key, until: Option<Instant>, session: &Session) -> Result<(), CliError> {
    let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
    if args.grace_period >= 0 {
        options["gracePeriodSeconds"] = args.grace_period.into();
    }
    loop {
        let asked = match args.disable_eviction {
            true => session.cluster.ask(&wire::HttpRequest::with_json(
                wire::Method::Delete,
                paths::object(key, None),
                &options,
            )),
            false => {
                let eviction = json!({
                    "apiVersion": "policy/v1", "kind": "Eviction", "deleteOptions": options,
                    "metadata": {"name": &*key.name, "namespace": &*key.namespace},
                });
                session.cluster.post(&paths::object(key, Some("eviction")), &eviction)
            }
        };
        match asked {
            Ok(_) => return Ok(()),
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) if error.has_reason(Reason::TooManyRequests) => {
                if until.is_some_and(|until| Instant::now() + REFUSED_PAUSE > until) {
                    return Err(error);
                }
                eprintln!(
                    "error when evicting pods/{:?} -n {:?} (will retry after 5s): {error}",
                    &*key.name, &*key.namespace
                );
                thread::sleep(REFUSED_PAUSE);
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_becomes_of_pods() {
        let args = |ignore: bool, force: bool, data: bool| DrainArgs {
            nodes: Vec::new(),
            selector: None,
            pod_selector: None,
            ignore_daemonsets: ignore,
            force,
            delete_emptydir_data: data,
            disable_eviction: false,
            grace_period: -1,
            timeout: Duration::ZERO,
        };
        let of =
            |kind: &str| json!({"metadata": {"ownerReferences": [{"kind": kind, "controller": true}]}, "spec": {}});
        let alone = json!({"metadata": {}, "spec": {}, "status": {"phase": "Running"}});
        let check = |pod: &Value, args: &DrainArgs, want: Fate| assert_eq!(fate(pod, args), want, "{pod}");
        check(&of("ReplicaSet"), &args(false, false, false), Fate::Goes(None));
        check(&of("DaemonSet"), &args(false, true, true), Fate::Hinders(Hindrance::DaemonSet));
        assert!(matches!(fate(&of("DaemonSet"), &args(true, false, false)), Fate::Stays(Some(_))));
        check(&alone, &args(true, false, true), Fate::Hinders(Hindrance::Unmanaged));
        assert!(matches!(fate(&alone, &args(false, true, false)), Fate::Goes(Some(_))));
        let mut with_data = of("Job");
        with_data["spec"]["volumes"] = json!([{"name": "v", "emptyDir": {}}]);
        check(&with_data, &args(false, true, false), Fate::Hinders(Hindrance::LocalData));
        check(&with_data, &args(false, false, true), Fate::Goes(None));
        let ended = json!({"metadata": {}, "status": {"phase": "Succeeded"}});
        check(&ended, &args(false, false, false), Fate::Goes(None));
    }
}
