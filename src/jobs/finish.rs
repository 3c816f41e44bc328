//! From the last byte to a Ready image, in the background of the request that brought the last byte.
//!
//! Every step is durable and repeatable: a crash at any point is followed by the same steps and the same end. The digests are in
//! the image's record before the bytes move, so that a crash right after the move loses nothing that only the store knew.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{
    JobError, Jobs, locked,
    moves::{Step, interrupted},
};
use crate::{
    domain::{
        account::Scope,
        ids::{JobUuid, UploadUuid},
        image::{ImageRecord, ImageStatus, MediaType},
        job::{JobResult, LongJob, Stage, TaskProgress},
        job_state::{JobEvent, JobState},
        tag::hex,
        upload::{UploadFate, UploadRecord},
    },
    uploads::{Finished, Found, JobSignals, Live, Probed, StoreError, UploadError, Verdict},
};

/// How often the percentage of a long verification is written down.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// Why the finishing of an upload stopped before its image.
enum Halt {
    /// The job is not Running any more: whoever moved it goes on from there.
    Left(JobState),
    /// The content is not what was declared: the job fails for good.
    Wrong { detail: String, cause: String },
    /// The store or the records failed.
    Broken(JobError),
}

impl<E: Into<JobError>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Broken(error.into())
    }
}

impl Jobs {
    /// Starts finishing a complete upload, or joins who is at it.
    pub(super) fn begin_finishing(
        self: Arc<Self>,
        job: JobUuid,
        upload: UploadUuid,
    ) -> watch::Receiver<Option<Verdict>> {
        let (sender, receiver) = watch::channel(None);
        {
            let mut finishing = locked(&self.finishing);
            if let Some(already) = finishing.get(&job) {
                return already.clone();
            }
            finishing.insert(job, receiver.clone());
        }
        let (tasks, runtime) = (self.parts.tasks.clone(), self.parts.runtime.clone());
        let work = async move {
            let verdict = self.finish(job, upload).await;
            // Out of the map first: whoever asks from now on starts anew and finds the end in the records.
            locked(&self.finishing).remove(&job);
            sender.send_replace(Some(verdict));
        };
        tasks.spawn_on(work, &runtime);
        receiver
    }

    /// Whether a job is being finished at this moment: its silence is work, not idleness.
    pub(super) fn is_finishing(&self, job: JobUuid) -> bool {
        locked(&self.finishing).contains_key(&job)
    }

    async fn finish(&self, job: JobUuid, upload: UploadUuid) -> Verdict {
        let halt = match self.make_image(job, upload).await {
            Ok(verdict) => return verdict,
            Err(halt) => halt,
        };
        match halt {
            Halt::Left(state) => self.verdict_of(job, state).await,
            Halt::Wrong { detail, cause } => {
                tracing::warn!(%job, %upload, cause, "an upload was refused");
                match self.fail(job, detail.clone(), cause, UploadFate::Discarded).await {
                    Ok(_) => Verdict::Failed { detail },
                    Err(error) => self.set_back(job, error).await,
                }
            }
            Halt::Broken(error) => self.set_back(job, error).await,
        }
    }

    /// The steps. Each `?` leaves a state from which the same steps can be taken again.
    async fn make_image(&self, job: JobUuid, upload: UploadUuid) -> Result<Verdict, Halt> {
        let live = match self.parts.uploads.open(upload).await? {
            Found::Open(live) => live,
            Found::Published(record) => return Ok(self.ready(&record).await?),
        };
        self.enter(job, Stage::Verifying, None).await?;
        let finished = self.verify(job, &live).await?;
        compare(&live.record(), &finished)?;
        self.enter(job, Stage::Inspecting, None).await?;
        let probed = self.parts.uploads.probe(&live, finished.length).await?;

        // Alone from here on: a cancel either comes before (and this stops) or finds the image Ready.
        let alone = self.lock(job).await;
        let record = live.record();
        let image = self.parts.db.image(record.image, Scope::All).await?;
        let image = image.ok_or(JobError::ImageNotFound { uuid: record.image.to_string() })?;
        let image = described(image, &finished, probed);
        self.enter(job, Stage::Publishing, Some(image.clone())).await?;
        self.parts.uploads.publish(&live, record.image).await?;
        let ready = ImageRecord {
            status: ImageStatus::Ready,
            last_op_ms: self.parts.clock.now_ms(),
            ..image
        };
        let verdict = Verdict::Ready { md5: ready.md5.clone(), sha256: ready.sha256.clone() };
        let moved = self.move_job(job, Scope::All, |_| {
            Ok(Some(
                Step::new(JobEvent::Succeed)
                    .image(ready.clone())
                    .published()
                    .result(JobResult::Event),
            ))
        });
        let now = moved.await?.job();
        drop(alone);
        if now.state != JobState::Succeeded {
            return Err(Halt::Left(now.state));
        }
        self.parts.uploads.forget(upload);
        Ok(verdict)
    }

    /// Goes to a stage, if the job is still Running.
    async fn enter(
        &self,
        job: JobUuid,
        stage: Stage,
        image: Option<ImageRecord>,
    ) -> Result<(), Halt> {
        let moved = self.move_job(job, Scope::All, |now| {
            if now.state != JobState::Running {
                return Ok(None);
            }
            // BytesArrived on a Running job changes nothing but what the step says.
            let step = Step::new(JobEvent::BytesArrived).stage(stage);
            Ok(Some(match &image {
                Some(image) => step.image(image.clone()),
                None => step,
            }))
        });
        let now = moved.await?.job();
        if now.state == JobState::Running { Ok(()) } else { Err(Halt::Left(now.state)) }
    }

    /// Brings the digests to the end, and writes the percentage down now and then if that takes a while.
    async fn verify(&self, job: JobUuid, live: &Arc<Live>) -> Result<Finished, Halt> {
        let seen = Arc::clone(live);
        let progress = Arc::new(move |offset| seen.verified(offset));
        let work = self.parts.uploads.finish(live, progress);
        tokio::pin!(work);
        let mut tick = tokio::time::interval(PROGRESS_EVERY);
        tick.tick().await;
        loop {
            tokio::select! {
                finished = &mut work => return Ok(finished?),
                _ = tick.tick() => {
                    self.report(job, "adding to image store", live.verified_percent()).await;
                }
            }
        }
    }

    async fn report(&self, job: JobUuid, task_name: &str, percent: i64) {
        let Ok(Some(job)) = self.parts.db.job(job, Scope::All).await else { return };
        let progress = TaskProgress {
            api_id: job.api_id,
            task_name: task_name.to_owned(),
            percent,
            time_ms: self.parts.clock.now_ms(),
        };
        if let Err(error) = self.parts.db.save_progress(progress).await {
            tracing::warn!(job = %job.uuid, %error, "progress could not be written down");
        }
    }

    /// What can heal suspends the job with its bytes; what cannot fails it.
    async fn set_back(&self, job: JobUuid, error: JobError) -> Verdict {
        tracing::error!(%job, %error, "an upload could not be finished");
        let lost = match &error {
            JobError::Upload(UploadError::Store(store)) => match store {
                StoreError::NoSpace => {
                    self.storage_failed(job, true, store.to_string()).await;
                    false
                }
                StoreError::NotFound { .. } | StoreError::Damaged { .. } => true,
                _ => {
                    self.storage_failed(job, false, store.to_string()).await;
                    false
                }
            },
            other => {
                self.storage_failed(job, false, other.to_string()).await;
                false
            }
        };
        if lost {
            let detail =
                "the storage has lost the bytes of this upload; start a new one".to_owned();
            let failed = self.fail(job, detail.clone(), error.to_string(), UploadFate::Discarded);
            if let Err(error) = failed.await {
                tracing::error!(%job, %error, "a lost upload could not be recorded as failed");
            }
            return Verdict::Failed { detail };
        }
        let state = match self.parts.db.job(job, Scope::All).await {
            Ok(Some(job)) => job.state,
            Ok(None) | Err(_) => JobState::Running,
        };
        self.verdict_of(job, state).await
    }

    async fn verdict_of(&self, job: JobUuid, state: JobState) -> Verdict {
        let record = self.parts.db.job(job, Scope::All).await.ok().flatten();
        match record {
            Some(LongJob {
                state: JobState::Failed,
                result: Some(JobResult::Error { detail, .. }),
                ..
            }) => Verdict::Failed { detail },
            Some(job) => Verdict::Stopped { state: job.state },
            None => Verdict::Stopped { state },
        }
    }

    async fn ready(&self, record: &UploadRecord) -> Result<Verdict, JobError> {
        let image = self.parts.db.image(record.image, Scope::All).await?;
        let (md5, sha256) = image.map_or((None, None), |image| (image.md5, image.sha256));
        Ok(Verdict::Ready { md5, sha256 })
    }

    /// At start, for a job whose bytes have left the staging area: the crash came between the image and its record. Answers whether
    /// it was so.
    pub(super) async fn adopt_published(&self, job: &LongJob) -> Result<bool, JobError> {
        let image = self.parts.db.image(job.image, Scope::All).await?;
        let Some(image) = image.filter(|_| job.stage == Stage::Publishing) else {
            return Ok(false);
        };
        if self.parts.uploads.image_length(job.image).await? != Some(image.actual_size) {
            return Ok(false);
        }
        let ready = ImageRecord { status: ImageStatus::Ready, ..image };
        let moved = self.move_job(job.uuid, Scope::All, |now| {
            let step = Step::new(match now.state {
                JobState::Suspended(_) => JobEvent::Resume,
                _ => JobEvent::Succeed,
            });
            Ok(Some(match now.state {
                JobState::Suspended(_) => step,
                _ => step.image(ready.clone()).published().result(JobResult::Event),
            }))
        });
        let mut now = moved.await?.job();
        if now.state == JobState::Running {
            let moved = self.move_job(job.uuid, Scope::All, |_| {
                let step = Step::new(JobEvent::Succeed).image(ready.clone());
                Ok(Some(step.published().result(JobResult::Event)))
            });
            now = moved.await?.job();
        }
        Ok(now.state == JobState::Succeeded)
    }
}

/// Compares with every digest that the client declared.
fn compare(record: &UploadRecord, finished: &Finished) -> Result<(), Halt> {
    let wrong = |name: &str, expected: &[u8], actual: Option<&[u8]>| {
        // A digest that nobody computed is no digest that fits.
        let actual = actual.map_or_else(|| "not known".to_owned(), hex);
        let cause = format!("{name} is {actual}, declared was {}", hex(expected));
        let detail = format!(
            "the image does not have the declared {name} ({cause}); its bytes were removed: check the file and upload it again"
        );
        Err(Halt::Wrong { detail, cause })
    };
    let actual = &finished.digests;
    if let Some(expected) = record.expected.md5
        && actual.md5 != Some(expected)
    {
        return wrong("MD5", &expected, actual.md5.as_ref().map(|md5| &md5[..]));
    }
    if let Some(expected) = record.expected.sha256
        && actual.sha256 != Some(expected)
    {
        return wrong("SHA-256", &expected, actual.sha256.as_ref().map(|sha256| &sha256[..]));
    }
    Ok(())
}

/// The image's record with what is known now.
fn described(image: ImageRecord, finished: &Finished, probed: Probed) -> ImageRecord {
    let media_type = match (probed.format, image.media_type) {
        ("iso", _) => MediaType::Iso,
        (_, MediaType::Iso) => MediaType::RootVolumeTemplate,
        (_, kept) => kept,
    };
    ImageRecord {
        size: probed.virtual_size,
        actual_size: finished.length,
        md5: finished.digests.md5.map(|md5| hex(&md5)),
        sha256: finished.digests.sha256.map(|sha256| hex(&sha256)),
        format: probed.format.to_owned(),
        media_type,
        ..image
    }
}

/// What `jobResult` says of a job that a restart interrupted.
pub(super) fn restarted(job: JobUuid) -> JobResult {
    interrupted(job, "the service was restarted")
}
