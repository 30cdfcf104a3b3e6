//! What must always be so. One file a statement, whose first line is the statement itself.
//!
//! A checker sees every [`Fact`] as it happens, together with the [`Truth`], and says what is wrong. It never looks
//! into a program. `S-` says what never happens, `L-` what does not happen too late or too often.

pub mod address;
pub mod backoff;
pub mod beat;
pub mod bind;
pub mod brake;
pub mod budget;
pub mod cas;
pub mod claim;
pub mod count;
pub mod cron;
pub mod daemon;
pub mod demand;
pub mod durable;
mod each;
pub mod endpoints;
pub mod ends;
pub mod evict;
pub mod finalizers;
pub mod finished;
pub mod fit;
pub mod given;
pub mod grace;
pub mod history;
pub mod hot;
pub mod job;
pub mod lease;
pub mod limit;
pub mod list;
pub mod load;
pub mod lost;
pub mod meta;
pub mod mono;
pub mod named;
pub mod namespace;
pub mod near;
mod neighbours;
pub mod ordinal;
pub mod others;
pub mod over;
pub mod overdue;
pub mod owner;
pub mod pending;
pub mod phase;
pub mod place;
mod placed;
pub mod preempt;
pub mod prefer;
pub mod quota;
pub mod reached;
pub mod record;
pub mod restart;
pub mod rollout;
pub mod rv;
pub mod scale;
pub mod silent;
pub mod since;
pub mod single;
mod spread;
pub mod stable;
pub mod stale;
pub mod status;
pub mod stay;
pub mod victim;
mod wants;
pub mod watch;
pub mod why;
pub mod young;
pub mod zombie;

pub(crate) use wants::GPU;

use crate::noise::about;
use crate::trace::Seq;
use crate::truth::{Fact, Sight, Truth};
use miniku_core::api::object::{Key, Object};
use miniku_core::rng::Draw;
use miniku_core::time::{Duration, Instant};

/// Says what is wrong, as soon as it is.
pub trait Checker {
    /// Takes in a fact.
    fn see(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Broken>;

    /// Which facts it looks at. Each fact costs only those who look at it, and most facts are about heartbeats.
    fn sights(&self) -> &'static [Sight] {
        Sight::ALL
    }

    /// When it wants to see [`Fact::Time`].
    fn due(&self) -> Option<Instant> {
        None
    }
}

/// How a statement is broken.
#[derive(Clone, Debug, PartialEq)]
pub struct Broken {
    /// The values that break it.
    pub what: String,
    /// The objects it is about.
    pub objects: Vec<Object>,
}

impl Broken {
    /// With the values that break it.
    pub fn by(what: impl Into<String>) -> Self {
        Broken { what: what.into(), objects: Vec::new() }
    }

    /// And the objects it is about.
    pub fn with<'a>(mut self, objects: impl IntoIterator<Item = &'a Object>) -> Self {
        self.objects.extend(objects.into_iter().cloned());
        self
    }
}

/// What a clock that runs 5 % too fast, which is the most that is drawn, leaves of a time that a program counts by it.
fn by_its_clock(time: Duration) -> Duration {
    time * 100 / 105
}

/// What a clock that runs 5 % too slowly makes of such a time.
fn by_a_slow_clock(time: Duration) -> Duration {
    time * 106 / 100
}

/// A checker that is used.
pub struct Row {
    /// `S-bind`.
    pub name: &'static str,
    source: &'static str,
    /// Makes one that has seen nothing.
    pub make: fn() -> Box<dyn Checker>,
}

impl Row {
    /// What must always be so.
    pub fn statement(&self) -> &'static str {
        let line = self.source.lines().next().unwrap_or_default();
        line.trim_start_matches("//! ").split_once(": ").map_or(line, |(_, statement)| statement)
    }
}

macro_rules! checkers {
    ($($file:ident $name:literal $checker:ident;)+) => {
        /// All checkers.
        pub const CHECKERS: &[Row] = &[$(Row {
            name: $name,
            source: include_str!(concat!(stringify!($file), ".rs")),
            make: || Box::new($file::$checker::default()),
        }),+];
    };
}

checkers! {
    bind       "S-bind"      Bind;
    fit        "S-fit"       Fit;
    count      "S-count"     Count;
    single     "S-single"    Single;
    zombie     "S-zombie"    Zombie;
    durable    "S-durable"   Durable;
    watch      "S-watch"     Watch;
    cas        "S-cas"       Cas;
    phase      "S-phase"     Phase;
    meta       "S-meta"      Meta;
    rv         "S-rv"        Rv;
    evict      "S-evict"     Evict;
    hot        "L-hot"       Hot;
    mono       "S-mono"      Mono;
    finalizers "S-final"     Final;
    victim     "S-victim"    Victim;
    owner      "S-owner"     Owner;
    why        "S-why"       Why;
    grace      "S-grace"     Grace;
    backoff    "S-backoff"   Backoff;
    status     "S-status"    Status;
    place      "S-where"     Place;
    brake      "S-brake"     Brake;
    namespace  "S-namespace" Namespace;
    lost       "S-lost"      Lost;
    record     "S-record"    Record;
    pending    "L-sched"     Pendings;
    named      "S-named"     Named;
    budget     "S-budget"    Budget;
    rollout    "S-rollout"   Rollout;
    daemon     "S-daemon"    Daemon;
    job        "S-job"       JobsCount;
    cron       "S-cron"      Cron;
    ordinal    "S-ordinal"   Ordinal;
    scale      "S-scale"     Scale;
    preempt    "S-preempt"   Preempts;
    near       "S-near"      Nears;
    quota      "S-quota"     Quota;
    lease      "S-lease"     Leases;
    limit      "S-limit"     Limit;
    endpoints  "S-endpoints" Shown;
    history    "S-history"   History;
    over       "L-job"       Over;
    overdue    "L-cron"      Overdue;
    young      "S-young"     Young;
    stay       "L-evict"     Stay;
    demand     "S-demand"    Demand;
    list       "S-list"      List;
    address    "S-address"   Address;
    ends       "S-end"       Ends;
    restart    "L-restart"   Restart;
    silent     "L-silent"    Silent;
    stale      "S-stale"     Stale;
    since      "S-since"     Since;
    claim      "S-claim"     Claims;
    load       "S-load"      Loads;
    prefer     "S-prefer"    Prefers;
    given      "S-given"     Given;
    finished   "S-finished"  Finished;
    beat       "L-beat"      Beat;
    others     "S-others"    Others;
    reached    "S-reached"   Reached;
}

/// A number that stands for an object where very many are looked at and keys would take much room. Of a million objects no
/// two have the same one, but for one run in many millions; and that run is the same each time.
fn number(key: &Key) -> u64 {
    about(Draw::new(0), key).u64()
}

/// A statement that was broken, where and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// The checker's name, or that of an expectation.
    pub name: String,
    /// What should be so.
    pub statement: String,
    /// When it was found.
    pub at: Instant,
    /// The entry of the trace at which it was found.
    pub seq: Seq,
    /// How it is broken.
    pub broken: Broken,
}

/// All checkers together, and the first violation.
pub struct Judge {
    checkers: Vec<Box<dyn Checker>>,
    /// By [`Sight`]: the places of those who look at it.
    lookers: Vec<Vec<usize>>,
    /// What was found.
    pub violation: Option<Violation>,
    due: Option<Instant>,
}

impl Judge {
    /// With these checkers.
    pub fn new(on: bool) -> Self {
        let checkers: Vec<Box<dyn Checker>> =
            if on { CHECKERS.iter().map(|row| (row.make)()).collect() } else { Vec::new() };
        let looks = |at: &usize, sight| checkers[*at].sights().contains(&sight);
        let lookers = Sight::ALL.iter().map(|sight| (0..checkers.len()).filter(|at| looks(at, *sight)).collect());
        Judge { lookers: lookers.collect(), checkers, violation: None, due: None }
    }

    /// Whether there are checkers.
    pub fn judges(&self) -> bool {
        !self.checkers.is_empty()
    }

    /// Shows a fact to all who look at its kind.
    pub fn see(&mut self, truth: &Truth, fact: Fact<'_>) {
        for at in &self.lookers[fact.sight() as usize] {
            if let Err(broken) = self.checkers[*at].see(truth, &fact)
                && self.violation.is_none()
            {
                let row = &CHECKERS[*at];
                let (name, statement) = (row.name.to_owned(), row.statement().to_owned());
                self.violation = Some(Violation { name, statement, at: truth.now, seq: 0, broken });
            }
        }
        if matches!(fact, Fact::Durable { .. } | Fact::Weather | Fact::Time | Fact::Started { .. }) {
            let lookers = &self.lookers[Sight::Time as usize];
            self.due = lookers.iter().filter_map(|at| self.checkers[*at].due()).min();
        }
    }

    /// When a checker wants to see that time has passed.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checker_sees_the_facts_that_it_names_and_no_others() {
        for row in CHECKERS {
            let code = row.source.split("#[cfg(test)]").next().unwrap_or_default();
            let sights = (row.make)().sights();
            for sight in Sight::ALL {
                let fact = format!("Fact::{sight:?}");
                let named = code.match_indices(&fact).any(|(at, _)| {
                    let next = code[at + fact.len()..].chars().next();
                    next.is_none_or(|next| !next.is_alphanumeric())
                });
                assert_eq!(sights.contains(sight), named, "{} and {fact}", row.name);
            }
        }
    }

    #[test]
    fn every_file_begins_with_its_statement() {
        for row in CHECKERS {
            let first = row.source.lines().next().unwrap();
            assert!(first.starts_with(&format!("//! {}: ", row.name)), "{}: {first}", row.name);
            assert!(row.source.contains("#[cfg(test)]"), "{} has no test that fires it", row.name);
        }
    }
}

/// Facts for the tests of checkers.
#[cfg(test)]
pub(crate) mod forged {
    use super::*;
    use crate::disk::Outcome;
    use crate::truth::{Role, Who};
    use miniku_core::program::{Answer, CallId, CommitId, Committed, Input, Request, RequestId, WatchEvent, Write};
    use miniku_core::store::Change;
    use miniku_core::time::Duration;
    use serde_json::{Value, json};

    /// A history in the making, shown to one checker.
    pub struct Story<C> {
        pub truth: Truth,
        pub checker: C,
    }

    impl<C: Checker + Default> Story<C> {
        pub fn new() -> Self {
            Story { truth: Truth::default(), checker: C::default() }
        }

        /// As [`Judge::see`] does it: a checker that does not say what it looks at is blind here, too.
        pub fn see(&mut self, fact: Fact<'_>) -> Result<(), Broken> {
            if let Fact::Heard { who, input } = fact {
                self.truth.hear(who, input);
            }
            match self.checker.sights().contains(&fact.sight()) {
                true => self.checker.see(&self.truth, &fact),
                false => Ok(()),
            }
        }

        pub fn pass(&mut self, secs: u64) -> Result<(), Broken> {
            self.truth.now = self.truth.now + Duration::from_secs(secs);
            self.see(Fact::Time)
        }

        /// Makes a state of an object durable; removes it, if `gone`.
        pub fn write(&mut self, object: &Object, gone: bool) -> Result<Change, Broken> {
            let expect = self.truth.object(&object.key()).map_or_else(Default::default, Object::revision);
            let write = Write { key: object.key(), expect, object: (!gone).then(|| object.clone()) };
            self.truth.disk.submit(CommitId(0), write, 0);
            let submitted = self.truth.disk.synced().remove(0);
            let Outcome { outcome, change, .. } = self.truth.disk.settle(submitted);
            assert!(matches!(outcome, Committed::At(_)), "{outcome:?}");
            let change = change.unwrap();
            self.truth.durable(change.clone());
            self.see(Fact::Durable { change: &change })?;
            Ok(change)
        }

        pub fn put(&mut self, manifest: Value) -> Result<Change, Broken> {
            self.write(&crate::plan::object(manifest), false)
        }

        /// Somebody is stepped with this.
        pub fn steps(&mut self, who: &Who, input: Input) -> Result<(), Broken> {
            self.see(Fact::Heard { who, input: &input })
        }

        /// Somebody hears this on one of its watches.
        pub fn hears(&mut self, who: &Who, event: WatchEvent) -> Result<(), Broken> {
            self.steps(who, Input::Event { call: CallId(1), event })
        }

        /// Makes a state of an object durable, and shows it to somebody.
        pub fn shows(&mut self, who: &Who, manifest: Value) -> Result<Object, Broken> {
            let object = self.put(manifest)?.new.expect("what was just written is there");
            self.hears(who, WatchEvent::Added(object.clone()))?;
            Ok(object)
        }

        /// Somebody sends a request: number 1, for where numbers tell nothing.
        pub fn sends(&mut self, who: &Who, request: impl Into<Request>) -> Result<(), Broken> {
            self.asks(1, who, request)
        }

        /// Somebody sends the request of this number.
        pub fn asks(&mut self, id: u64, who: &Who, request: impl Into<Request>) -> Result<(), Broken> {
            self.see(Fact::Sent { who, id: RequestId(id), request: &request.into() })
        }

        /// The API server answers the request of this number.
        pub fn answers(&mut self, id: u64, answer: &Answer) -> Result<(), Broken> {
            self.see(Fact::Answered { id: RequestId(id), answer })
        }
    }

    pub fn who(role: Role, name: &str) -> Who {
        Who { role, name: name.into(), life: 1 }
    }

    pub fn node(name: &str) -> Value {
        json!({"kind": "Node", "metadata": {"name": name, "uid": name},
            "status": {"allocatable": {"cpu": "1", "memory": "1Gi", "pods": "2"}}})
    }

    pub fn pod(name: &str, node: &str, phase: &str) -> Value {
        json!({"kind": "Pod", "metadata": {"name": name, "uid": format!("{name}-uid")},
            "spec": {"nodeName": node, "containers": [{"name": "c", "image": "busybox",
                "resources": {"requests": {"cpu": "600m"}}}]},
            "status": {"phase": phase}})
    }
}
