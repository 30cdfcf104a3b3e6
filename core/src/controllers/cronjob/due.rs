//! Whether a cron job's time has come, and what is done about it.
//!
//! Source: Kubernetes documentation, "CronJob"; `pkg/controller/cronjob`, `syncCronJob`.

use crate::api::schedule::Schedule;
use crate::time::{Duration, Wall};
use crate::{decision_enum, decision_table};
use jiff::tz::TimeZone;

decision_enum! {
    /// Whether there is a time for which no job was made.
    pub enum Time {
        /// There is none.
        NotYet,
        /// There is one.
        Due,
        /// There is one, but so long ago that it is too late.
        TooLate,
    }
}

decision_enum! {
    /// Whether an earlier job still runs.
    pub enum Last {
        /// None does.
        Ended,
        /// One does.
        Running,
    }
}

decision_enum! {
    /// What is done then.
    pub enum Policy {
        /// The next is made all the same.
        Allow,
        /// The next is left out.
        Forbid,
        /// The earlier one is deleted.
        Replace,
    }
}

decision_enum! {
    /// What is done.
    pub enum Action {
        /// Nothing before the next time.
        Wait,
        /// Nothing, and people are told that a job was left out.
        Miss,
        /// Nothing before the earlier job has ended.
        Hold,
        /// The job is made.
        Make,
        /// The earlier job is deleted, and this one made.
        MakeInstead,
    }
}

decision_table! {
    /// What is done about a cron job. Pure and total. Page: `docs/decisions/cron_due.md`.
    pub fn due(time: Time, last: Last, policy: Policy) -> Action, DUE;
    waits:     (NotYet,  _,       _)                => Wait,        "each time has its job";
    late:      (TooLate, _,       _)                => Miss,        "what it was for has passed";
    free:      (Due,     Ended,   _)                => Make,        "its time has come";
    beside:    (Due,     Running, Allow)            => Make,        "they do not disturb each other";
    forbidden: (Due,     Running, Forbid)           => Hold,        "two at a time would disturb each other";
    instead:   (Due,     Running, Replace)          => MakeInstead, "what the earlier one does is out of date";
}

/// The last time of a schedule after `after` and not after `now`, and whether there were more than a hundred.
///
/// Only the last one counts: a controller that was away for a day makes one job, not a thousand.
pub fn last_missed(schedule: &Schedule, zone: &TimeZone, after: Wall, now: Wall) -> (Option<Wall>, bool) {
    let first = schedule.next(after, zone).filter(|at| *at <= now);
    let Some(mut last) = first else { return (None, false) };
    if planted!(CronMakesUp) {
        return (first, false);
    }
    let mut count = 1;
    // Of many a few are skipped: the last lies within the last two pauses before now.
    while let Some(next) = schedule.next(last, zone).filter(|at| *at <= now) {
        count += 1;
        last = next;
        if count > 100 {
            return (Some(latest(schedule, zone, last, now)), true);
        }
    }
    (Some(last), false)
}

/// The last time after `known`, which is one, and not after `now`. Looks back from `now`, further each time.
fn latest(schedule: &Schedule, zone: &TimeZone, known: Wall, now: Wall) -> Wall {
    let mut back = Duration::from_secs(60);
    loop {
        let secs = i64::try_from(back.as_secs()).unwrap_or(i64::MAX);
        let from = Wall::from_secs(now.secs().saturating_sub(secs).max(known.secs()));
        let mut found = None;
        let mut at = from;
        while let Some(next) = schedule.next(at, zone).filter(|at| *at <= now) {
            found = Some(next);
            at = next;
        }
        if let Some(found) = found {
            return found;
        }
        if from <= known {
            return known;
        }
        back *= 8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_time_counts() {
        let check = |schedule: &str, after, now, want: Option<i64>, many| {
            let schedule = Schedule::parse(schedule).unwrap();
            let (last, too_many) = last_missed(&schedule, &TimeZone::UTC, Wall::from_secs(after), Wall::from_secs(now));
            assert_eq!((last.map(Wall::secs), too_many), (want, many));
        };
        check("* * * * *", 0, 59, None, false);
        check("* * * * *", 0, 60, Some(60), false);
        check("* * * * *", 0, 600, Some(600), false);
        check("* * * * *", 0, 86_430, Some(86_400), true);
        check("0 0 * * *", 0, 400 * 86_400 + 5, Some(400 * 86_400), true);
    }
}
