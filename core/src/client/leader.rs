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
            out.log(Level::Info, format!("{}: attempting to acquire leader lease {}...", self.options.name, self.path()));
        }
        let before = self.leads.as_ref().map(|led| led.fence.clone());
        if let Some(led) = &self.leads {
            let in_time = now.mono.since(led.renewed) < self.options.renew_deadline || planted!(LeadsOnUnrenewed);
            let renewal = if in_time { Renewal::InTime } else { Renewal::Late };
            let row = tenure(renewal, said);
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
                    led.renewed = ask.sent;
                }
            }
            (_, other) => {
                self.blind = true;
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
        let spec = |object: &Option<Object>| object.as_ref().and_then(Object::get::<Lease>).map(|lease| lease.spec.clone());
        if spec(&lease) != spec(&self.seen) {
            self.seen_at = now.mono;
        }
        let holder = spec(&lease).and_then(|spec| spec.holder_identity).unwrap_or_default();
        if holder != self.told {
            if !holder.is_empty() {
                out.log(Level::Info, format!("{}: new leader elected: {holder}", self.options.name));
            }
            self.told = holder;
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
        let identity = self.options.identity.clone();
        let mut object = self.seen.clone().unwrap_or_else(|| {
            let mut lease = Lease::default();
            (lease.metadata.namespace, lease.metadata.name) = (NAMESPACE.into(), self.options.lease.clone());
            lease.into_object()
        });
        object.edit_as(|lease: &mut Lease| {
            let LeaseSpec { holder_identity, lease_duration_seconds, acquire_time, renew_time, lease_transitions, .. } =
                &mut lease.spec;
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
        out.wake_at(self.leads.as_ref().map(|led| led.renewed + self.options.renew_deadline));
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
        let (Some(_), Some(lease)) = (&self.leads, &self.seen) else { return };
        let at = Some(MicroTime::of(now.wall));
        let object = lease.with(|lease: &mut Lease| {
            let spec = &mut lease.spec;
            spec.holder_identity = Some(String::new());
            (spec.lease_duration_seconds, spec.acquire_time, spec.renew_time) = (Some(1), at, at);
        });
        out.push(Effect::Call { call: self.ids.draw(), request: Verb::Update { object, part: Part::Main }.into() });
        self.step_down(now, "it ends", out);
    }
}
