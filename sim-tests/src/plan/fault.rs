//! What goes wrong: whom it strikes, and for how long.

use super::{Added, Millis, Ratio, Weather};
use crate::disk::Unsynced;
use crate::noise::Delay;
use crate::runtime::Trouble;
use crate::units;
use miniku_core::durations;
use miniku_core::time::Duration;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What happens to one message of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Mishap {
    /// The request does not arrive.
    RequestLost,
    /// The request arrives twice; one that opens a watch, once.
    RequestDoubled,
    /// The request arrives so much later.
    RequestLate(#[serde(with = "units::duration")] Duration),
    /// Right before the request arrives, somebody annotates the object that it is about.
    Conflict,
    /// The answer does not arrive.
    ReplyLost,
    /// The answer arrives so much later; not at all, if that is after the time-out.
    ReplyLate(#[serde(with = "units::duration")] Duration),
    /// The watch on which the event came ends right after it.
    WatchCut,
    /// The list within a life comes from a server that lags behind by so many revisions, as far as it may.
    Stale(u64),
}

/// Groups of programs, by the words that stand for them where a program's name can stand.
pub const GROUPS: &[&str] = &["all nodes", "all controllers", "everybody", "a random half"];

/// Something that goes wrong. Whatever `lasts` or is `down` for a time is whole again afterwards.
///
/// Where a program is named, one of [`GROUPS`] can be named as well: each of the group is struck.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Fault {
    /// The API server is killed.
    ApiServerCrash {
        /// How long it is away.
        #[serde(with = "units::duration")]
        down: Duration,
        /// What becomes of the writes that were on their way to the disk.
        unsynced: Unsynced,
    },
    /// A program is killed; what it started lives on.
    Crash {
        /// Its name.
        actor: String,
        /// How long it is away.
        #[serde(with = "units::duration")]
        down: Duration,
    },
    /// A program is told to end, and does so in good order, as at an update; what it started lives on.
    Stop {
        /// Its name.
        actor: String,
        /// How long it is away.
        #[serde(with = "units::duration")]
        down: Duration,
    },
    /// A program is killed in the middle of a step: right after one of its next outputs.
    CrashAfterOutput {
        /// Its name.
        actor: String,
        /// So many outputs from now.
        outputs: u64,
        /// How long it is away.
        #[serde(with = "units::duration")]
        down: Duration,
    },
    /// A program is killed again and again, soon after each start. `apiserver` can be named.
    CrashLoop {
        /// Its name.
        actor: String,
        /// How often in all.
        times: u32,
        /// How long it is up in between; right after its first step if this is 0.
        #[serde(with = "units::duration")]
        up: Duration,
        /// How long it is away each time.
        #[serde(with = "units::duration")]
        down: Duration,
    },
    /// A program stands still, as in a virtual machine that is paused: what comes waits, then comes at once, and its
    /// clocks have gone on. `apiserver` can be named.
    Freeze {
        /// Its name.
        actor: String,
        /// How long.
        #[serde(with = "units::duration")]
        lasts: Duration,
    },
    /// What a program does leaves it late.
    Slow {
        /// Its name.
        actor: String,
        /// How late.
        delay: Delay,
        /// How long.
        #[serde(with = "units::duration")]
        lasts: Duration,
    },
    /// Somebody annotates objects right before writes of a program to them arrive.
    Intruder {
        /// The program's name.
        actor: String,
        /// Of how many of its writes.
        share: Ratio,
        /// How long.
        #[serde(with = "units::duration")]
        lasts: Duration,
    },
    /// A second life of a program runs beside the first: two leaders. Never of kubelets, of which a node has one.
    ///
    /// Nothing is lost by it for good, and nothing runs twice. But two schedulers can both give away the last room of a
    /// node, since a bind is conditional on its pod alone (S-fit). Two replica set controllers that see different
    /// things at one time fill one gap under two names, as long as a name is free for one and not yet for the other
    /// (S-count), and write what each of them counts over the other's count (L-hot). The others stand it.
    Twin {
        /// Its name.
        actor: String,
        /// How long, until the second is killed.
        #[serde(with = "units::duration")]
        lasts: Duration,
    },
    /// A machine loses power, with all its processes.
    NodeCrash {
        /// The node's name.
        node: String,
        /// How long it is away; for ever if absent.
        #[serde(with = "units::maybe_duration", default, skip_serializing_if = "Option::is_none")]
        down: Option<Duration>,
    },
    /// A machine stands still, with all its processes.
    NodeFreeze {
        /// The node's name.
        node: String,
        /// How long.
        #[serde(with = "units::duration")]
        lasts: Duration,
    },
    /// A node's container runtime is in trouble.
    Runtime {
        /// The node's name.
        node: String,
        /// Which.
        trouble: Trouble,
        /// How long.
        #[serde(with = "units::duration")]
        lasts: Duration,
    },
    /// The way between a program and the API server is bad.
    Link {
        /// The program's name.
        actor: String,
        /// How bad.
        weather: Weather,
        /// How long.
        #[serde(with = "units::duration")]
        lasts: Duration,
    },
    /// Programs' ways are clogged one by one, in a drawn order, and cleared one by one in another.
    Swizzle {
        /// The programs: a group.
        actor: String,
        /// From the first that is clogged to the last that is cleared.
        #[serde(with = "units::duration")]
        lasts: Duration,
    },
    /// One of a program's next messages meets with something.
    Message {
        /// The program's name.
        actor: String,
        /// Which one of those that this can happen to: requests, answers, events or lists within its life.
        nth: u64,
        /// What happens.
        mishap: Mishap,
    },
    /// All connections of a program break: what it asked is lost to it, carried out or not, and all watches end.
    Reset {
        /// The program's name.
        actor: String,
    },
    /// All watches of a program end.
    CutWatches {
        /// The program's name.
        actor: String,
    },
    /// All watches of a program end as too old.
    ExpireWatches {
        /// The program's name.
        actor: String,
    },
    /// All history is forgotten: every watch ends as too old, and none begins in the past.
    Compact {},
    /// The API server refuses what it is asked.
    Overload {
        /// How much of it.
        share: Ratio,
        /// With which HTTP status: 429, 500, 503.
        code: u16,
        /// How long.
        #[serde(with = "units::duration")]
        lasts: Duration,
    },
    /// Nothing can be written.
    DiskFull {
        /// How long.
        #[serde(with = "units::duration")]
        lasts: Duration,
    },
    /// The API server's disk is slow.
    SlowDisk {
        /// What is added to each sync.
        sync: Delay,
        /// How long.
        #[serde(with = "units::duration")]
        lasts: Duration,
    },
    /// Syncs of the API server's disk fail, and nothing of them is written.
    SyncErrors {
        /// How many.
        share: Ratio,
        /// How long.
        #[serde(with = "units::duration")]
        lasts: Duration,
    },
    /// A program's wall clock shows another time, or stands still, and in the end jumps to the right one. A kubelet's is
    /// its node's. `apiserver` can be named.
    WallClock {
        /// The program's name.
        actor: String,
        /// How it is off.
        off: Off,
        /// How long.
        #[serde(with = "units::duration")]
        lasts: Duration,
    },
    /// A program's monotonic clock runs at another speed. `apiserver` can be named.
    Drift {
        /// The program's name.
        actor: String,
        /// How much faster than the world's, in thousandths; negative if slower.
        per_mille: i32,
        /// How long.
        #[serde(with = "units::duration")]
        lasts: Duration,
    },
    /// The processes of one pod end by themselves: of the first, by name, that starts like this and has any.
    ProcessesEnd {
        /// The beginning of the pod's name.
        pod: String,
        /// Their exit status.
        code: i32,
    },
    /// The kernel kills the processes of such a pod for lack of memory.
    OutOfMemory {
        /// The beginning of the pod's name.
        pod: String,
    },
    /// The processes of such pods end again and again.
    CrashingContainers {
        /// The beginning of the pods' names.
        pod: String,
        /// How often one such pod is struck.
        #[serde(with = "units::duration")]
        every: Duration,
        /// How long.
        #[serde(with = "units::duration")]
        lasts: Duration,
    },
}

/// How a wall clock is off: `ahead: 1h`, `behind: 1h` or `still`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Off {
    /// It shows a time to come.
    Ahead(#[serde(with = "units::duration")] Duration),
    /// It shows a time that has passed.
    Behind(#[serde(with = "units::duration")] Duration),
    /// It stands still at the time that it shows when the fault strikes.
    Still,
}

impl Fault {
    /// What it strikes, as reports draw it: an actor, a node, `apiserver`, `disk`, the beginning of a pod's name.
    pub fn target(&self) -> &str {
        match self {
            Fault::ApiServerCrash { .. } | Fault::Compact {} | Fault::Overload { .. } => "apiserver",
            Fault::Crash { actor, .. }
            | Fault::Stop { actor, .. }
            | Fault::CrashAfterOutput { actor, .. }
            | Fault::CrashLoop { actor, .. }
            | Fault::Freeze { actor, .. }
            | Fault::Slow { actor, .. }
            | Fault::Intruder { actor, .. }
            | Fault::Twin { actor, .. }
            | Fault::Link { actor, .. }
            | Fault::Swizzle { actor, .. }
            | Fault::Message { actor, .. }
            | Fault::Reset { actor }
            | Fault::CutWatches { actor }
            | Fault::ExpireWatches { actor }
            | Fault::WallClock { actor, .. }
            | Fault::Drift { actor, .. } => actor,
            Fault::NodeCrash { node, .. } | Fault::NodeFreeze { node, .. } | Fault::Runtime { node, .. } => node,
            Fault::DiskFull { .. } | Fault::SlowDisk { .. } | Fault::SyncErrors { .. } => "disk",
            Fault::ProcessesEnd { pod, .. } | Fault::OutOfMemory { pod } | Fault::CrashingContainers { pod, .. } => pod,
        }
    }

    /// The program or group that it names.
    pub fn actor(&self) -> Option<&str> {
        match self {
            Fault::ApiServerCrash { .. }
            | Fault::Compact {}
            | Fault::Overload { .. }
            | Fault::NodeCrash { .. }
            | Fault::NodeFreeze { .. }
            | Fault::Runtime { .. }
            | Fault::DiskFull { .. }
            | Fault::SlowDisk { .. }
            | Fault::SyncErrors { .. }
            | Fault::ProcessesEnd { .. }
            | Fault::OutOfMemory { .. }
            | Fault::CrashingContainers { .. } => None,
            _ => Some(self.target()),
        }
    }

    /// The node that it names.
    pub fn node(&self) -> Option<&str> {
        match self {
            Fault::NodeCrash { node, .. } | Fault::NodeFreeze { node, .. } | Fault::Runtime { node, .. } => Some(node),
            _ => None,
        }
    }

    /// Whether the API server can be struck like this.
    pub fn strikes_server(&self) -> bool {
        matches!(self, Fault::CrashLoop { .. } | Fault::Freeze { .. } | Fault::WallClock { .. } | Fault::Drift { .. })
    }

    /// How long its effects last, until everything is started and connected again.
    pub fn lasts(&self) -> Duration {
        match self {
            Fault::ApiServerCrash { down, .. }
            | Fault::Crash { down, .. }
            | Fault::Stop { down, .. }
            | Fault::CrashAfterOutput { down, .. } => *down,
            Fault::CrashLoop { times, up, down, .. } => up.saturating_add(*down).saturating_mul(*times),
            Fault::NodeCrash { down, .. } => down.unwrap_or_default(),
            Fault::Link { lasts, .. }
            | Fault::DiskFull { lasts }
            | Fault::Freeze { lasts, .. }
            | Fault::Slow { lasts, .. }
            | Fault::Intruder { lasts, .. }
            | Fault::Twin { lasts, .. }
            | Fault::NodeFreeze { lasts, .. }
            | Fault::Runtime { lasts, .. }
            | Fault::Swizzle { lasts, .. }
            | Fault::Overload { lasts, .. }
            | Fault::SlowDisk { lasts, .. }
            | Fault::SyncErrors { lasts, .. }
            | Fault::WallClock { lasts, .. }
            | Fault::Drift { lasts, .. }
            | Fault::CrashingContainers { lasts, .. } => *lasts,
            Fault::Message { mishap: Mishap::RequestLate(by) | Mishap::ReplyLate(by), .. } => *by,
            Fault::CutWatches { .. }
            | Fault::ExpireWatches { .. }
            | Fault::Reset { .. }
            | Fault::Compact {}
            | Fault::Message { .. }
            | Fault::ProcessesEnd { .. }
            | Fault::OutOfMemory { .. } => Duration::ZERO,
        }
    }

    /// What is so again when it is over, for those that are told to end.
    pub fn healed(&self) -> Option<String> {
        Some(match self {
            Fault::Link { actor, .. } => format!("the link of {actor} is good again"),
            Fault::Swizzle { actor, .. } => format!("the links of {actor} are good again"),
            Fault::DiskFull { .. } => "the disk has room again".into(),
            Fault::SlowDisk { .. } => "the disk is fast again".into(),
            Fault::SyncErrors { .. } => "the disk is sound again".into(),
            Fault::Overload { .. } => "the API server has time again".into(),
            Fault::Freeze { actor, .. } => format!("{actor} goes on"),
            Fault::NodeFreeze { node, .. } => format!("{node} goes on"),
            Fault::Slow { actor, .. } => format!("{actor} is fast again"),
            Fault::Intruder { actor, .. } => format!("nobody is in the way of {actor}"),
            Fault::Twin { actor, .. } => format!("there is one {actor} again"),
            Fault::Runtime { node, .. } => format!("the runtime of {node} is well again"),
            Fault::WallClock { actor, .. } => format!("the clock of {actor} is right again"),
            Fault::Drift { actor, .. } => format!("the clock of {actor} runs as it should"),
            Fault::CrashingContainers { pod, .. } => format!("pods {pod}* are left alone"),
            Fault::ApiServerCrash { .. }
            | Fault::Crash { .. }
            | Fault::Stop { .. }
            | Fault::CrashAfterOutput { .. }
            | Fault::CrashLoop { .. }
            | Fault::NodeCrash { .. }
            | Fault::Message { .. }
            | Fault::Reset { .. }
            | Fault::CutWatches { .. }
            | Fault::ExpireWatches { .. }
            | Fault::Compact {}
            | Fault::ProcessesEnd { .. }
            | Fault::OutOfMemory { .. } => return None,
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::ApiServerCrash { down, unsynced } => {
                write!(f, "API server crashes for {}s, unsynced writes are {unsynced}", Millis(*down))
            }
            Fault::Crash { actor, down } => write!(f, "{actor} crashes for {}s", Millis(*down)),
            Fault::Stop { actor, down } => write!(f, "{actor} is ended for {}s", Millis(*down)),
            Fault::CrashAfterOutput { actor, outputs, down } => {
                write!(f, "{actor} crashes after output {outputs} for {}s", Millis(*down))
            }
            Fault::CrashLoop { actor, times, up, down } => {
                write!(f, "{actor} crashes {times} times for {}s, {}s apart", Millis(*down), Millis(*up))
            }
            Fault::Freeze { actor, lasts } => write!(f, "{actor} stands still for {}s", Millis(*lasts)),
            Fault::Slow { actor, delay, lasts } => {
                write!(f, "{actor} is {} slower for {}s", Added(delay), Millis(*lasts))
            }
            Fault::Intruder { actor, share, lasts } => {
                write!(f, "{share} of the writes of {actor} meet an intruder for {}s", Millis(*lasts))
            }
            Fault::Twin { actor, lasts } => write!(f, "there are two {actor} for {}s", Millis(*lasts)),
            Fault::NodeCrash { node, down: Some(down) } => write!(f, "{node} loses power for {}s", Millis(*down)),
            Fault::NodeCrash { node, down: None } => write!(f, "{node} loses power for ever"),
            Fault::NodeFreeze { node, lasts } => write!(f, "{node} stands still for {}s", Millis(*lasts)),
            Fault::Runtime { node, trouble, lasts } => {
                write!(f, "runtime of {node} for {}s: {trouble}", Millis(*lasts))
            }
            Fault::Link { actor, weather, lasts } => {
                write!(f, "{actor} <-> API server for {}s: {weather}", Millis(*lasts))
            }
            Fault::Swizzle { actor, lasts } => {
                write!(f, "{actor} <-> API server for {}s: clogged and cleared one by one", Millis(*lasts))
            }
            Fault::Message { actor, nth, mishap } => match mishap {
                Mishap::RequestLost => write!(f, "request {nth} of {actor} is lost"),
                Mishap::RequestDoubled => write!(f, "request {nth} of {actor} arrives twice"),
                Mishap::RequestLate(by) => write!(f, "request {nth} of {actor} is {}s late", Millis(*by)),
                Mishap::Conflict => write!(f, "request {nth} of {actor} meets an intruder"),
                Mishap::ReplyLost => write!(f, "answer {nth} to {actor} is lost"),
                Mishap::ReplyLate(by) => write!(f, "answer {nth} to {actor} is {}s late", Millis(*by)),
                Mishap::WatchCut => write!(f, "a watch of {actor} ends after event {nth}"),
                Mishap::Stale(by) => write!(f, "list {nth} of {actor} is {by} revisions old"),
            },
            Fault::Reset { actor } => write!(f, "all connections of {actor} break"),
            Fault::CutWatches { actor } => write!(f, "all watches of {actor} end"),
            Fault::ExpireWatches { actor } => write!(f, "all watches of {actor} end as too old"),
            Fault::Compact {} => f.write_str("API server forgets all history"),
            Fault::Overload { share, code, lasts } => {
                write!(f, "API server refuses {share} of all with {code} for {}s", Millis(*lasts))
            }
            Fault::DiskFull { lasts } => write!(f, "disk full for {}s", Millis(*lasts)),
            Fault::SlowDisk { sync, lasts } => write!(f, "disk {} slower for {}s", Added(sync), Millis(*lasts)),
            Fault::SyncErrors { share, lasts } => write!(f, "{share} of all syncs fail for {}s", Millis(*lasts)),
            Fault::WallClock { actor, off, lasts } => {
                let off = match off {
                    Off::Ahead(off) => format!("is {} ahead", durations::text(*off)),
                    Off::Behind(off) => format!("is {} behind", durations::text(*off)),
                    Off::Still => "stands still".into(),
                };
                write!(f, "clock of {actor} {off} for {}s", Millis(*lasts))
            }
            Fault::Drift { actor, per_mille, lasts } => {
                write!(f, "clock of {actor} runs {per_mille:+}/1000 faster for {}s", Millis(*lasts))
            }
            Fault::ProcessesEnd { pod, code } => write!(f, "the processes of pod {pod}* exit with {code}"),
            Fault::OutOfMemory { pod } => write!(f, "the processes of pod {pod}* are out of memory"),
            Fault::CrashingContainers { pod, every, lasts } => {
                write!(f, "the processes of pods {pod}* end every {}s for {}s", Millis(*every), Millis(*lasts))
            }
        }
    }
}
