//! The controller of autoscalers: views, and for each autoscaler one look at a time.
//!
//! A look is a chain of questions: the target's scale, what its pods use, then the decision, the write of the scale, and
//! that of the status. Answers of an earlier look are not taken in. Pods are viewed only while there are autoscalers, and
//! nobody is measured otherwise.

use crate::api::autoscaler::{
    ABLE_TO_SCALE, AutoscalerStatus, HorizontalPodAutoscaler, Hpa, HpaStatus, TargetReference,
};
use crate::api::custom::CustomResourceDefinition;
use crate::api::kinds::Kind;
use crate::api::meta::{ObjectMeta, Time};
use crate::api::names::generated;
use crate::api::object::{Key, Object, Resource};
use crate::api::pod::{Pod, PodStatus};
use crate::api::scale::{Paths, Scale, patch, scale};
use crate::api::selector::LabelSelector;
use crate::api::status::{Reason, Status};
use crate::api::text::Text;
use crate::client::calls::CALL_TIMEOUT;
use crate::client::events::{EventRecorder, Tone};
use crate::client::{Calls, Change, Deadlines, Ids, Informer, informer};
use crate::controllers::horizontal::behaviour::Memory;
use crate::controllers::horizontal::plan::{self, Refusal, Seen};
use crate::controllers::horizontal::stepwise::{self, INTERVAL_SECONDS, Percents, Step};
use crate::controllers::labelled::Labelled;
use crate::controllers::workload::claim;
use crate::decision::Decision;
use crate::program::{
    Answer, CallId, DeleteOptions, Effect, Effects, Input, Level, Part, Program, Query, Revision, Verb,
};
use crate::reasons::RESIZED;
use crate::rng::Draw;
use crate::time::{Duration, Instant, Now};
use crate::usage::PodUsage;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// How the controller behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Between two looks at an autoscaler.
    pub sync_period: Duration,
    /// How its list-watches retry.
    pub informer: informer::Options,
}

/// Source: `--horizontal-pod-autoscaler-sync-period`.
pub const SYNC_PERIOD: Duration = Duration::from_secs(15);
/// One that was changed is looked at again, but not before so much time has passed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Default for Options {
    fn default() -> Self {
        Options { sync_period: SYNC_PERIOD, informer: informer::Options::default() }
    }
}

/// Scales what autoscalers name. A look costs the pods of its target.
#[derive(Debug)]
pub struct HorizontalController {
    options: Options,
    autoscalers: Informer,
    stepwise: Informer,
    /// Both closed while there is no autoscaler.
    pods: Informer,
    definitions: Informer,
    labelled: Labelled,
    calls: Calls<Run>,
    measurements: Measurements,
    recorder: EventRecorder,
    known: BTreeMap<Key, Known>,
    due: Deadlines<Key>,
    runs: u64,
}

/// A look: at what, and the how-manyth of all.
type Run = (Key, u64);

/// What is known of an autoscaler.
#[derive(Debug, Default)]
struct Known {
    memory: Memory,
    /// What its target selected when it was last looked at.
    selector: Option<LabelSelector>,
    /// When it was last looked at.
    looked: Option<Instant>,
    /// The look under way.
    look: Option<Look>,
    /// It has changed since.
    again: bool,
    /// A pod was made or removed, which the view shows at this revision.
    awaits: Revision,
}

/// A look under way.
#[derive(Debug)]
struct Look {
    run: u64,
    /// The autoscaler as it was when the look began.
    object: Object,
    stage: Stage,
}

/// What is waited for.
#[derive(Debug)]
enum Stage {
    /// The target.
    Reading(Kind),
    /// What its pods use.
    Measuring(Target),
    /// The write of its scale, and what the status will say.
    Scaling { from: i32, to: i32, why: String, status: AutoscalerStatus },
    /// A pod that is made or removed, or a scale that is written, of Minik8s' kind.
    Stepping { status: HpaStatus },
    /// The write of the status.
    Telling,
}

/// A target whose scale was read.
#[derive(Debug)]
struct Target {
    object: Option<Object>,
    wished: i32,
    selector: String,
    pods: Result<LabelSelector, Refusal>,
}

/// Measurements that were asked for.
#[derive(Debug)]
struct Measurements {
    ids: Ids,
    open: BTreeMap<CallId, Run>,
    lost_at: Deadlines<CallId>,
}

/// Spaces of call ids.
const AUTOSCALERS: u16 = 1;
const STEPWISE: u16 = 2;
const PODS: u16 = 3;
const DEFINITIONS: u16 = 4;
const CALLS: u16 = 5;
const EVENTS: u16 = 6;
const MEASUREMENTS: u16 = 7;

impl Measurements {
    fn ask(&mut self, now: Now, run: Run, query: Query, out: &mut Effects) {
        let call = self.ids.draw();
        self.open.insert(call, run);
        self.lost_at.set(call, now.mono + CALL_TIMEOUT);
        out.push(Effect::Measure { call, query });
    }

    fn ended(&mut self, now: Now, input: &Input) -> Vec<(Run, Result<Vec<PodUsage>, String>)> {
        let mut ended = Vec::new();
        if let Input::Measured { call, answer } = input
            && let Some(run) = self.open.remove(call)
        {
            self.lost_at.remove(call);
            ended.push((run, answer.clone()));
        }
        while let Some(call) = self.lost_at.pop_due(now.mono) {
            let run = self.open.remove(&call).expect("a measurement has a deadline while it is open");
            ended.push((run, Err(format!("no answer within {} s", CALL_TIMEOUT.as_secs()))));
        }
        ended
    }
}

impl HorizontalController {
    /// Knows nothing yet. `seed` decides the jitter of its retries.
    pub fn new(options: Options, seed: u64) -> Self {
        let view = |kind, space| Informer::new(Query::all(kind), space, seed, options.informer);
        let closed = |kind, space| {
            let mut view = view(kind, space);
            // It has asked for nothing yet.
            view.close(&mut Effects::default());
            view
        };
        HorizontalController {
            options,
            autoscalers: view(Kind::HorizontalPodAutoscaler, AUTOSCALERS),
            stepwise: view(Kind::Hpa, STEPWISE),
            pods: closed(Kind::Pod, PODS),
            definitions: closed(Kind::CustomResourceDefinition, DEFINITIONS),
            labelled: Labelled::default(),
            calls: Calls::in_space(CALLS),
            measurements: Measurements {
                ids: Ids::in_space(MEASUREMENTS),
                open: BTreeMap::new(),
                lost_at: Deadlines::default(),
            },
            recorder: EventRecorder::new("horizontal-pod-autoscaler", "", EVENTS),
            known: BTreeMap::new(),
            due: Deadlines::default(),
            runs: 0,
        }
    }

    fn views(&self) -> [&Informer; 4] {
        [&self.autoscalers, &self.stepwise, &self.pods, &self.definitions]
    }

    /// Opens the views that a look needs, or closes them.
    fn open_or_close(&mut self, out: &mut Effects) {
        let needed = !self.autoscalers.is_empty() || !self.stepwise.is_empty();
        if needed == self.pods.is_closed() {
            match needed {
                true => {
                    self.pods.reopen(Query::all(Kind::Pod));
                    self.definitions.reopen(Query::all(Kind::CustomResourceDefinition));
                }
                false => {
                    self.definitions.close(out);
                    for change in self.pods.close(out) {
                        self.labelled.changed(&change);
                    }
                }
            }
        }
    }

    fn changed(&mut self, now: Now, change: &Change) {
        let (old, new) = change.sides();
        let Some(new) = new else {
            if let Some(old) = old {
                self.known.remove(&old.key());
                self.due.remove(&old.key());
            }
            return;
        };
        let key = new.key();
        let known = self.known.entry(key.clone()).or_default();
        if old.is_some_and(|old| old.at(&["spec"]) == new.at(&["spec"])) {
            return;
        }
        if known.look.is_some() {
            known.again = true;
        } else {
            let at = known.looked.map_or(now.mono, |looked| (looked + LOOK_AGAIN).max(now.mono));
            self.due.set_if_earlier(key, at);
        }
    }

    fn autoscaler(&self, key: &Key) -> Option<&Object> {
        if key.kind == Kind::Hpa { self.stepwise.object(key) } else { self.autoscalers.object(key) }
    }

    /// How long it is until the next look.
    fn pause(&self, key: &Key) -> Duration {
        let hpa = self.stepwise.object(key).and_then(Object::read::<Hpa>);
        match hpa {
            Some(hpa) => {
                let seconds = hpa.spec.interval.filter(|seconds| *seconds > 0).unwrap_or(INTERVAL_SECONDS);
                Duration::from_secs(u64::from(seconds.unsigned_abs()))
            }
            None => self.options.sync_period,
        }
    }

    // A look.

    fn look(&mut self, now: Now, key: Key, out: &mut Effects) {
        let Some(object) = self.autoscaler(&key).cloned() else { return };
        let Some(known) = self.known.get_mut(&key).filter(|known| known.look.is_none()) else { return };
        if self.pods.revision() < known.awaits {
            return self.due.set(key, now.mono + LOOK_AGAIN);
        }
        self.runs += 1;
        known.looked = Some(now.mono);
        known.again = false;
        let run = self.runs;
        let mut begin = |stage| known.look = Some(Look { run, object: object.clone(), stage });
        if key.kind == Kind::Hpa {
            let Some(hpa) = object.read::<Hpa>() else { return };
            let reference = hpa.spec.scale_target_ref.unwrap_or_default();
            if matches!(reference.kind.as_str(), "" | "Pod") {
                let pods = Ok(hpa.spec.selector.unwrap_or_default());
                let target = Target { object: None, wished: 0, selector: String::new(), pods };
                begin(Stage::Measuring(target));
                return self.measure(now, (key, run), out);
            }
            let (name, api_version) = (reference.name().to_owned(), reference.api_version.clone());
            let of = TargetReference { kind: reference.kind, name: name.into(), api_version, ..Default::default() };
            return match self.kind(&of) {
                Ok(kind) => {
                    self.known.get_mut(&key).expect("it was just there").look =
                        Some(Look { run, object, stage: Stage::Reading(kind) });
                    self.read(now, (key, run), kind, &of.name, out);
                }
                Err(why) => {
                    self.recorder.tell(now, &object, Tone::Warning, "FailedGetScale", why, out);
                    self.ended(now, &key);
                }
            };
        }
        let Some(body) = object.read::<HorizontalPodAutoscaler>() else { return };
        begin(Stage::Telling);
        match self.kind(&body.spec.scale_target_ref) {
            Ok(kind) => {
                self.stage(&key, Stage::Reading(kind));
                self.read(now, (key, run), kind, &body.spec.scale_target_ref.name, out);
            }
            Err(why) => self.no_scale(now, (key, run), why, out),
        }
    }

    /// The kind that a target says it is of, whatever its version.
    fn kind(&self, of: &TargetReference) -> Result<Kind, String> {
        let (group, version) = of.api_version.split_once('/').unwrap_or(("", &of.api_version));
        if version.contains('/') {
            return Err(format!("unexpected GroupVersion string: {}", of.api_version));
        }
        let here = |(_, row): &(Kind, &'static crate::api::kinds::KindRow)| row.name == of.kind && row.group == group;
        let custom = || {
            let defines = |one: &&CustomResourceDefinition| {
                one.spec.group == group && one.spec.names.kind == of.kind && one.is_established()
            };
            self.definitions.all::<CustomResourceDefinition>().find(defines).map(CustomResourceDefinition::kind)
        };
        let found = Kind::rows().find(here).map(|(kind, _)| kind).or_else(custom);
        found.ok_or_else(|| format!("no matches for kind {:?} in group {group:?}", of.kind))
    }

    fn read(&mut self, now: Now, run: Run, kind: Kind, name: &str, out: &mut Effects) {
        let key = Key::new(kind, &run.0.namespace, name);
        self.calls.call(now, run, Verb::Get { key }, out);
    }

    fn stage(&mut self, key: &Key, stage: Stage) {
        if let Some(look) = self.known.get_mut(key).and_then(|known| known.look.as_mut()) {
            look.stage = stage;
        }
    }

    /// The look under way, if it is this one.
    fn take(&mut self, (key, run): &Run) -> Option<Look> {
        let known = self.known.get_mut(key)?;
        known.look.take_if(|look| look.run == *run)
    }

    fn put(&mut self, key: &Key, look: Look) {
        if let Some(known) = self.known.get_mut(key) {
            known.look = Some(look);
        }
    }

    /// The look is over.
    fn ended(&mut self, now: Now, key: &Key) {
        let pause = self.pause(key);
        let Some(known) = self.known.get_mut(key) else { return };
        known.look = None;
        let looked = known.looked.unwrap_or(now.mono);
        let pause = if known.again { LOOK_AGAIN.min(pause) } else { pause };
        self.due.set(key.clone(), (looked + pause).max(now.mono + Duration::from_millis(1)));
    }

    fn answered(&mut self, now: Now, run: Run, answer: Answer, out: &mut Effects) {
        let Some(Look { object, stage, .. }) = self.take(&run) else { return };
        let again = |stage| Look { run: run.1, object: object.clone(), stage };
        match stage {
            Stage::Reading(kind) => {
                self.put(&run.0, again(Stage::Telling));
                match answer {
                    Answer::Object { object: target, .. } => match self.scale(&target) {
                        Some(scale) => self.scale_read(now, run, target, &scale, out),
                        None => self.no_scale(now, run, "the server could not find the requested resource".into(), out),
                    },
                    Answer::Refused(status) => {
                        let why = refused(kind, &status);
                        self.no_scale(now, run, why, out);
                    }
                    Answer::Lost(why) => self.no_scale(now, run, why, out),
                    Answer::List { .. } | Answer::Watching | Answer::Removed(_) => self.ended(now, &run.0),
                }
            }
            Stage::Scaling { from, to, why, mut status } => {
                // What was lost may have been done: then it counts.
                if !matches!(&answer, Answer::Refused(status) if !status.leaves_open())
                    && let Some(known) = self.known.get_mut(&run.0)
                {
                    let behavior = object.read::<HorizontalPodAutoscaler>().and_then(|body| body.spec.behavior);
                    known.memory.changed(now.mono, behavior.as_ref(), from, to);
                }
                let wrong = match answer {
                    Answer::Object { .. } | Answer::Removed(_) => None,
                    Answer::Refused(status) => Some(status.message),
                    Answer::Lost(why) => Some(why),
                    Answer::List { .. } | Answer::Watching => Some("no answer to a write".into()),
                };
                match wrong {
                    None => {
                        plan::rescaled(now, &mut status, to);
                        let told = format!("New size: {to}; reason: {why}");
                        self.recorder.tell(now, &object, Tone::Normal, "SuccessfulRescale", told, out);
                    }
                    Some(error) => {
                        let told = format!("New size: {to}; reason: {why}; error: {error}");
                        self.recorder.tell(now, &object, Tone::Warning, "FailedRescale", told, out);
                        let message = format!("the HPA controller was unable to update the target scale: {error}");
                        plan::say(now, &mut status, ABLE_TO_SCALE, false, "FailedUpdateScale", message);
                    }
                }
                self.put(&run.0, again(Stage::Telling));
                self.tell(now, run, &object, &status, out);
            }
            Stage::Stepping { status } => {
                let done = match answer {
                    Answer::Object { object, .. } => Some(object.revision()),
                    Answer::Removed(_) => Some(Revision(0)),
                    Answer::Refused(refused) => {
                        let told = refused.message;
                        self.recorder.tell(now, &object, Tone::Warning, "FailedRescale", told, out);
                        None
                    }
                    // Whether it was done will be seen.
                    _ => None,
                };
                if let (Some(known), Some(revision)) = (self.known.get_mut(&run.0), done) {
                    known.awaits = revision;
                }
                self.put(&run.0, again(Stage::Telling));
                self.tell_hpa(now, run, &object, &status, out);
            }
            // One that was refused is written after the next look.
            Stage::Telling => self.ended(now, &run.0),
            Stage::Measuring(target) => self.put(&run.0, again(Stage::Measuring(target))),
        }
    }

    fn no_scale(&mut self, now: Now, run: Run, why: String, out: &mut Effects) {
        let Some(object) = self.autoscaler(&run.0).cloned() else { return self.ended(now, &run.0) };
        self.recorder.tell(now, &object, Tone::Warning, "FailedGetScale", why.clone(), out);
        let Some(body) = object.read::<HorizontalPodAutoscaler>().filter(|_| run.0.kind != Kind::Hpa) else {
            return self.ended(now, &run.0);
        };
        let mut status = body.status;
        let message = format!("the HPA controller was unable to get the target's current scale: {why}");
        plan::say(now, &mut status, ABLE_TO_SCALE, false, "FailedGetScale", message);
        self.tell(now, run, &object, &status, out);
    }

    /// What an object says of its scale, if its kind has one.
    fn scale(&self, object: &Object) -> Option<Scale> {
        Some(scale(object, &self.paths(object.kind())?))
    }

    fn paths(&self, kind: Kind) -> Option<Paths<'_>> {
        if !matches!(kind, Kind::Custom(_)) {
            return Paths::of(None).filter(|_| kind.row().has_scale());
        }
        let defines = |one: &&CustomResourceDefinition| one.kind() == kind;
        let definition = self.definitions.all::<CustomResourceDefinition>().find(defines)?;
        Paths::of(Some(definition.spec.versions.iter().find(|version| version.storage)?))
    }

    fn scale_read(&mut self, now: Now, run: Run, object: Object, scale: &Scale, out: &mut Effects) {
        let wished = i32::try_from(scale.wished()).unwrap_or(i32::MAX);
        let selector = scale.selector().to_owned();
        let pods = plan::selector(&selector);
        if let Some(known) = self.known.get_mut(&run.0) {
            known.selector = pods.as_ref().ok().cloned();
        }
        let target = Target { object: Some(object), wished, selector, pods };
        let body = self.autoscalers.object(&run.0).and_then(Object::read::<HorizontalPodAutoscaler>);
        let measures = body.is_none_or(|body| plan::measures(&body.spec, wished)) && target.pods.is_ok();
        self.stage(&run.0, Stage::Measuring(target));
        match measures {
            true => self.measure(now, run, out),
            false => self.measured(now, &run, Ok(Vec::new()), out),
        }
    }

    fn measure(&mut self, now: Now, run: Run, out: &mut Effects) {
        let Some(Stage::Measuring(Target { pods: Ok(labels), .. })) =
            self.known.get(&run.0).and_then(|known| known.look.as_ref()).map(|look| &look.stage)
        else {
            return;
        };
        let (labels, namespace) = (labels.clone(), Some(run.0.namespace.clone()));
        let query = Query { namespace, labels, ..Query::all(Kind::Pod) };
        self.measurements.ask(now, run, query, out);
    }

    fn measured(&mut self, now: Now, run: &Run, usage: Result<Vec<PodUsage>, String>, out: &mut Effects) {
        let Some(Look { object, stage: Stage::Measuring(target), .. }) = self.take(run) else { return };
        self.put(&run.0, Look { run: run.1, object: object.clone(), stage: Stage::Telling });
        match run.0.kind {
            Kind::Hpa => self.step_decided(now, run, &object, target, usage, out),
            _ => self.decided(now, run, &object, target, usage, out),
        }
    }

    /// The pods of a namespace that a selector selects, in the order of their names.
    fn selected(&self, namespace: &str, selector: &LabelSelector) -> Vec<&Pod> {
        let pods = self.labelled.candidates(namespace, selector).filter_map(|key| self.pods.get::<Pod>(&key));
        pods.filter(|pod| selector.matches(&pod.metadata.labels)).collect()
    }

    fn decided(
        &mut self,
        now: Now,
        run: &Run,
        object: &Object,
        target: Target,
        usage: Result<Vec<PodUsage>, String>,
        out: &mut Effects,
    ) {
        let Some(body) = object.read::<HorizontalPodAutoscaler>() else { return self.ended(now, &run.0) };
        let mut memory = self.known.get_mut(&run.0).map(|known| std::mem::take(&mut known.memory)).unwrap_or_default();
        let pods = target.pods.as_ref().map(|selector| self.selected(&run.0.namespace, selector));
        let pods = match &pods {
            Ok(pods) => match self.rivals(&run.0, pods) {
                rivals if rivals.len() > 1 => Err(plan::ambiguous(&target.selector, &rivals)),
                _ => Ok(pods.as_slice()),
            },
            Err(refusal) => Err((*refusal).clone()),
        };
        let usage = usage.as_deref().map_err(String::as_str);
        let seen = Seen { wished: target.wished, pods, usage };
        let plan = plan::plan(now, &body.spec, &body.status, &mut memory, &seen);
        if let Some(known) = self.known.get_mut(&run.0) {
            known.memory = memory;
        }
        for (tone, reason, message) in plan.tell {
            self.recorder.tell(now, object, tone, reason, message, out);
        }
        let Some((to, why)) = plan.rescale else { return self.tell(now, run.clone(), object, &plan.status, out) };
        let of = target.object.as_ref();
        let Some(verb) = of.and_then(|of| self.write_of(of, to)) else { return self.ended(now, &run.0) };
        resized(&run.0, of.map(|of| of.key()), format!("{} pods become {to}: {why}", target.wished), out);
        self.stage(&run.0, Stage::Scaling { from: target.wished, to, why, status: plan.status });
        self.calls.call(now, run.clone(), verb, out);
    }

    /// The autoscalers of a namespace whose targets select one of these pods.
    fn rivals<'a>(&'a self, key: &'a Key, pods: &[&Pod]) -> Vec<(&'a str, &'a str)> {
        let here = self.known.iter().filter(|(other, _)| other.namespace == key.namespace && other.kind == key.kind);
        let selects = |known: &Known| {
            known.selector.as_ref().is_some_and(|one| pods.iter().any(|pod| one.matches(&pod.metadata.labels)))
        };
        here.filter(|(_, known)| selects(known)).map(|(other, _)| (&*other.namespace, &*other.name)).collect()
    }

    /// The write that makes so many the wish of a target, if it is as it was read.
    fn write_of(&self, target: &Object, to: i32) -> Option<Verb> {
        let paths = self.paths(target.kind())?;
        let said = json!({"spec": {"replicas": to}, "metadata": {"resourceVersion": target.meta().resource_version}});
        // A custom kind keeps it wherever it likes, which only the whole object shows.
        let part = if matches!(target.kind(), Kind::Custom(_)) { Part::Main } else { Part::Scale };
        Some(Verb::Merge { key: target.key(), patch: patch(&said, &paths), part })
    }

    fn tell(&mut self, now: Now, run: Run, object: &Object, status: &AutoscalerStatus, out: &mut Effects) {
        let body = object.read::<HorizontalPodAutoscaler>();
        if body.is_none_or(|body| body.status == *status) {
            return self.ended(now, &run.0);
        }
        let verb = Verb::Update { object: object.with_status(status), part: Part::Status };
        self.calls.call(now, run, verb, out);
    }

    // Minik8s' autoscaler.

    fn step_decided(
        &mut self,
        now: Now,
        run: &Run,
        object: &Object,
        target: Target,
        usage: Result<Vec<PodUsage>, String>,
        out: &mut Effects,
    ) {
        let Some(hpa) = object.read::<Hpa>() else { return self.ended(now, &run.0) };
        let pods = match &target.pods {
            Ok(selector) => self.selected(&run.0.namespace, selector),
            Err(_) => Vec::new(),
        };
        let pods: Vec<&Pod> = pods.into_iter().filter(|pod| pod.is_active()).collect();
        let own = i32::try_from(pods.len()).unwrap_or(i32::MAX);
        let count = if target.object.is_some() { target.wished } else { own };
        let is = usage.map_or(Percents::default(), |usage| stepwise::percents(&pods, &usage));
        let step = stepwise::decide(&hpa.spec, count, is);
        let whole = |percent: f64| percent.round().clamp(0.0, f64::from(i32::MAX)) as i32;
        let mut status = HpaStatus {
            current_replicas: count,
            current_cpu_percent: is.cpu.map(whole),
            current_mem_percent: is.memory.map(whole),
            last_scale_time: hpa.status.last_scale_time,
            ..Default::default()
        };
        let named = hpa.spec.scale_target_ref.as_ref().map_or("", |target| target.name());
        let by = match step {
            Step::Up => 1,
            Step::Down => -1,
            Step::Stay => 0,
        };
        let verb = match (&target.object, step) {
            (_, Step::Stay) => None,
            (Some(target), _) => self.write_of(target, count.saturating_add(by)),
            (None, Step::Up) => copy(object, &pods, named, self.pods.revision()),
            (None, Step::Down) => victim(object, &pods, named),
        };
        let Some(verb) = verb else { return self.tell_hpa(now, run.clone(), object, &status, out) };
        status.last_scale_time = Some(Time::of(now.wall));
        let to = count.saturating_add(by);
        let told = format!("New size: {to}; one step from {count}");
        let of = target.object.as_ref().map(Object::key);
        resized(&run.0, of, told.clone(), out);
        self.recorder.tell(now, object, Tone::Normal, "SuccessfulRescale", told, out);
        self.stage(&run.0, Stage::Stepping { status });
        self.calls.call(now, run.clone(), verb, out);
    }

    fn tell_hpa(&mut self, now: Now, run: Run, object: &Object, status: &HpaStatus, out: &mut Effects) {
        let body = object.read::<Hpa>();
        if body.is_none_or(|body| body.status == *status) {
            return self.ended(now, &run.0);
        }
        let verb = Verb::Update { object: object.with_status(status), part: Part::Status };
        self.calls.call(now, run, verb, out);
    }
}

/// Tells that a target gets another number of pods; of pods without one, that their autoscaler decided it.
fn resized(by: &Key, target: Option<Key>, how: String, out: &mut Effects) {
    let because = RESIZED.because().as_seen(how);
    let sake = target.is_some().then(|| by.clone());
    out.decided(Level::Info, Decision { sake, ..Decision::about(target.unwrap_or_else(|| by.clone()), because) });
}

/// One pod more, like the one that is named, or else like the first. It goes with its autoscaler.
fn copy(hpa: &Object, pods: &[&Pod], named: &str, seen: Revision) -> Option<Verb> {
    let like = pods.iter().find(|pod| pod.metadata.name == named).or(pods.first())?;
    let draw = Draw::new(0).key("copy").key(&hpa.meta().uid).count(seen.0);
    let metadata = ObjectMeta {
        name: generated(&format!("{}-", like.metadata.name), draw).into(),
        namespace: like.metadata.namespace.clone(),
        labels: like.metadata.labels.clone(),
        annotations: like.metadata.annotations.clone(),
        owner_references: vec![claim::reference(hpa)],
        ..Default::default()
    };
    let mut pod = Pod { metadata, spec: like.spec.clone(), status: PodStatus::default(), ..Default::default() };
    std::sync::Arc::make_mut(&mut pod.spec).node_name = Text::default();
    Some(Verb::Create { object: pod.into_object() })
}

/// One pod less: a copy before any other, one that is not ready before one that is, the youngest. Never the one that is
/// named, nor the last.
fn victim(hpa: &Object, pods: &[&Pod], named: &str) -> Option<Verb> {
    let own = |pod: &Pod| pod.metadata.controller().is_some_and(|by| by.uid == hpa.meta().uid);
    let others = pods.iter().filter(|pod| pod.metadata.name != named && pods.len() > 1);
    let victim = others.min_by_key(|pod| {
        (!own(pod), pod.is_ready(), Reverse(pod.metadata.creation_timestamp), pod.metadata.name.as_str())
    })?;
    let options = DeleteOptions { uid: Some(victim.metadata.uid.clone()), ..Default::default() };
    let key = Key::new(Kind::Pod, &victim.metadata.namespace, &victim.metadata.name);
    Some(Verb::Delete { key, options })
}

/// As Kubernetes says that a scale was refused.
fn refused(kind: Kind, status: &Status) -> String {
    let row = kind.row();
    match status.details.as_ref().filter(|_| status.reason == Some(Reason::NotFound)) {
        Some(details) if !details.name.is_empty() => {
            let group = if row.group.is_empty() { String::new() } else { format!(".{}", row.group) };
            format!("{}/scale{group} {:?} not found", row.plural, details.name)
        }
        _ => status.message.clone(),
    }
}

impl Program for HorizontalController {
    fn step(&mut self, now: Now, input: Input, out: &mut Effects) {
        for change in self.autoscalers.step(now, &input, out) {
            self.changed(now, &change);
        }
        for change in self.stepwise.step(now, &input, out) {
            self.changed(now, &change);
        }
        self.open_or_close(out);
        for change in self.pods.step(now, &input, out) {
            self.labelled.changed(&change);
        }
        self.definitions.step(now, &input, out);
        for (run, answer) in self.calls.ended(now, &input) {
            self.answered(now, run, answer, out);
        }
        for (run, answer) in self.measurements.ended(now, &input) {
            self.measured(now, &run, answer, out);
        }
        if self.views().into_iter().all(Informer::is_synced) {
            while let Some(key) = self.due.pop_due(now.mono) {
                self.look(now, key, out);
            }
            out.wake_at(self.due.next());
        }
        out.wake_at(self.calls.next());
        out.wake_at(self.measurements.lost_at.next());
    }

    fn each_informer(&self, show: &mut dyn FnMut(&Informer)) {
        self.views().into_iter().filter(|view| !view.is_closed()).for_each(show);
    }
}
