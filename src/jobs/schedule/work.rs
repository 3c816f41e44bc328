//! What a run does, by the type of its job: each calls the one place where the rule stands.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::Scheduler;
use crate::{
    db::{NewTag, RunEnd},
    domain::{
        account::Scope,
        clock::EpochMs,
        ids::{ImageUuid, TagUuid},
        image::{ImageRecord, ImageStatus},
        query::{Condition, Operator, Query},
        schedule::{JobType, ScheduledJob},
        tag::{Resource, TAGS_OF_RESOURCE_MAX, TagKind},
    },
    jobs::JobError,
    uploads::{ImageFound, Pace, StoreError, UploadError},
};

/// Images that are asked for at once.
const PAGE: u64 = 50;
/// Images that a result names; all are in the log and have their tag.
const NAMED_MAX: usize = 20;
/// What a system tag of a damaged image begins with.
pub(super) const DAMAGED: &str = "imageDamaged::";

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

/// What looking at images has come to.
#[derive(Debug, Default)]
struct Scrubbed {
    sound: u64,
    damaged: u64,
    bytes: u64,
    failed: u64,
    images: Vec<ImageUuid>,
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

    /// The image that was not looked at for longest first, until the run has taken its time: a run that was broken off, or one of
    /// another process, is gone on with where it stopped.
    async fn scrub(&self, job: &ScheduledJob) -> Result<Outcome, JobError> {
        let (pace, begun) = (pace(job), Instant::now());
        let time = Duration::from_secs(job.parameters.secs_per_run());
        let now_ms = self.jobs.parts.clock.now_ms();
        let before_ms = now_ms.saturating_sub(job.parameters.again_after_ms());
        let mut scrubbed = Scrubbed::default();
        let (mut after, mut is_over) = (None, false);
        while !is_over {
            // What this run has looked at is not ahead of a clock that is read anew.
            let (db, now_ms) = (&self.jobs.parts.db, self.jobs.parts.clock.now_ms());
            let oldest = db.images_to_check(after, before_ms, now_ms, PAGE).await?;
            is_over = oldest.last.is_none();
            after = oldest.last;
            for (image, error) in oldest.unreadable {
                // It must not keep all others, each night anew.
                tracing::error!(image, %error, "the row of an image cannot be read, and so its bytes were not: mend the row");
                scrubbed.failed += 1;
            }
            for image in oldest.images {
                if begun.elapsed() > time {
                    is_over = true;
                    break;
                }
                self.look_at(&image, pace, &mut scrubbed).await?;
            }
        }
        Ok(scrubbed.outcome())
    }

    async fn verify(&self, job: &ScheduledJob) -> Result<Outcome, JobError> {
        let Some(uuid) = job.target else {
            return Ok(Outcome::failed(
                "the job names no image; delete it, and make one that does",
            ));
        };
        let image = self.jobs.parts.db.image(uuid, Scope::All).await?;
        let Some(image) = image.filter(|image| image.status == ImageStatus::Ready) else {
            return Ok(Outcome::failed(format!(
                "there is no image {uuid}, or it is not Ready: it was not looked at"
            )));
        };
        let mut scrubbed = Scrubbed::default();
        self.look_at(&image, pace(job), &mut scrubbed).await?;
        Ok(scrubbed.outcome())
    }

    async fn look_at(
        &self,
        image: &ImageRecord,
        pace: Pace,
        scrubbed: &mut Scrubbed,
    ) -> Result<(), JobError> {
        let found = match self.jobs.parts.uploads.check_image(image, pace).await {
            Ok(found) => Ok(found),
            // The commonest form of rot: the disk itself says so, and says it again. It was looked at: first in every run, it would
            // take the time of all others each night.
            Err(UploadError::Store(error @ StoreError::Io { .. })) => Err(error),
            Err(error) => {
                // One that cannot be read must not keep all others; and it stays the first of the next run.
                tracing::error!(image = %image.uuid, %error, "an image could not be read again; it will be tried again");
                scrubbed.failed += 1;
                return Ok(());
            }
        };
        let damage = match &found {
            Err(_) => Some("unreadable"),
            Ok(ImageFound::Gone) => return Ok(()),
            Ok(ImageFound::Sound { bytes }) => {
                scrubbed.sound += 1;
                scrubbed.bytes += bytes;
                None
            }
            Ok(ImageFound::Missing) => Some("missing"),
            Ok(ImageFound::WrongLength { .. }) => Some("length"),
            Ok(ImageFound::WrongDigest { bytes, .. }) => {
                scrubbed.bytes += bytes;
                Some("digest")
            }
        };
        if let Some(what) = damage {
            tracing::error!(image = %image.uuid, ?found, "an image is damaged: its bytes are not what they were, or cannot be read; upload it again, or restore its file");
            scrubbed.damaged += 1;
            scrubbed.images.push(image.uuid);
            self.mark_damaged(image.uuid, what).await?;
        } else {
            self.mark_sound(image.uuid).await?;
        }
        let now_ms = self.jobs.parts.clock.now_ms();
        Ok(self.jobs.parts.db.image_was_checked(image.uuid, now_ms).await?)
    }

    /// Gives an image the tag `imageDamaged::<what>`, for everybody who looks at it.
    pub(super) async fn mark_damaged(&self, image: ImageUuid, what: &str) -> Result<(), JobError> {
        let new = NewTag {
            uuid: TagUuid::random(),
            resource: Resource::Image(image),
            kind: TagKind::System,
            tag: format!("{DAMAGED}{what}"),
            // Beyond what its owner may give it.
            tags_max: TAGS_OF_RESOURCE_MAX + 3,
            now_ms: self.jobs.parts.clock.now_ms(),
        };
        // Gone, or full of such tags: the log and the history have said it.
        let _ = self.jobs.parts.db.create_tag(new, Scope::All).await?;
        Ok(())
    }

    async fn mark_sound(&self, image: ImageUuid) -> Result<(), JobError> {
        let condition = |field: &str, operator, value: String| Condition {
            field: field.to_owned(),
            operator,
            value,
        };
        let marks = Query {
            conditions: vec![
                condition("resourceUuid", Operator::Equal, image.to_string()),
                condition("tag", Operator::Like, format!("{DAMAGED}%")),
            ],
            ..Query::default()
        };
        let db = &self.jobs.parts.db;
        for tag in db.tags(TagKind::System, &marks, Scope::All).await?.rows {
            tracing::warn!(%image, tag = tag.tag, "an image that was damaged is sound again");
            let _ = db.delete_tag(tag.uuid, Scope::All).await?;
        }
        Ok(())
    }
}

fn pace(job: &ScheduledJob) -> Pace {
    Pace { bytes_per_sec: job.parameters.bytes_per_sec() }
}

impl Scrubbed {
    fn outcome(self) -> Outcome {
        let words = format!(
            "{} images were read again: {} are sound, {} are damaged, {} could not be read",
            self.sound + self.damaged,
            self.sound,
            self.damaged,
            self.failed
        );
        let success = self.damaged == 0 && self.failed == 0;
        Outcome { success, words, images: self.images, ..Outcome::default() }
            .counting("sound", self.sound)
            .counting("damaged", self.damaged)
            .counting("failed", self.failed)
            .counting("bytes", self.bytes)
    }
}
