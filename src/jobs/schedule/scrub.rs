//! Looking for bit rot: images are read again, and those that are not what they were get their mark.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Scheduler, work::Outcome};
use crate::{
    db::NewTag,
    domain::{
        account::Scope,
        ids::{ImageUuid, TagUuid},
        image::{ImageRecord, ImageStatus},
        query::{Condition, Operator},
        schedule::ScheduledJob,
        tag::{DAMAGED, Resource, TAGS_OF_RESOURCE_MAX, TagKind},
    },
    jobs::{JobError, tags::tags_on},
    uploads::{ImageFound, Look, Pace, PartlyRead, StoreError, UploadError},
};

/// Images that are asked for at once.
const PAGE: u64 = 50;
/// So often is written down how far an image was read: a restart costs no more.
const NOTE_EVERY: Duration = Duration::from_mins(1);
/// Images that are begun and not ended at once; of one more no part is kept. Some 40 KB.
const BEGUN_MAX: usize = 100;

/// One run of a scrub.
struct Scrub {
    pace: Pace,
    begun: Instant,
    time: Duration,
    /// Images that were begun and not ended, the first one first.
    partly: Vec<PartlyRead>,
    done: Scrubbed,
}

/// What looking at images has come to.
#[derive(Debug, Default)]
struct Scrubbed {
    sound: u64,
    damaged: u64,
    bytes: u64,
    failed: u64,
    begun: u64,
    images: Vec<ImageUuid>,
}

impl Scrub {
    fn has_begun(&self, image: ImageUuid) -> bool {
        self.partly.iter().any(|partly| partly.image == image)
    }

    /// Forgets that an image was begun; whether it was.
    fn forget(&mut self, image: ImageUuid) -> bool {
        let before = self.partly.len();
        self.partly.retain(|partly| partly.image != image);
        self.partly.len() < before
    }

    fn keep(&mut self, partly: PartlyRead) {
        if let Some(kept) = self.partly.iter_mut().find(|kept| kept.image == partly.image) {
            *kept = partly;
        } else if self.partly.len() < BEGUN_MAX {
            self.partly.push(partly);
        }
    }
}

impl Scheduler {
    /// The image that was not looked at for longest first, until the run has taken its time; one that it has begun is read on for as
    /// long again. What is larger than that is gone on with by the next run, for half of its time: images that no run can read to
    /// their end keep none of the others waiting, and come to their end all the same.
    pub(super) async fn scrub(&self, job: &ScheduledJob) -> Result<Outcome, JobError> {
        let mut scrub = Scrub {
            pace: pace(job),
            begun: Instant::now(),
            time: Duration::from_secs(job.parameters.secs_per_run()),
            partly: self.partly_read().await?,
            done: Scrubbed::default(),
        };
        let (half, end) = (scrub.begun + scrub.time / 2, scrub.begun + scrub.time);
        self.scrub_begun(&mut scrub, half).await?;
        self.scrub_due(&mut scrub, job.parameters.again_after_ms()).await?;
        // Where there was nothing else to do.
        self.scrub_begun(&mut scrub, end).await?;
        scrub.done.begun = scrub.partly.len() as u64;
        Ok(scrub.done.outcome())
    }

    /// A run that was broken off, or one of another process, is gone on with where it stopped.
    async fn scrub_due(&self, scrub: &mut Scrub, again_after_ms: i64) -> Result<(), JobError> {
        let now_ms = self.jobs.parts.clock.now_ms();
        let before_ms = now_ms.saturating_sub(again_after_ms);
        let mut after = None;
        loop {
            // What this run has looked at is not ahead of a clock that is read anew.
            let (db, now_ms) = (&self.jobs.parts.db, self.jobs.parts.clock.now_ms());
            let oldest = db.images_to_check(after, before_ms, now_ms, PAGE).await?;
            let is_last = oldest.last.is_none();
            after = oldest.last;
            for (image, error) in oldest.unreadable {
                // It must not keep all others, each night anew.
                tracing::error!(image, %error, "the row of an image cannot be read, and so its bytes were not: mend the row");
                scrub.done.failed += 1;
            }
            for image in oldest.images {
                if scrub.begun.elapsed() > scrub.time {
                    return Ok(());
                }
                if !scrub.has_begun(image.uuid) {
                    let end = scrub.begun + scrub.time * 2;
                    self.scrub_one(&image, end, scrub).await?;
                }
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// Goes on with images that earlier runs have begun.
    async fn scrub_begun(&self, scrub: &mut Scrub, end: Instant) -> Result<(), JobError> {
        for partly in scrub.partly.clone() {
            if Instant::now() >= end {
                return Ok(());
            }
            let image = self.jobs.parts.db.image(partly.image, Scope::All).await?;
            let is_it =
                |image: &ImageRecord| image.status == ImageStatus::Ready && partly.is_of(image);
            if let Some(image) = image.filter(is_it) {
                self.scrub_one(&image, end, scrub).await?;
            } else {
                scrub.forget(partly.image);
                self.keep_partly_read(&scrub.partly).await?;
            }
        }
        Ok(())
    }

    /// One image, until `end`: how far it was read is written down.
    async fn scrub_one(
        &self,
        image: &ImageRecord,
        end: Instant,
        scrub: &mut Scrub,
    ) -> Result<(), JobError> {
        let mut from = scrub.partly.iter().find(|partly| partly.image == image.uuid).cloned();
        loop {
            let until = Some(end.min(Instant::now() + NOTE_EVERY));
            let looked = self.check(image, Look { pace: scrub.pace, until, from }).await;
            if let Ok(ImageFound::Partly { read, bytes }) = looked {
                scrub.done.bytes += bytes;
                // This call goes on from there also where too many were begun to be noted.
                from = Some(read.clone());
                scrub.keep(read);
                self.keep_partly_read(&scrub.partly).await?;
                if Instant::now() >= end {
                    return Ok(());
                }
                continue;
            }
            // It was looked at, also where the disk has refused a block; what else went wrong is tried again from where it was.
            let is_known = matches!(looked, Ok(_) | Err(UploadError::Store(StoreError::Io { .. })));
            if is_known && scrub.forget(image.uuid) {
                self.keep_partly_read(&scrub.partly).await?;
            }
            return self.judge(image, looked, &mut scrub.done).await;
        }
    }

    async fn partly_read(&self) -> Result<Vec<PartlyRead>, JobError> {
        let note = self.jobs.parts.db.scrub_note().await?.unwrap_or_default();
        // What cannot be read was written by another version: those images are begun anew.
        let kept: Vec<Value> = serde_json::from_str(&note).unwrap_or_default();
        Ok(kept.iter().filter_map(PartlyRead::from_json).take(BEGUN_MAX).collect())
    }

    async fn keep_partly_read(&self, partly: &[PartlyRead]) -> Result<(), JobError> {
        let note = Value::Array(partly.iter().map(PartlyRead::to_json).collect());
        Ok(self.jobs.parts.db.keep_scrub_note(note.to_string()).await?)
    }

    /// Reads one image again, all of it.
    pub(super) async fn verify(&self, job: &ScheduledJob) -> Result<Outcome, JobError> {
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
        let looked = self.check(&image, Look::whole(pace(job))).await;
        self.judge(&image, looked, &mut scrubbed).await?;
        Ok(scrubbed.outcome())
    }

    async fn check(&self, image: &ImageRecord, look: Look) -> Result<ImageFound, UploadError> {
        self.jobs.parts.uploads.check_image(image, look).await
    }

    async fn judge(
        &self,
        image: &ImageRecord,
        looked: Result<ImageFound, UploadError>,
        scrubbed: &mut Scrubbed,
    ) -> Result<(), JobError> {
        let found = match looked {
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
            Ok(ImageFound::Gone | ImageFound::Partly { .. }) => return Ok(()),
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
            tags_max: TAGS_OF_RESOURCE_MAX + 4,
            now_ms: self.jobs.parts.clock.now_ms(),
        };
        // Gone, or full of such tags: the log and the history have said it.
        let _ = self.jobs.parts.db.create_tag(new, Scope::All).await?;
        Ok(())
    }

    async fn mark_sound(&self, image: ImageUuid) -> Result<(), JobError> {
        let mut marks = tags_on(Resource::Image(image));
        marks.conditions.push(Condition {
            field: "tag".to_owned(),
            operator: Operator::Like,
            value: format!("{DAMAGED}%"),
        });
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
            "{} images were read again: {} are sound, {} are damaged, {} could not be read; {} were begun, and the next run goes on",
            self.sound + self.damaged,
            self.sound,
            self.damaged,
            self.failed,
            self.begun
        );
        let success = self.damaged == 0 && self.failed == 0;
        Outcome { success, words, images: self.images, ..Outcome::default() }
            .counting("sound", self.sound)
            .counting("damaged", self.damaged)
            .counting("failed", self.failed)
            .counting("begun", self.begun)
            .counting("bytes", self.bytes)
    }
}
