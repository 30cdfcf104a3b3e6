//! Who leads: of several programs that do the same, the one that holds a lease.
//!
//! The rules and the times are client-go's. A lease is somebody else's as long as it changes, and so long after that as
//! its holder promised; only when it was *seen* to change counts, on the clock of who looks, never what is written in it:
//! another machine's clock is not ours. Who leads must renew within a shorter time, counted from when a renewal was
//! *sent*, or it stops leading before anybody may follow.
//!
//! Different from client-go in one thing: each time that a lease is taken is a new term, also for who held it last. By its
//! term the API server tells the writes of one time of leading from those of another; see
//! [`fencing`](crate::apiserver::fencing). What a leader does is [`elected`](crate::client::elected)'s.
//!
//! Source: Kubernetes, `k8s.io/client-go/tools/leaderelection`; documentation, "Leases".

use crate::api::kinds::Kind;
use crate::api::lease::{Fence, Lease, LeaseSpec};
use crate::api::meta::MicroTime;
use crate::api::object::{Key, Object, Resource};
use crate::api::status::Reason;
use crate::api::text::Text;
use crate::client::Ids;
use crate::client::events::{EventRecorder, Tone};
use crate::pages::Page;
use crate::program::{Answer, CallId, Effect, Effects, Input, Level, Part, Verb};
use crate::rng::Draw;
use crate::time::{Duration, Instant, Now};
use crate::{decision_enum, decision_table};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Where the leases of programs are.
pub const NAMESPACE: &str = "kube-system";

/// Who wants to lead, by which lease, and how fast.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// The lease, in `kube-system`.
    pub lease: String,
    /// Who this is: one of its kind in the cluster.
    pub identity: String,
    /// What the program is called in its log.
    pub name: String,
    /// A lease that does not change for so long may be taken.
    pub duration: Duration,
    /// Who could not renew its lease for so long stops leading.
    pub renew_deadline: Duration,
    /// How often a lease is renewed, or looked at.
    pub retry: Duration,
    /// Decides when exactly it looks.
    pub seed: u64,
}

impl Options {
    /// Kubernetes' times.
    ///
    /// Source: kube-scheduler and kube-controller-manager, `--leader-elect-lease-duration`,
    /// `--leader-elect-renew-deadline` and `--leader-elect-retry-period`.
    pub fn new(name: &str, lease: &str, identity: &str, seed: u64) -> Self {
        Options {
            lease: lease.into(),
            identity: identity.into(),
            name: name.into(),
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
            seed,
        }
    }

    /// What is wrong with the times, in the words of the flags.
    ///
    /// Source: client-go, `leaderelection.NewLeaderElector`.
    pub fn check(&self) -> Result<(), &'static str> {
        let whole = self.duration.subsec_nanos() == 0 && i32::try_from(self.duration.as_secs()).is_ok();
        match () {
            _ if !whole => Err("the lease duration must be whole seconds, and not too many"),
            _ if self.duration <= self.renew_deadline => {
                Err("the lease duration must be greater than the renew deadline")
            }
            _ if self.renew_deadline <= self.retry + self.retry * JITTER.0 / JITTER.1 => Err(
                "the renew deadline must be greater than the retry period with its jitter, which is 2.2 times as long",
            ),
            _ if self.retry < RETRY_MIN => Err("the retry period must be at least 100 ms"),
            _ => Ok(()),
        }
    }

    fn key(&self) -> Key {
        Key::new(Kind::Lease, NAMESPACE, &self.lease)
    }
}

decision_enum! {
    /// What this program is now.
    pub enum Standing {
        /// It leads.
        Leads,
        /// It waits for its turn.
        StandsBy,
    }
}

decision_enum! {
    /// Whose the lease is, as it was read.
    pub enum Holder {
        /// There is no lease.
        Absent,
        /// It is nobody's: it was given back.
        Nobody,
        /// It is this program's, of the term in which it leads.
        MyTerm,
        /// It bears this program's name, and is of another term.
        Mine,
        /// It is another's.
        Another,
    }
}

decision_enum! {
    /// Since when the lease has looked like this, on this program's clock.
    pub enum Change {
        /// It changed within the time for which it is good.
        Lately,
        /// It has not changed for so long.
        LongAgo,
    }
}

decision_enum! {
    /// What is done about the lease.
    pub enum Move {
        /// It is written for the first time.
        Make,
        /// It is taken, in a new term.
        Take,
        /// It is renewed.
        Renew,
        /// It is left alone, and looked at again.
        Wait,
        /// It is left alone, and this program stops leading.
        StepDown,
    }
}

decision_table! {
    /// What is done about a lease that was read. Pure and total. Page: `docs/decisions/leader.md`.
    pub fn lease_move(standing: Standing, holder: Holder, change: Change) -> Move, LEASE_MOVE;
    renew:  (Leads, MyTerm, _)                    => Renew,    "so that nobody takes it";
    lost:   (Leads, Absent | Nobody | Mine | Another, _) => StepDown, "its writes are refused from now on";
    make:   (StandsBy, Absent, _)                 => Make,     "nobody has led yet, or somebody deleted the lease";
    free:   (StandsBy, Nobody, _)                 => Take,     "who led before has ended, and said so";
    again:  (StandsBy, MyTerm | Mine, _)          => Take,     "an earlier time of leading is over; the new term shuts out what it left on its way";
    wait:   (StandsBy, Another, Lately)           => Wait,     "another leads";
    silent: (StandsBy, Another, LongAgo)          => Take,     "its holder stopped leading a third of this time ago, or stands still";
}

decision_enum! {
    /// How long ago the last renewal was sent that succeeded.
    pub enum Renewal {
        /// Less than the renew deadline.
        InTime,
        /// Longer.
        Late,
    }
}

decision_enum! {
    /// What the API server said of the last write that was made under the lease.
    pub enum Said {
        /// Nothing about the lease.
        Nothing,
        /// That the lease is not held.
        NotHeld,
    }
}

decision_enum! {
    /// What becomes of a leader.
    pub enum Tenure {
        /// It goes on.
        GoOn,
        /// It stops leading: what it knew and planned is forgotten.
        StepDown,
    }
}

decision_table! {
    /// Whether a leader leads on; asked before anything else at each step. Pure and total.
    pub fn tenure(renewal: Renewal, said: Said) -> Tenure, TENURE;
    leads:  (InTime, Nothing) => GoOn,     "nobody may take the lease yet";
    fenced: (_, NotHeld)      => StepDown, "another leads already, and the API server knows it first";
    late:   (Late, Nothing)   => StepDown, "soon another may lead: better nobody for a while than two";
}

/// The page of this file's tables.
pub fn pages() -> Vec<Page> {
    let times = Options::new("", "", "", 0);
    let text = format!(
        "Several schedulers, and several of each controller, may run; one of each leads, and the others stand by. Who \
         leads holds a lease in `kube-system` and renews it every {} s. A stand-by looks at it every {} to {:.1} s. A lease \
         counts as changed when its `spec` was seen to be another than before, by the clock of who looks; how long it is \
         good for is its own `leaseDurationSeconds`, {} s. The times written in it are for people.",
        times.retry.as_secs(),
        times.retry.as_secs(),
        times.retry.as_secs_f64() * (1.0 + JITTER.0 as f64 / JITTER.1 as f64),
        times.duration.as_secs(),
    );
    vec![
        Page::new("leader", "Who leads, of several that do the same", "each scheduler and controller that is elected")
            .says(text)
            .decides(&LEASE_MOVE)
            .says(format!(
                "Every write to the lease names the revision that was read, so of two that take it one does. A leader asks \
                 at each step, before anything else, whether it still is one. The renew deadline is {} s, counted from when \
                 the renewal was sent: a process that stood still for longer wakes up, and finds that it does not lead.",
                times.renew_deadline.as_secs()
            ))
            .decides(&TENURE)
            .says(
                "What such a process had sent before it stood still, or was about to send, is refused by the API server: \
                 see [`fencing`](fencing.md).",
            ),
    ]
}

/// A look is put off by up to this share of the time between two, so that many do not look at once.
///
/// Source: client-go, `leaderelection.JitterFactor`, 1.2.
const JITTER: (u32, u32) = (6, 5);

/// No lease is written more often.
const RETRY_MIN: Duration = Duration::from_millis(100);

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It leads from now on, and writes under this.
    Elected(Arc<Fence>),
    /// It leads no more.
    Lost,
}

/// One candidate: what it knows of the lease, and whether it leads.
#[derive(Debug)]
pub struct Elector {
    options: Options,
    ids: Ids,
    events: EventRecorder,
    /// The lease as it was read or written last.
    seen: Option<Object>,
    /// When its spec was first seen like this.
    seen_at: Instant,
    leads: Option<Led>,
    ask: Option<Ask>,
    next_at: Instant,
    /// The lease may be another than the one that was seen: it is read before it is written.
    blind: bool,
    looks: u64,
    /// Who was last said to lead.
    told: String,
    began: bool,
}

/// A time of leading.
#[derive(Debug)]
struct Led {
    fence: Arc<Fence>,
    /// When the newest renewal was sent that succeeded.
    renewed: Instant,
}

/// A call under way.
#[derive(Debug)]
struct Ask {
    call: CallId,
    what: Asked,
    sent: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Look,
    Take,
    Renew,
}

/// The ids of its calls: no program counts so far.
const CALLS: u16 = 0xffff;
/// The ids of its events.
const EVENTS: u16 = 0xfffe;

impl Elector {
    /// A candidate that has not looked yet.
    pub fn new(options: Options) -> Self {
        Elector {
            ids: Ids::in_space(CALLS),
            events: EventRecorder::new("leader-election", &options.identity, EVENTS),
            options,
            seen: None,
            seen_at: Instant::default(),
            leads: None,
            ask: None,
            next_at: Instant::default(),
            blind: true,
            looks: 0,
            told: String::new(),
            began: false,
        }
    }

    /// Whether a call is its own, and not one of the program that it is for.
    pub fn owns(call: CallId) -> bool {
        call.0 >> 48 >= u64::from(EVENTS)
    }

    /// Takes in an input, meant for it or not; `said` is what the input says of the writes of the leader. To be called at
    /// every step, before the leader acts.
    pub fn step(&mut self, now: Now, input: &Input, said: Said, out: &mut Effects) -> Option<Turn> {
        if !self.began {
            self.began = true;
            out.log(
                Level::Info,
                format!("{}: attempting to acquire leader lease {}...", self.options.name, self.path()),
            );
        }
        let before = self.leads.as_ref().map(|led| led.fence.clone());
        if let Some(led) = &self.leads {
            let in_time = now.mono.since(led.renewed) < self.options.renew_deadline || planted!(LeadsOnUnrenewed);
            let renewal = if in_time { Renewal::InTime } else { Renewal::Late };
            let row = tenure(renewal, if planted!(FencedLeadsOn) { Said::Nothing } else { said });
            if row.then == Tenure::StepDown {
                self.step_down(now, row.why, out);
            }
        }
        if matches!(input, Input::Stop) {
            self.give_back(now, out);
        } else {
            self.take_in(now, input, out);
            self.go_on(now, out);
        }
        match (before, &self.leads) {
            (before, Some(led)) if before.as_ref() != Some(&led.fence) => Some(Turn::Elected(led.fence.clone())),
            (Some(_), None) => Some(Turn::Lost),
            _ => None,
        }
    }

    fn path(&self) -> String {
        format!("{NAMESPACE}/{}", self.options.lease)
    }

    fn take_in(&mut self, now: Now, input: &Input, out: &mut Effects) {
        let Input::Reply { call, answer } = input else { return };
        let Some(ask) = self.ask.take_if(|ask| ask.call == *call) else { return };
        match (ask.what, answer) {
            (Asked::Look, Answer::Object { object, .. }) => {
                self.see(now, Some(object.clone()), out);
                self.act(now, out);
            }
            (Asked::Look, Answer::Refused(status)) if status.reason == Some(Reason::NotFound) => {
                self.see(now, None, out);
                self.act(now, out);
            }
            (Asked::Take, Answer::Object { object, .. }) => {
                self.see(now, Some(object.clone()), out);
                // Else others may count from before now; what was taken is looked at again, and taken anew.
                if now.mono.since(ask.sent) < self.options.renew_deadline {
                    self.begin(now, ask.sent, object, out);
                }
            }
            (Asked::Renew, Answer::Object { object, .. }) => {
                self.see(now, Some(object.clone()), out);
                if let Some(led) = &mut self.leads {
                    led.renewed = if planted!(RenewedAtAnswer) { now.mono } else { ask.sent };
                }
            }
            (_, other) => {
                self.blind = !planted!(RenewsBlindly) || ask.what != Asked::Renew;
                let why = match other {
                    Answer::Refused(status) => status.message.clone(),
                    Answer::Lost(why) => why.clone(),
                    _ => "an answer to something else".into(),
                };
                let (name, path) = (&self.options.name, self.path());
                let (level, what) = match ask.what {
                    Asked::Look => (Level::Warn, "error retrieving resource lock"),
                    // Another was faster.
                    Asked::Take => (Level::Debug, "failed to acquire lease"),
                    Asked::Renew => (Level::Warn, "failed to update lease"),
                };
                out.log(level, format!("{name}: {what} {path}: {why}"));
            }
        }
    }

    /// The lease is like this now.
    fn see(&mut self, now: Now, lease: Option<Object>, out: &mut Effects) {
        let spec =
            |object: &Option<Object>| object.as_ref().and_then(Object::get::<Lease>).map(|lease| lease.spec.clone());
        if spec(&lease) != spec(&self.seen) {
            self.seen_at = now.mono;
        }
        let holder = spec(&lease).and_then(|spec| spec.holder_identity).unwrap_or_default();
        if holder != self.told {
            if !holder.is_empty() {
                out.log(Level::Info, format!("{}: new leader elected: {holder}", self.options.name));
            }
            self.told = holder.to_string();
        }
        (self.seen, self.blind) = (lease, false);
    }

    fn holder(&self, lease: &Lease) -> Holder {
        match (Fence::of(lease), &self.leads) {
            (None, _) => Holder::Nobody,
            (Some(fence), Some(led)) if fence == *led.fence => Holder::MyTerm,
            (Some(fence), _) if fence.holder == self.options.identity => Holder::Mine,
            (Some(_), _) => Holder::Another,
        }
    }

    /// Does about the lease that was seen what is to be done.
    fn act(&mut self, now: Now, out: &mut Effects) {
        let lease = self.seen.as_ref().and_then(Object::get::<Lease>);
        let standing = if self.leads.is_some() { Standing::Leads } else { Standing::StandsBy };
        // Its holder said how long it is good for.
        let good = lease.and_then(|lease| lease.spec.lease_duration_seconds);
        let good = good.map_or(self.options.duration, |secs| Duration::from_secs(u64::try_from(secs).unwrap_or(0)));
        let since = match lease.and_then(|lease| lease.spec.renew_time) {
            Some(renewed) if planted!(HolderClockTrusted) => now.wall.since(renewed.wall()),
            _ => now.mono.since(self.seen_at),
        };
        let good = if planted!(LeaseTakenEarly) { good / 3 } else { good };
        let change = if since < good { Change::Lately } else { Change::LongAgo };
        let holder = lease.map_or(Holder::Absent, |lease| self.holder(lease));
        let row = lease_move(standing, holder, change);
        match row.then {
            Move::Wait => {}
            Move::StepDown => self.step_down(now, row.why, out),
            Move::Make | Move::Take | Move::Renew => self.write(now, row.then, out),
        }
    }

    fn write(&mut self, now: Now, what: Move, out: &mut Effects) {
        let at = Some(MicroTime::of(now.wall));
        let secs = i32::try_from(self.options.duration.as_secs()).unwrap_or(i32::MAX);
        let identity = Text::from(&self.options.identity);
        let mut object = self.seen.clone().unwrap_or_else(|| {
            let mut lease = Lease::default();
            (lease.metadata.namespace, lease.metadata.name) = (NAMESPACE.into(), self.options.lease.as_str().into());
            lease.into_object()
        });
        object.edit_as(|lease: &mut Lease| {
            let LeaseSpec {
                holder_identity, lease_duration_seconds, acquire_time, renew_time, lease_transitions, ..
            } = &mut lease.spec;
            (*holder_identity, *lease_duration_seconds, *renew_time) = (Some(identity), Some(secs), at);
            match what {
                Move::Make => (*acquire_time, *lease_transitions) = (at, Some(0)),
                Move::Take if planted!(TermKept) => *acquire_time = at,
                // Back at the lowest it is another number all the same.
                Move::Take => {
                    let term = lease_transitions.unwrap_or(0).checked_add(1).unwrap_or(i32::MIN);
                    (*acquire_time, *lease_transitions) = (at, Some(term));
                }
                Move::Renew | Move::Wait | Move::StepDown => {}
            }
        });
        let asked = if what == Move::Renew { Asked::Renew } else { Asked::Take };
        let verb = if what == Move::Make { Verb::Create { object } } else { Verb::Update { object, part: Part::Main } };
        self.ask(now, asked, verb, out);
    }

    fn ask(&mut self, now: Now, what: Asked, verb: Verb, out: &mut Effects) {
        let call = self.ids.draw();
        self.ask = Some(Ask { call, what, sent: now.mono });
        out.push(Effect::Call { call, request: verb.into() });
        let pause = match (what, &self.leads) {
            (Asked::Look, None) => {
                self.looks += 1;
                let most = self.options.retry * JITTER.0 / JITTER.1;
                let most = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
                let draw = Draw::new(self.options.seed).key("look").count(self.looks);
                self.options.retry + Duration::from_nanos(draw.below(most.saturating_add(1)))
            }
            _ => self.options.retry,
        };
        self.next_at = now.mono + pause;
    }

    /// What has taken too long is given up, and what is due is done.
    fn go_on(&mut self, now: Now, out: &mut Effects) {
        // Twice within the renew deadline. Source: kube-scheduler, the timeout of the client that elects.
        let patience = self.options.renew_deadline / 2;
        if self.ask.take_if(|ask| now.mono.since(ask.sent) >= patience).is_some() {
            self.blind = true;
        }
        if self.ask.is_none() && self.next_at <= now.mono {
            match &self.leads {
                Some(_) if !self.blind => self.act(now, out),
                _ => self.ask(now, Asked::Look, Verb::Get { key: self.options.key() }, out),
            }
        }
        match &self.ask {
            Some(ask) => out.wake_at(ask.sent + patience),
            None => out.wake_at(self.next_at),
        }
        out.wake_at(
            self.leads
                .as_ref()
                .filter(|_| !planted!(LeadsOnUnrenewed))
                .map(|led| led.renewed + self.options.renew_deadline),
        );
    }

    fn begin(&mut self, now: Now, renewed: Instant, lease: &Object, out: &mut Effects) {
        let Some(fence) = lease.get::<Lease>().and_then(Fence::of) else { return };
        sometimes!(LeaderElected);
        out.log(Level::Info, format!("{}: successfully acquired lease {}", self.options.name, self.path()));
        let said = format!("{} became leader", self.options.identity);
        self.events.tell(now, lease, Tone::Normal, "LeaderElection", said, out);
        self.leads = Some(Led { fence: Arc::new(fence), renewed });
    }

    fn step_down(&mut self, now: Now, why: &str, out: &mut Effects) {
        if self.leads.take().is_none() {
            return;
        }
        sometimes!(LeaderSteppedDown);
        self.blind = true;
        out.log(Level::Warn, format!("{}: stopped leading by lease {}: {why}", self.options.name, self.path()));
        if let Some(lease) = &self.seen {
            let said = format!("{} stopped leading", self.options.identity);
            self.events.tell(now, lease, Tone::Normal, "LeaderElection", said, out);
        }
    }

    /// The lease of who leads and ends is free at once.
    ///
    /// Source: client-go, `LeaderElectionConfig.ReleaseOnCancel`.
    fn give_back(&mut self, now: Now, out: &mut Effects) {
        if planted!(LeaseNotGivenBack) {
            return self.step_down(now, "it ends", out);
        }
        if self.leads.is_none() && !planted!(GivesBackOthers) {
            return;
        }
        let Some(lease) = &self.seen else { return };
        let at = Some(MicroTime::of(now.wall));
        let object = lease.with(|lease: &mut Lease| {
            let spec = &mut lease.spec;
            spec.holder_identity = None;
            (spec.lease_duration_seconds, spec.acquire_time, spec.renew_time) = (Some(1), at, at);
        });
        out.push(Effect::Call { call: self.ids.draw(), request: Verb::Update { object, part: Part::Main }.into() });
        self.step_down(now, "it ends", out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::status::Status;
    use crate::program::Revision;
    use quickcheck::quickcheck;

    fn options(identity: &str) -> Options {
        Options::new("scheduler", "kube-scheduler", identity, 7)
    }

    /// What an API server does with leases.
    #[derive(Default)]
    struct Shelf {
        lease: Option<Object>,
        revision: u64,
    }

    impl Shelf {
        fn answer(&mut self, verb: Verb) -> Answer {
            match verb {
                Verb::Get { key } => match &self.lease {
                    Some(object) => Answer::Object { object: object.clone(), created: false },
                    None => Answer::Refused(Status::not_found(key.kind, &key.name)),
                },
                Verb::Create { object } if self.lease.is_some() => {
                    Answer::Refused(Status::already_exists(object.kind(), &object.meta().name))
                }
                Verb::Update { object, .. } if self.lease.as_ref().map(Object::revision) != Some(object.revision()) => {
                    Answer::Refused(Status::stale(object.kind(), &object.meta().name))
                }
                Verb::Create { object } | Verb::Update { object, .. } => {
                    self.revision += 1;
                    let stored = object.with_meta(|meta| {
                        meta.resource_version = self.revision.to_string().into();
                        if meta.uid.is_empty() {
                            meta.uid = format!("uid-{}", self.revision).into();
                        }
                    });
                    self.lease = Some(stored.clone());
                    Answer::Object { object: stored, created: false }
                }
                other => panic!("an elector does not ask for {other:?}"),
            }
        }

        fn lease(&self) -> &Lease {
            self.lease.as_ref().unwrap().get().unwrap()
        }
    }

    /// Candidates, one clock, and a shelf with the lease.
    struct World {
        now: Now,
        shelf: Shelf,
        candidates: Vec<Candidate>,
    }

    struct Candidate {
        elector: Elector,
        fence: Option<Arc<Fence>>,
        calls: Vec<(CallId, Verb)>,
        wake_at: Option<Instant>,
        heard: Vec<String>,
        /// What it asks does not arrive.
        cut_off: bool,
        /// It does nothing at all.
        frozen: bool,
    }

    impl World {
        fn of(identities: &[&str]) -> Self {
            let candidate = |identity: &&str| Candidate {
                elector: Elector::new(options(identity)),
                fence: None,
                calls: Vec::new(),
                wake_at: Some(Instant::default()),
                heard: Vec::new(),
                cut_off: false,
                frozen: false,
            };
            let candidates = identities.iter().map(candidate).collect();
            World { now: Now::default(), shelf: Shelf::default(), candidates }
        }

        fn step(&mut self, at: usize, input: &Input) {
            let (one, mut out) = (&mut self.candidates[at], Effects::default());
            match one.elector.step(self.now, input, Said::Nothing, &mut out) {
                Some(Turn::Elected(fence)) => one.fence = Some(fence),
                Some(Turn::Lost) => one.fence = None,
                None => {}
            }
            one.wake_at = out.wake_at;
            for effect in out.list {
                match effect {
                    Effect::Call { call, request } => match &request.verb {
                        Verb::Update { object, .. } if object.kind() == Kind::Event => {}
                        _ => one.calls.push((call, request.verb)),
                    },
                    Effect::Log { line, .. } => one.heard.push(line),
                    other => panic!("{other:?}"),
                }
            }
        }

        /// Everything that happens in some time, a tenth of a second each.
        fn pass(&mut self, tenths: u64) {
            for _ in 0..tenths {
                self.now.mono = self.now.mono + Duration::from_millis(100);
                self.now.wall = self.now.wall + Duration::from_millis(100);
                for at in 0..self.candidates.len() {
                    let one = &self.candidates[at];
                    if one.frozen {
                        continue;
                    }
                    if one.wake_at.is_some_and(|at| at <= self.now.mono) {
                        self.step(at, &Input::Wake);
                    }
                    let calls = std::mem::take(&mut self.candidates[at].calls);
                    for (call, verb) in calls {
                        if !self.candidates[at].cut_off {
                            let answer = self.shelf.answer(verb);
                            self.step(at, &Input::Reply { call, answer });
                        }
                    }
                }
                assert!(
                    self.leaders().len() <= 1 || self.candidates.iter().any(|one| one.frozen),
                    "{:?}",
                    self.leaders()
                );
            }
        }

        fn leaders(&self) -> Vec<&str> {
            let leads = self.candidates.iter().filter(|one| one.fence.is_some());
            leads.map(|one| one.elector.options.identity.as_str()).collect()
        }
    }

    #[test]
    fn one_leads_and_the_other_steps_in_when_the_lease_has_run_out() {
        let mut world = World::of(&["a", "b"]);
        world.pass(600);
        assert_eq!((world.leaders(), world.shelf.lease().spec.lease_transitions), (vec!["a"], Some(0)));
        world.candidates[0].frozen = true;
        world.pass(145);
        assert_eq!(world.leaders(), ["a"], "it stands still, and nobody may know yet");
        world.pass(70);
        assert_eq!(world.leaders(), ["a", "b"], "the one believes to lead, and cannot write");
        let fence = world.candidates[1].fence.clone().unwrap();
        assert_eq!((fence.holder.as_str(), fence.term), ("b", 1));
        // The moment it wakes up it knows better, whatever it hears first.
        world.candidates[0].frozen = false;
        world.step(0, &Input::Wake);
        assert_eq!(world.leaders(), ["b"]);
        world.pass(600);
        assert_eq!(world.leaders(), ["b"]);
        let heard = &world.candidates[0].heard;
        assert_eq!(heard[0], "scheduler: attempting to acquire leader lease kube-system/kube-scheduler...");
        assert_eq!(heard[2], "scheduler: successfully acquired lease kube-system/kube-scheduler");
        assert!(heard[3].starts_with("scheduler: stopped leading by lease"), "{heard:?}");
        assert_eq!(heard[4], "scheduler: new leader elected: b");
    }

    #[test]
    fn who_is_cut_off_stops_leading_before_another_may_begin() {
        let mut world = World::of(&["a", "b"]);
        world.pass(50);
        world.candidates[0].cut_off = true;
        world.pass(101);
        assert!(world.leaders().is_empty());
        world.pass(100);
        assert_eq!(world.leaders(), ["b"]);
        world.candidates[0].cut_off = false;
        world.pass(300);
        assert_eq!(world.leaders(), ["b"]);
    }

    #[test]
    fn who_leads_again_does_so_in_a_new_term() {
        let mut world = World::of(&["a"]);
        world.pass(50);
        let first = world.candidates[0].fence.clone().unwrap();
        world.candidates[0].cut_off = true;
        world.pass(110);
        world.candidates[0].cut_off = false;
        world.pass(60);
        let second = world.candidates[0].fence.clone().unwrap();
        assert_eq!((first.term, second.term, &first.uid), (0, 1, &second.uid));
    }

    #[test]
    fn what_is_given_back_is_taken_at_the_next_look() {
        let mut world = World::of(&["a", "b"]);
        world.pass(50);
        world.step(0, &Input::Stop);
        let (_, verb) = world.candidates[0].calls.pop().unwrap();
        world.candidates[0].frozen = true;
        world.shelf.answer(verb);
        assert_eq!(world.shelf.lease().spec.holder_identity, None);
        world.pass(46);
        assert_eq!((world.leaders(), world.shelf.lease().spec.lease_transitions), (vec!["b"], Some(1)));
        // Who stands by has nothing to give back.
        let mut bystander = World::of(&["a", "b"]);
        bystander.pass(50);
        bystander.candidates[1].calls.clear();
        bystander.step(1, &Input::Stop);
        assert!(bystander.candidates[1].calls.is_empty());
    }

    #[test]
    fn whoever_edits_or_deletes_the_lease_ends_a_time_of_leading() {
        let mut world = World::of(&["a"]);
        world.pass(50);
        let first = world.candidates[0].fence.clone().unwrap();
        world.shelf.lease = None;
        world.pass(80);
        let second = world.candidates[0].fence.clone().unwrap();
        assert_ne!(first.uid, second.uid);
        let given = world.shelf.lease.clone().unwrap().with(|lease: &mut Lease| {
            lease.spec.holder_identity = Some("c".into());
            lease.spec.lease_duration_seconds = Some(-5);
        });
        world.shelf.answer(Verb::Update { object: given, part: Part::Main });
        world.pass(100);
        let third = world.candidates[0].fence.clone().unwrap();
        assert_eq!(third.term, second.term + 1, "{:?}", world.candidates[0].heard);
    }

    #[test]
    fn the_holders_clock_does_not_count() {
        // Renewed a year ago, or in a year, as it says.
        for year in [-1, 1_i64] {
            let mut lease = Lease::default();
            let at = MicroTime::of(crate::time::Wall::from_secs(year * 31_536_000));
            lease.spec = LeaseSpec {
                holder_identity: Some("a".into()),
                lease_duration_seconds: Some(15),
                renew_time: Some(at),
                ..Default::default()
            };
            let mut world =
                World { shelf: Shelf { lease: Some(lease.into_object()), revision: 0 }, ..World::of(&["b"]) };
            world.pass(145);
            assert!(world.leaders().is_empty());
            world.pass(60);
            assert_eq!(world.leaders(), ["b"]);
        }
    }

    quickcheck! {
        /// Whoever is cut off, stands still or comes back, in any order: two lead only if one stands still, terms only
        /// rise, and in the end somebody leads.
        fn terms_rise_and_somebody_leads(script: Vec<(u8, u8)>) -> bool {
            let mut world = World::of(&["a", "b", "c"]);
            let mut terms: Vec<i32> = Vec::new();
            for (what, tenths) in script {
                let one = &mut world.candidates[usize::from(what) % 3];
                match what / 3 % 4 {
                    0 => one.cut_off = true,
                    1 => one.frozen = true,
                    _ => (one.cut_off, one.frozen) = (false, false),
                }
                let woken: Vec<usize> = (0..3).filter(|at| !world.candidates[*at].frozen).collect();
                woken.into_iter().for_each(|at| world.step(at, &Input::Wake));
                world.pass(u64::from(tenths));
                terms.extend(world.shelf.lease.as_ref().map(|_| world.shelf.lease().spec.lease_transitions.unwrap()));
            }
            for at in 0..3 {
                (world.candidates[at].cut_off, world.candidates[at].frozen) = (false, false);
                world.step(at, &Input::Wake);
            }
            world.pass(250);
            let holder = world.shelf.lease().spec.holder_identity.clone().unwrap();
            terms.is_sorted() && world.leaders() == [holder.as_str()]
        }

        /// Waking for nothing adds nothing.
        fn a_spurious_wake_adds_nothing(tenths: u8) -> bool {
            let mut world = World::of(&["a", "b"]);
            world.pass(u64::from(tenths));
            (0..2).all(|at| {
                let (elector, mut out) = (&mut world.candidates[at].elector, Effects::default());
                elector.step(world.now, &Input::Wake, Said::Nothing, &mut out);
                let mut again = Effects::default();
                elector.step(world.now, &Input::Wake, Said::Nothing, &mut again);
                again.list.is_empty() && again.wake_at == out.wake_at
            })
        }
    }

    #[test]
    fn each_call_may_be_lost() {
        for lost in 0..12 {
            let (mut world, mut asked) = (World::of(&["a"]), 0);
            for _ in 0..400 {
                let calls = &mut world.candidates[0].calls;
                asked += calls.len();
                world.pass(1);
                world.candidates[0].cut_off = asked == lost;
            }
            world.candidates[0].cut_off = false;
            world.pass(100);
            assert_eq!(world.leaders(), ["a"], "{lost}");
            assert!(world.shelf.lease.as_ref().unwrap().revision() > Revision(0));
        }
    }
}
