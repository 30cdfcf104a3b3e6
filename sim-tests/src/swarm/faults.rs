//! Which faults a random run has beside the usual ones.
//!
//! Each kind is left out of half of the runs. What no cluster has to stand is never drawn: see the comments.

use super::Dice;
use crate::disk::Unsynced;
use crate::noise::Delay;
use crate::plan::{Consumer, Fault, Mishap, Off, Plan, Ratio, Spikes, Stale, Weather, When};
use crate::runtime::Trouble;
use miniku_core::api::kinds::Kind;
use miniku_core::time::Duration;

/// Adds faults to a plan for so many nodes, within a time.
pub(super) fn draw(dice: &Dice, nodes: u64, within: u64, plan: &mut Plan) {
    for nth in 0..dice.below("more faults", 0, 7) {
        let Some(fault) = fault(dice, nth, nodes) else { continue };
        let at = dice.millis("more at", nth, 500, within);
        plan.strike(at, fault);
        if dice.has("occasions") && dice.below("occasion", nth, 3) == 0 {
            plan.entries.last_mut().expect("it was just added").when = Some(occasion(dice, nth, nodes));
        }
    }
}

fn occasion(dice: &Dice, nth: u64, nodes: u64) -> When {
    let actor = super::actor(dice, 200 + nth, nodes);
    let many = 1 + dice.below("occasion after", nth, 30);
    match dice.below("occasion kind", nth, 6) {
        0 => When::Output { actor, nth: many },
        1 => When::Request { actor, nth: many },
        2 => When::Reply { actor, nth: many },
        3 => When::Event { actor, nth: many },
        4 => When::Written { kind: Kind::ReplicaSet, nth: many },
        _ => When::Written { kind: Kind::Pod, nth: many },
    }
}

fn controller(dice: &Dice, nth: u64) -> String {
    ["namespaces", "node-lifecycle", "garbage"][dice.below("controller", nth, 3) as usize].into()
}

fn fault(dice: &Dice, nth: u64, nodes: u64) -> Option<Fault> {
    let below = |what: &str, bound: u64| dice.below(what, nth, bound);
    let short = dice.millis("more short", nth, 1, 5_000);
    let lasts = dice.millis("more long", nth, 100, 60_000);
    let share = Ratio(1 + below("share", 3) as u32, 4);
    let node = super::node(dice, 100 + nth, nodes);
    let actor = match below("whom", 8) {
        0 => "all nodes".into(),
        1 => "all controllers".into(),
        2 => "a random half".into(),
        _ => super::actor(dice, 100 + nth, nodes),
    };
    let link = |actor: String, weather| Fault::Link { actor, weather, lasts };
    let mean = |what: &str, to: u64| Delay { min: Duration::ZERO, mean: dice.millis(what, nth, 1, to) };
    let (kind, fault) = match below("more", 30) {
        0 => ("clog", link(actor, Weather::CLOG)),
        1 => ("stall", link(actor, Weather { stalled: true, ..Weather::FAIR })),
        2 => {
            let spikes = Some(Spikes { share: Ratio(1, 20), by: mean("spike", 30_000) });
            ("spikes", link(actor, Weather { spikes, ..Weather::FAIR }))
        }
        3 => ("deaf", link(actor, Weather { replies_lost: Ratio::ALL, ..Weather::FAIR })),
        4 => ("mute", link(actor, Weather { requests_lost: Ratio::ALL, ..Weather::FAIR })),
        5 => {
            let flaps = Some(dice.millis("flaps", nth, 50, 8_000));
            ("flaps", link(actor, Weather { flaps, ..Weather::CUT }))
        }
        6 => ("doubled", link(actor, Weather { requests_doubled: share, ..Weather::FAIR })),
        7 => {
            let (each, buffer) = (dice.millis("each", nth, 1, 2_000), 1 + below("buffer", 20) as usize);
            ("consumer", link(actor, Weather { consumer: Some(Consumer { each, buffer }), ..Weather::FAIR }))
        }
        8 => {
            let stale = Some(match below("stale", 2) {
                0 => Stale::Revisions(1 + below("revisions", 200)),
                _ => Stale::Time(dice.millis("stale time", nth, 100, 60_000)),
            });
            ("stale", link(actor, Weather { stale, no_bookmarks: below("bookmarks", 2) == 0, ..Weather::FAIR }))
        }
        9 => ("swizzle", Fault::Swizzle { actor: "a random half".into(), lasts }),
        10 => ("reset", Fault::Reset { actor }),
        11 => ("expire", Fault::ExpireWatches { actor }),
        12 => ("compact", Fault::Compact {}),
        13 => {
            let mishap = match below("mishap", 6) {
                0 => Mishap::RequestLost,
                1 => Mishap::RequestDoubled,
                2 => Mishap::RequestLate(lasts),
                3 => Mishap::ReplyLost,
                4 => Mishap::WatchCut,
                _ => Mishap::Stale(1 + below("revisions", 200)),
            };
            ("message", Fault::Message { actor, nth: 1 + below("message", 30), mishap })
        }
        14 => {
            ("torn", Fault::ApiServerCrash { down: short, unsynced: Unsynced::First(1 + below("first", 4) as usize) })
        }
        15 => {
            let code = [429, 500, 503][below("code", 3) as usize];
            ("overload", Fault::Overload { share, code, lasts: lasts / 2 })
        }
        16 => ("slow disk", Fault::SlowDisk { sync: mean("slow sync", 2_000), lasts }),
        17 => ("sync errors", Fault::SyncErrors { share, lasts: lasts / 2 }),
        18 => {
            let actor = if below("server", 4) == 0 { "apiserver".into() } else { actor };
            let (times, up) = (2 + below("times", 5) as u32, dice.millis("up", nth, 0, 3_000));
            ("crash loop", Fault::CrashLoop { actor, times, up, down: short / 2 })
        }
        19 => {
            let actor = if below("server", 4) == 0 { "apiserver".into() } else { actor };
            ("freeze", Fault::Freeze { actor, lasts })
        }
        20 => ("slow program", Fault::Slow { actor, delay: mean("slow program", 2_000), lasts }),
        21 => ("intruder", Fault::Intruder { actor, share, lasts: lasts / 4 }),
        // Only of those whose second life breaks nothing, see the fault.
        22 => ("twin", Fault::Twin { actor: controller(dice, nth), lasts }),
        23 => ("node freeze", Fault::NodeFreeze { node, lasts }),
        24 => {
            let trouble = match below("trouble", 5) {
                0 => Trouble::Slow(mean("slow runtime", 5_000)),
                1 => Trouble::IgnoresTerm,
                2 => Trouble::NoImages,
                3 => Trouble::DiskFull,
                _ => Trouble::TimesOut(share),
            };
            ("runtime", Fault::Runtime { node, trouble, lasts })
        }
        25 => {
            let far = dice.millis("off", nth, 1, 86_400_000);
            let off = if below("which", 2) == 0 { Off::Ahead(far) } else { Off::Behind(far) };
            ("wall clock", Fault::WallClock { actor, off, lasts })
        }
        26 => {
            let actor = if below("server", 4) == 0 { "apiserver".into() } else { actor };
            ("drift", Fault::Drift { actor, per_mille: below("drift", 101) as i32 - 50, lasts })
        }
        27 => ("oom", Fault::OutOfMemory { pod: super::name(below("oom", 3)) }),
        28 => {
            let every = dice.millis("every", nth, 1_000, 10_000);
            ("crashing", Fault::CrashingContainers { pod: super::name(below("crashing", 3)), every, lasts: lasts / 2 })
        }
        _ => ("crash all", Fault::Crash { actor, down: short }),
    };
    dice.has(kind).then_some(fault)
}
