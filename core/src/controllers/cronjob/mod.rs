//! CronJob controller: jobs at certain times.
//!
//! [`plan`](mod@plan) is what a cron job wants; in it [`due`](mod@due) says whether its time has come. The
//! [program](super::workload) around it is that of all workloads.

pub mod due;
pub mod plan;
#[cfg(test)]
mod tests;

use crate::api::kinds::Kind;
use crate::api::object::Object;
use crate::api::selector::LabelSelector;
use crate::controllers::workload::{Plan, Scene, Workload};
use crate::pages::Page;
use std::borrow::Cow;

/// Cron jobs: each has its jobs made at their times.
#[derive(Debug)]
pub struct CronJobs;

impl Workload for CronJobs {
    fn kind(&self) -> Kind {
        Kind::CronJob
    }

    fn component(&self) -> &'static str {
        "cronjob-controller"
    }

    fn children(&self) -> &'static [Kind] {
        &[Kind::Job]
    }

    fn selector<'a>(&self, _owner: &'a Object) -> Option<Cow<'a, LabelSelector>> {
        None
    }

    fn plan(&self, scene: &Scene<'_>) -> Plan {
        plan::plan(scene)
    }
}

/// The pages of this folder's decisions.
pub fn pages() -> Vec<Page> {
    vec![
        Page::new("cron_due", "Whether a cron job's time has come", "the CronJob controller")
            .says(
                "Of the times that have passed since the last job, only the last counts. It is too late when \
                 `startingDeadlineSeconds` are over.",
            )
            .decides(&due::DUE),
    ]
}
