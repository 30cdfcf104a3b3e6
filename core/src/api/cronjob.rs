//! CronJob: jobs at certain times.
//!
//! Source: Kubernetes API reference v1.32, "CronJob"; documentation, "CronJob".

use crate::api::meta::{ObjectMeta, Time};
use crate::api::text::Text;
use crate::{api_enum, api_struct};
use serde_json::Value;

api_struct! {
    /// A cron job, but for its metadata.
    pub struct CronJob {
        /// What is wished.
        spec "spec": CronJobSpec,
        /// What its controller saw.
        status "status": CronJobStatus,
    }
}

api_struct! {
    /// What is wished of a cron job.
    pub struct CronJobSpec {
        /// When: see [`crate::api::schedule`].
        schedule "schedule": Text,
        /// Where the clock is; UTC if empty.
        time_zone "timeZone": Text,
        /// So many seconds after its time a job is still made; any number if absent.
        starting_deadline_seconds "startingDeadlineSeconds": Option<i64>,
        /// What is done if the last job still runs.
        concurrency_policy "concurrencyPolicy": ConcurrencyPolicy,
        /// Whether no jobs are made.
        suspend "suspend": bool,
        /// What its jobs look like.
        job_template "jobTemplate": JobTemplateSpec,
        /// How many jobs that succeeded are kept; 3 if absent.
        successful_jobs_history_limit "successfulJobsHistoryLimit": Option<i32>,
        /// How many jobs that failed are kept; 1 if absent.
        failed_jobs_history_limit "failedJobsHistoryLimit": Option<i32>,
    }
}

api_struct! {
    /// A job in the making.
    pub struct JobTemplateSpec {
        /// Labels and annotations of the jobs.
        metadata "metadata": ObjectMeta,
        /// Their spec, as it was written.
        spec "spec": Value,
    }
}

api_enum! {
    /// What is done at a job's time if the last one still runs.
    pub enum ConcurrencyPolicy {
        /// It is made all the same.
        #[default] Allow "Allow",
        /// It is left out.
        Forbid "Forbid",
        /// The last one is deleted.
        Replace "Replace",
    }
}

api_struct! {
    /// What a cron job's controller saw.
    pub struct CronJobStatus {
        /// Its jobs that have not ended.
        active "active": Vec<Value>,
        /// The time for which the last job was made.
        last_schedule_time "lastScheduleTime": Option<Time>,
        /// When the last job that succeeded did.
        last_successful_time "lastSuccessfulTime": Option<Time>,
    }
}

/// On jobs of a cron job: the time for which it was made.
pub const SCHEDULED_AT: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
