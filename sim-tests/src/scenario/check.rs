//! What is wrong with a scenario, and where: names of nodes, programs and objects that are not there, times out of order.

use super::{Ending, Expect, JobsAre, LATEST, MAKERS, PodsAre, STANDBYS_MAX, Scenario, Spec, key_of};
use crate::plan::{Act, Ask, Entry, Fault, GROUPS, When};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::Object;
use miniku_core::api::selector::parse_label_selector;
use miniku_core::api::text::Text;
use miniku_core::durations;
use miniku_core::schema::{Schema, strict};
use miniku_core::time::Duration;
use serde_json::Value;
use std::collections::BTreeSet;

impl Scenario {
    /// What is wrong with it: where, and what.
    pub(crate) fn check(&self) -> Result<(), (String, String)> {
        self.cluster.check()?;
        let mut known = Known::of(&self.cluster);
        let mut entries: Vec<(usize, &Entry)> = self.timeline.iter().enumerate().collect();
        entries.sort_by_key(|(_, entry)| entry.at);
        for (nth, entry) in entries {
            known.check_entry(entry).map_err(|what| (format!("timeline[{nth}]"), what))?;
        }
        for (nth, expect) in self.expect.iter().enumerate() {
            known.check_expectation(expect).map_err(|what| (format!("expect[{nth}]"), what))?;
        }
        self.check_end().map_err(|what| ("end".to_owned(), what))
    }

    /// Adds those entries that can be part of it. The others come too late, or speak of nodes and programs that are not there.
    pub fn add_fitting(&mut self, entries: impl IntoIterator<Item = Entry>) {
        let until = match self.end {
            Ending::RunsUntil(until) => until,
            Ending::Settles(_) => LATEST,
        };
        let mut known = Known::of(&self.cluster);
        let fits = |entry: &Entry| entry.at <= until && known.check_entry(entry).is_ok();
        self.timeline.extend(entries.into_iter().filter(fits));
    }

    fn check_end(&self) -> Result<(), String> {
        let (Ending::RunsUntil(end) | Ending::Settles(end)) = self.end;
        if end > LATEST {
            return Err(too_late(end));
        }
        let Ending::RunsUntil(until) = self.end else { return Ok(()) };
        match self.timeline.iter().map(|entry| entry.at).find(|at| *at > until) {
            Some(late) => {
                let (late, until) = (durations::text(late), durations::text(until));
                Err(format!("it ends at {until}, and something is to happen at {late}"))
            }
            None => Ok(()),
        }
    }
}

impl Spec {
    fn check(&self) -> Result<(), (String, String)> {
        self.nodes.check().map_err(|what| ("cluster.nodes".to_owned(), what))?;
        if let Some(many) = self.settings.standbys.filter(|many| *many > STANDBYS_MAX) {
            return Err(("cluster.settings.standbys".into(), format!("{many} are more than {STANDBYS_MAX}")));
        }
        let names: BTreeSet<String> = self.nodes.shapes().into_iter().map(|shape| shape.name).collect();
        if names.len() < self.nodes.0.iter().map(|group| group.count.unwrap_or(1)).sum() {
            return Err(("cluster.nodes".into(), "two nodes have one name".into()));
        }
        for (nth, labels) in self.watchers.iter().enumerate() {
            parse_label_selector(labels).map_err(|error| (format!("cluster.watchers[{nth}]"), error.to_string()))?;
        }
        Ok(())
    }
}

fn too_late(at: Duration) -> String {
    format!("{} is later than anybody waits: a year", durations::text(at))
}

/// Whether a manifest, or a part of one, has no fields but those of its kind: an API server drops others without a word. What
/// custom kinds have is not known here.
fn known_fields(kind: Kind, mut manifest: Value) -> Result<(), String> {
    let Some(message) = kind.message() else { return Ok(()) };
    let mut unknown = Vec::new();
    strict::unknown(Schema::kubernetes(), message, &mut manifest, &mut |path| {
        unknown.push(format!("unknown field {path:?}"));
        strict::Then::Keep
    });
    if unknown.is_empty() { Ok(()) } else { Err(unknown.join(", ")) }
}

/// A kind, a namespace and a name.
type Identity = (Kind, Text, Text);

fn identity(object: &Object) -> Identity {
    (object.kind(), object.meta().namespace.clone(), object.meta().name.clone())
}

/// What entries and expectations can speak of.
struct Known {
    nodes: BTreeSet<String>,
    /// The programs.
    actors: BTreeSet<String>,
    /// What is there from the beginning, or was created by an entry so far.
    made: BTreeSet<Identity>,
}

fn is_one_of(what: &str, name: &str, all: &BTreeSet<String>) -> Result<(), String> {
    match all.contains(name) {
        true => Ok(()),
        false => Err(format!("there is no {what} {name:?}")),
    }
}

impl Known {
    fn of(cluster: &Spec) -> Self {
        Known {
            nodes: cluster.nodes.shapes().into_iter().map(|shape| shape.name).collect(),
            actors: cluster.cluster(0).actors().map(str::to_owned).collect(),
            made: cluster.objects.iter().map(identity).collect(),
        }
    }

    /// In the order of time.
    fn check_entry(&mut self, entry: &Entry) -> Result<(), String> {
        let over = match &entry.act {
            Act::Strike(fault) => entry.at.saturating_add(fault.lasts()),
            Act::Ask(_) => entry.at,
        };
        if over > LATEST {
            return Err(too_late(over));
        }
        if let Some(actor) = entry.when.as_ref().and_then(When::actor) {
            is_one_of("program", actor, &self.actors)?;
        }
        match &entry.act {
            Act::Ask(Ask::Create(object)) => {
                self.made.insert(identity(object));
                known_fields(object.kind(), object.to_value())
            }
            Act::Ask(Ask::Scale(scale)) => {
                self.is_there(entry.at, Kind::ReplicaSet, &scale.namespace, &scale.replica_set)
            }
            Act::Ask(Ask::Replace(object)) => {
                known_fields(object.kind(), object.to_value())?;
                let key = object.key();
                self.is_there(entry.at, key.kind, &key.namespace, &key.name)
            }
            // Pods have names that nobody knows before.
            Act::Ask(Ask::Relabel(_) | Ask::Evict(_)) => Ok(()),
            Act::Ask(Ask::Patch(patch)) => {
                known_fields(patch.kind, patch.merge.clone())?;
                self.is_there(entry.at, patch.kind, &patch.namespace, &patch.name)
            }
            Act::Ask(Ask::Delete(one)) => self.is_there(entry.at, one.kind, &one.namespace, &one.name),
            Act::Ask(Ask::Cordon(node) | Ask::Uncordon(node) | Ask::Drain(node) | Ask::Vacate(node)) => {
                is_one_of("node", node, &self.nodes)
            }
            Act::Strike(fault) => self.check_fault(fault),
        }
    }

    fn is_there(&self, at: Duration, kind: Kind, namespace: &str, name: &str) -> Result<(), String> {
        let namespace = if kind.row().namespaced { namespace } else { "" };
        let given = matches!(kind, Kind::Namespace | Kind::Lease | Kind::Event) || kind == Kind::Pod;
        // Named after a time, which may be known.
        let of_cron_job = |(of, space, cron): &Identity| {
            let is_of = |rest: &str| rest.starts_with('-');
            let meant = *of == Kind::CronJob && space.as_str() == namespace;
            meant && kind == Kind::Job && name.strip_prefix(cron.as_str()).is_some_and(is_of)
        };
        // Named after a template of claims, and a number.
        let of_set = |(of, space, set): &Identity| {
            let meant = *of == Kind::StatefulSet && space.as_str() == namespace && kind == Kind::PersistentVolumeClaim;
            let template = name.rsplit_once('-').and_then(|(rest, _)| rest.strip_suffix(set.as_str()));
            meant && template.is_some_and(|template| template.ends_with('-'))
        };
        let given = given || self.made.iter().any(|one| of_cron_job(one) || of_set(one));
        let there = self.made.contains(&(kind, namespace.into(), name.into()));
        let node = kind == Kind::Node && self.nodes.contains(name);
        match there || given || node {
            true => Ok(()),
            false => Err(format!("no {} {name:?} was created before {}", kind.row().name, durations::text(at))),
        }
    }

    fn check_fault(&self, fault: &Fault) -> Result<(), String> {
        let is_program = |actor: &&str| !(GROUPS.contains(actor) || *actor == "apiserver" && fault.strikes_server());
        if let Some(actor) = fault.actor().filter(is_program) {
            is_one_of("program", actor, &self.actors)?;
        }
        if let Fault::Overload { code, .. } = fault
            && !matches!(code, 429 | 500 | 503)
        {
            return Err(format!("an API server does not refuse with {code}, but with 429, 500 or 503"));
        }
        if let Fault::CrashingContainers { every, .. } = fault
            && every.is_zero()
        {
            return Err("every: nobody is struck all the time".into());
        }
        match fault.node() {
            Some(node) => is_one_of("node", node, &self.nodes),
            None => Ok(()),
        }
    }

    /// After all entries.
    fn check_expectation(&self, expect: &Expect) -> Result<(), String> {
        let is_empty = expect.pods.is_none() && expect.nodes.is_none() && expect.jobs.is_none();
        if is_empty && expect.absent.is_empty() && expect.present.is_empty() {
            return Err("says nothing: pods, nodes, jobs, absent or present is missing".into());
        }
        if expect.pods.as_ref().is_some_and(PodsAre::says_nothing) {
            return Err(
                "pods: says nothing of them: count, running, on, notOn, phase, waiting or restarts is missing".into()
            );
        }
        if expect.jobs.as_ref().is_some_and(JobsAre::says_nothing) {
            return Err("jobs: says nothing of them: count, active, complete or succeeded is missing".into());
        }
        for (what, paths) in [("absent", &expect.absent), ("present", &expect.present)] {
            if let Some(path) = paths.iter().find(|path| key_of(path).is_none()) {
                return Err(format!("{what}: {path:?} is no KIND/NAMESPACE/NAME, nor KIND/NAME of a kind without"));
            }
        }
        if let Some(name) = expect.nodes.as_ref().and_then(|nodes| nodes.name.as_ref()) {
            is_one_of("node", name, &self.nodes)?;
        }
        let places = expect.pods.iter().flat_map(|pods| [("on", &pods.on), ("notOn", &pods.not_on)]);
        for (what, node) in places {
            let Some(node) = node else { continue };
            is_one_of("node", node, &self.nodes).map_err(|why| format!("pods.{what}: {why}"))?;
        }
        if expect.within.is_zero() {
            return Err("within: nothing happens in no time".into());
        }
        let until = expect.from.saturating_add(expect.within);
        if until > LATEST {
            return Err(too_late(until));
        }
        if let Some(name) = expect.pods.as_ref().and_then(|pods| pods.of.as_ref())
            && !self.made.iter().any(|(kind, _, set)| MAKERS.contains(kind) && set == name)
        {
            return Err(format!("pods.of: no ReplicaSet, Deployment or Job {name:?} is ever created"));
        }
        let is_made = |kind, name: &String| self.made.iter().any(|(of, _, one)| *of == kind && one == name);
        if let Some(jobs) = &expect.jobs {
            if let Some(cron) = jobs.of.as_ref().filter(|cron| !is_made(Kind::CronJob, cron)) {
                return Err(format!("jobs.of: no CronJob {cron:?} is ever created"));
            }
            if let Some(job) = jobs.name.as_ref().filter(|job| jobs.of.is_none() && !is_made(Kind::Job, job)) {
                return Err(format!("jobs.name: no Job {job:?} is ever created"));
            }
        }
        Ok(())
    }
}
