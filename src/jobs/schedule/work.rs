//! What a run does, by the type of its job: each calls the one place where the rule stands.

use serde_json::{Map, Value, json};

use super::Scheduler;
use crate::{
    db::RunEnd,
    domain::{
        clock::EpochMs,
        ids::ImageUuid,
        schedule::{JobType, ScheduledJob},
    },
    jobs::JobError,
};

/// Images that a result names; all are in the log and have their tag.
const NAMED_MAX: usize = 20;

/// What a run has come to.
#[derive(Debug, Clone, Default)]
pub(super) struct Outcome {
    /// Whether it did what it was to do, and found nothing wrong.
    pub(super) success: bool,
    /// In words.
    pub(super) words: String,
    /// In numbers.
    pub(super) counts: Map<String, Value>,
    /// Images that it is about.
    pub(super) images: Vec<ImageUuid>,
}

impl Outcome {
    pub(super) fn failed(words: impl Into<String>) -> Self {
        Self { words: words.into(), ..Self::default() }
    }

    pub(super) fn counting(mut self, name: &str, count: u64) -> Self {
        self.counts.insert(name.to_owned(), count.into());
        self
    }

    /// As the history keeps it.
    pub(super) fn end(&self, now_ms: EpochMs) -> RunEnd {
        let mut result = json!({"success": self.success, "words": self.words});
        if !self.counts.is_empty() {
            result["counts"] = Value::Object(self.counts.clone());
        }
        if !self.images.is_empty() {
            let images = self.images.iter().take(NAMED_MAX).map(ToString::to_string);
            result["images"] = images.collect::<Vec<_>>().into();
        }
        RunEnd { success: self.success, result: result.to_string(), now_ms }
    }
}

impl Scheduler {
    pub(super) async fn work(&self, job: &ScheduledJob) -> Outcome {
        let now_ms = self.jobs.looked_at_clock();
        let done = match job.job_type {
            JobType::ExpireUploads => self.expire(now_ms).await,
            JobType::PurgeDeletedImages => self.purge(now_ms).await,
            JobType::PruneRecords => self.prune(now_ms, job.parameters.history_ms()).await,
            JobType::ReconcileStore => self.reconcile(job.parameters.repairs()).await,
            JobType::ScrubImages => self.scrub(job).await,
            JobType::VerifyImage => self.verify(job).await,
        };
        done.unwrap_or_else(|error| Outcome::failed(error.to_string()))
    }

    async fn expire(&self, now_ms: EpochMs) -> Result<Outcome, JobError> {
        let swept = self.jobs.expire(now_ms).await?;
        let words = format!(
            "{} unfinished jobs: {} were given up or led on, {} could not be and will be tried again",
            swept.seen, swept.changed, swept.failed
        );
        let outcome = Outcome { success: swept.failed == 0, words, ..Outcome::default() };
        Ok(outcome
            .counting("unfinished", swept.seen)
            .counting("changed", swept.changed)
            .counting("failed", swept.failed))
    }

    async fn purge(&self, now_ms: EpochMs) -> Result<Outcome, JobError> {
        let purged = self.jobs.purge(now_ms).await?;
        let words = format!(
            "{} deleted images were removed for good, {} could not be and will be tried again; {} strays were removed",
            purged.images.changed, purged.images.failed, purged.strays
        );
        let outcome = Outcome { success: purged.images.failed == 0, words, ..Outcome::default() };
        Ok(outcome
            .counting("images", purged.images.changed)
            .counting("failed", purged.images.failed)
            .counting("strays", purged.strays)
            .counting("strayBytes", purged.stray_bytes))
    }

    async fn prune(&self, now_ms: EpochMs, runs_kept_ms: i64) -> Result<Outcome, JobError> {
        let pruned = self.jobs.prune(now_ms, runs_kept_ms).await?;
        let words = format!(
            "{} results of calls, {} sessions and {} runs were removed",
            pruned.calls, pruned.sessions, pruned.runs
        );
        let outcome = Outcome { success: true, words, ..Outcome::default() };
        Ok(outcome
            .counting("calls", pruned.calls)
            .counting("sessions", pruned.sessions)
            .counting("runs", pruned.runs))
    }
}
