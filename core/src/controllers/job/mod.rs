//! Job controller: pods that run until enough of them have succeeded.
//!
//! [`plan`](mod@plan) is what a job wants. In it [`outcome`] says what a pod counts as, [`tally`](mod@tally) counts each of
//! them once, and [`end`](mod@end) says whether the job has come to its end. The [program](super::workload) around it is that
//! of all workloads.

pub mod end;
pub mod indexes;
pub mod outcome;
pub mod plan;
pub mod tally;
#[cfg(test)]
mod tests;

use crate::api::job::{INDEX, TRACKING};
use crate::api::kinds::Kind;
use crate::api::object::Object;
use crate::api::plain::{label_selector, text};
use crate::api::selector::LabelSelector;
use crate::api::text::Text;
use crate::controllers::workload::{Plan, Scene, Workload};
use crate::pages::Page;
use std::borrow::Cow;

/// Jobs: each is run to its end.
#[derive(Debug)]
pub struct Jobs;

impl Workload for Jobs {
    fn kind(&self) -> Kind {
        Kind::Job
    }

    fn component(&self) -> &'static str {
        "job-controller"
    }

    fn children(&self) -> &'static [Kind] {
        &[Kind::Pod]
    }

    /// None for a job that somebody else manages: who is taken for it would be held, and never counted and let go.
    fn selector<'a>(&self, owner: &'a Object) -> Option<Cow<'a, LabelSelector>> {
        let is_ours = !plan::is_managed_elsewhere(text(owner, &["spec", "managedBy"]));
        label_selector(owner.at(&["spec", "selector"]).filter(|_| is_ours)).map(Cow::Owned)
    }

    fn holds(&self) -> Option<&'static str> {
        Some(TRACKING)
    }

    fn plan(&self, scene: &Scene<'_>) -> Plan {
        plan::plan(scene)
    }

    /// Its number, if it has one: numbers may fail by themselves.
    fn place<'a>(&self, child: &'a Object) -> Option<&'a str> {
        child.meta().annotations.get(INDEX).map(Text::as_str)
    }
}

/// Who decides here.
const BY: &str = "the Job controller";

/// The pages of this folder's decisions.
pub fn pages() -> Vec<Page> {
    vec![
        Page::new("job_outcome", "What a job's pod counts as", BY)
            .says(
                "Each pod is counted once. It is held by a finalizer until its uid is in the job's status; so a success \
                 counts even if the pod is deleted, and no failure counts twice.",
            )
            .decides(&outcome::OUTCOME),
        end::page(),
    ]
}
