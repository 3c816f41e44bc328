//! From the last byte to a Ready image, in the background of the request that brought the last byte.
//!
//! Every step is durable and repeatable: a crash at any point is followed by the same steps and the same end. The digests are in
//! the image's record before the bytes move, so that a crash right after the move loses nothing that only the store knew.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{
    JobError, Jobs,
    control::Failure,
    locked,
    moves::{Step, interrupted},
};
use crate::{
    domain::{
        account::Scope,
        ids::{JobUuid, UploadUuid},
        image::{ImageRecord, ImageStatus, MediaType},
        job::{JobResult, LongJob, Reason, Run, Stage, TaskProgress},
        job_state::{JobEvent, JobState, SuspendReason},
        tag::hex,
        upload::{UploadKind, UploadRecord},
    },
    uploads::{
        Finished, Found, JobSignals, Live, Probed, Refusal, StoreError, UploadError, Verdict,
        percent,
    },
};

/// How often the percentage of a long verification is written down.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// Attempts in a row; after that housekeeping tries again, once a minute, so that a store that never heals costs no processor.
const ATTEMPTS_MAX: usize = 3;

/// An upload that is being finished.
pub(super) struct Finishing {
    verdict: watch::Receiver<Option<Verdict>>,
    /// Somebody found all bytes there after this had begun.
    asked_again: bool,
}

/// Takes an upload out of the map of those that are being finished, whatever ends its task.
struct Entry<'j> {
    jobs: &'j Jobs,
    upload: UploadUuid,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            locked(&self.jobs.finishing).remove(&self.upload);
        }
    }
}

/// Why the finishing of an upload stopped before its image.
pub(super) enum Halt {
    /// The job is not Running any more: whoever moved it goes on from there.
    Left(JobState),
    /// The content is not what was declared: the job fails for good.
    Wrong { detail: String, cause: String, reason: Reason },
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
    pub(super) fn begin_finishing(self: Arc<Self>, run: Run) -> watch::Receiver<Option<Verdict>> {
        let (sender, receiver) = watch::channel(None);
        {
            let mut finishing = locked(&self.finishing);
            if let Some(already) = finishing.get_mut(&run.upload) {
                already.asked_again = true;
                return already.verdict.clone();
            }
            let verdict = receiver.clone();
            finishing.insert(run.upload, Finishing { verdict, asked_again: false });
        }
        let (tasks, runtime) = (self.parts.tasks.clone(), self.parts.runtime.clone());
        let work = async move {
            // Also when this panics or its runtime ends: a job that seems to be finished for ever would never be.
            let _entry = Entry { jobs: &self, upload: run.upload };
            let mut attempts = 1;
            let verdict = loop {
                let verdict = self.finish(run).await;
                if !self.is_asked_again(run.upload, &verdict, attempts) {
                    break verdict;
                }
                attempts += 1;
            };
            // Out of the map already: whoever asks from now on starts anew and finds the end in the records.
            sender.send_replace(Some(verdict));
        };
        tasks.spawn_on(work, &runtime);
        receiver
    }

    /// Whether somebody asked while an attempt was ending that came to nothing: the job may have been resumed since that
    /// attempt looked, and nobody else will begin another. If not, the attempt leaves the map in the same step.
    fn is_asked_again(&self, upload: UploadUuid, verdict: &Verdict, attempts: usize) -> bool {
        let mut finishing = locked(&self.finishing);
        if let Some(entry) = finishing.get_mut(&upload)
            && entry.asked_again
            && attempts < ATTEMPTS_MAX
            && matches!(verdict, Verdict::Stopped { .. })
        {
            entry.asked_again = false;
            return true;
        }
        finishing.remove(&upload);
        false
    }

    /// Whether an upload is being finished at this moment: its silence is work, not idleness.
    pub(super) fn is_finishing(&self, upload: UploadUuid) -> bool {
        locked(&self.finishing).contains_key(&upload)
    }

    async fn finish(&self, run: Run) -> Verdict {
        let Run { job, upload } = run;
        let halt = match self.make_image(run).await {
            Ok(verdict) => return verdict,
            Err(halt) => halt,
        };
        match halt {
            Halt::Left(state) => self.verdict_of(run, state).await,
            Halt::Wrong { detail, cause, reason } => {
                tracing::warn!(%job, %upload, cause, "an upload was refused");
                let failure = Failure::new(detail.clone(), cause).because(reason);
                match self.fail(run, failure).await {
                    Ok(_) => Verdict::Refused { detail, reason },
                    Err(error) => self.set_back(run, error).await,
                }
            }
            Halt::Broken(error) => self.set_back(run, error).await,
        }
    }

    /// The steps. Each `?` leaves a state from which the same steps can be taken again.
    async fn make_image(&self, run: Run) -> Result<Verdict, Halt> {
        let Run { job, upload } = run;
        let live = match self.parts.uploads.open(upload).await? {
            Found::Open(live) => live,
            Found::Published(record) => return Ok(self.ready(&record).await?),
        };
        if self.adopt_published(run, &live.record()).await? {
            return Ok(self.ready(&live.record()).await?);
        }
        if live.record().kind == UploadKind::Joined {
            self.join(run, &live).await?;
        }
        self.enter(run, Stage::Verifying, None).await?;
        let finished = self.verify(run, &live).await?;
        // From the records, not from memory: tags may have declared digests until the verification began.
        let declared = self.parts.db.upload(upload).await?.ok_or(UploadError::NotFound)?;
        compare(&declared, &finished)?;
        self.enter(run, Stage::Inspecting, None).await?;
        let probed = self.parts.uploads.probe(&live, finished.length).await?;
        if let Some(Refusal { detail, cause, reason }) = probed.refusal.clone() {
            return Err(Halt::Wrong { detail, cause, reason });
        }

        // Alone from here on: a cancel either comes before (and this stops) or finds the image Ready.
        let alone = self.lock(job).await;
        let record = live.record();
        let image = self.parts.db.image(record.image, Scope::All).await?;
        let image = image.ok_or(JobError::ImageNotFound { uuid: record.image.to_string() })?;
        let image = described(image, &finished, &probed)?;
        self.enter(run, Stage::Publishing, Some(image.clone())).await?;
        self.parts.uploads.publish(&record, record.image).await?;
        let ready = ImageRecord {
            status: ImageStatus::Ready,
            last_op_ms: self.parts.clock.now_ms(),
            ..image
        };
        let verdict = Verdict::Ready { md5: ready.md5.clone(), sha256: ready.sha256.clone() };
        let moved = self.move_run(run, |_| {
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

    /// Goes to a stage, if the job is still Running. The first stage wakes a job that waits for what bytes bring: it was suspended
    /// while its last byte was on its way, and no further one will come to wake it.
    async fn enter(&self, run: Run, stage: Stage, image: Option<ImageRecord>) -> Result<(), Halt> {
        let moved = self.move_run(run, |now| {
            let wakes = matches!(stage, Stage::Joining | Stage::Verifying)
                && now.state.suspend_reason().is_some_and(SuspendReason::bytes_resume);
            if now.state != JobState::Running && !wakes {
                return Ok(None);
            }
            // BytesArrived on a Running job changes nothing but what the step says.
            let step = Step::new(JobEvent::BytesArrived).stage(stage);
            let step = if wakes {
                step.because("all its bytes are here").result(JobResult::Event)
            } else {
                step
            };
            Ok(Some(match &image {
                Some(image) => step.image(image.clone()),
                None => step,
            }))
        });
        let now = moved.await?.job();
        if now.state == JobState::Running { Ok(()) } else { Err(Halt::Left(now.state)) }
    }

    /// Puts the parts of a joined upload together.
    async fn join(&self, run: Run, live: &Arc<Live>) -> Result<(), Halt> {
        if !self.parts.uploads.is_complete(run.upload).await? {
            self.enter(run, Stage::Joining, None).await?;
        }
        let work = self.parts.uploads.join(live);
        tokio::pin!(work);
        let mut tick = tokio::time::interval(PROGRESS_EVERY);
        tick.tick().await;
        let joined = loop {
            tokio::select! {
                joined = &mut work => break joined,
                _ = tick.tick() => {
                    let record = live.record();
                    let percent = percent(record.stored_cached, record.declared_length);
                    self.report(run, "joining partial uploads", percent).await;
                }
            }
        };
        match (joined, self.current(run).await?) {
            (Ok(()), _) => Ok(()),
            // Suspended or ended by a user: whoever did that has ended the copy.
            (Err(_), Some(now)) if now.state != JobState::Running => Err(Halt::Left(now.state)),
            // And resumed already: who resumed it has asked again.
            (Err(UploadError::Store(StoreError::Revoked { .. })), Some(now)) => {
                Err(Halt::Left(now.state))
            }
            (Err(error), _) => Err(error.into()),
        }
    }

    /// Brings the digests to the end, and writes the percentage down now and then if that takes a while.
    async fn verify(&self, run: Run, live: &Arc<Live>) -> Result<Finished, Halt> {
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
                    self.report(run, "adding to image store", live.verified_percent()).await;
                }
            }
        }
    }

    async fn report(&self, run: Run, task_name: &str, percent: i64) {
        let Ok(Some(job)) = self.current(run).await else { return };
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
    async fn set_back(&self, run: Run, error: JobError) -> Verdict {
        tracing::error!(job = %run.job, upload = %run.upload, %error, "an upload could not be finished");
        let words = error.to_string();
        match &error {
            JobError::Upload(UploadError::Store(
                StoreError::NotFound { .. } | StoreError::Damaged { .. },
            )) => self.storage_lost(run, words).await,
            JobError::Upload(UploadError::Store(StoreError::NoSpace)) => {
                self.storage_failed(run, true, words).await;
            }
            // Another process owns it now, and leads it on; or it has ended.
            JobError::Upload(
                UploadError::Store(StoreError::Fenced { .. }) | UploadError::Gone { .. },
            ) => {}
            // Trying again would never help.
            JobError::Upload(UploadError::Store(StoreError::AlreadyExists { .. })) => {
                self.name_is_taken(run, words).await;
            }
            _ => self.storage_failed(run, false, words).await,
        }
        self.verdict_of(run, JobState::Running).await
    }

    /// The store has an image under this upload's name that another upload became. That image stays; this upload has no way to
    /// its end.
    async fn name_is_taken(&self, run: Run, words: String) {
        let detail = "the storage has another image under this image's uuid; the bytes of this upload were removed: submit a new job, without resourceUuid";
        let failure = Failure::new(detail, words).beside_a_foreign_image();
        if let Err(error) = self.fail(run, failure).await {
            tracing::error!(job = %run.job, %error, "an upload whose image's name is taken could not be failed");
        }
    }

    /// How a run stands whose finishing came to nothing; `state` where the records do not say.
    async fn verdict_of(&self, run: Run, state: JobState) -> Verdict {
        let record = self.parts.db.job(run.job, Scope::All).await.ok().flatten();
        match record {
            Some(job) if job.run() != run => Verdict::Failed {
                detail: "this upload has ended and its job runs again; send the file to the new upload URL"
                    .to_owned(),
            },
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

    /// The record of a job's image, if its bytes are in the store although the job has not ended: a crash, or a database that did
    /// not answer, came between the image and its record.
    pub(super) async fn published_image(
        &self,
        job: &LongJob,
    ) -> Result<Option<ImageRecord>, JobError> {
        if job.stage != Stage::Publishing || job.state.is_final() {
            return Ok(None);
        }
        let image = self.parts.db.image(job.image, Scope::All).await?;
        let Some(image) = image else { return Ok(None) };
        let length = self.parts.uploads.image_length(job.image).await?;
        Ok(Some(image).filter(|image| length == Some(image.actual_size)))
    }

    /// Records an image that is in the store already. Answers whether there was one. A job that a user suspended or canceled is
    /// left alone.
    async fn adopt_published(&self, run: Run, upload: &UploadRecord) -> Result<bool, JobError> {
        let _alone = self.lock(run.job).await;
        let Some(job) = self.current(run).await? else { return Ok(false) };
        let Some(image) = self.published_image(&job).await? else { return Ok(false) };
        let left = |state: JobState| match state {
            JobState::Running => false,
            JobState::Suspended(reason) => !reason.bytes_resume(),
            JobState::Waiting
            | JobState::Canceling
            | JobState::Succeeded
            | JobState::Failed
            | JobState::Canceled => true,
        };
        if left(job.state) {
            return Ok(false);
        }
        // Whatever is left of the upload goes.
        self.parts.uploads.publish(upload, job.image).await?;
        let now_ms = self.parts.clock.now_ms();
        let ready = ImageRecord { status: ImageStatus::Ready, last_op_ms: now_ms, ..image };
        let woken = self.move_run(run, |now| {
            let step = || Step::new(JobEvent::BytesArrived).because("all its bytes are here");
            Ok((!left(now.state)).then(step))
        });
        if woken.await?.job().state != JobState::Running {
            return Ok(false);
        }
        let moved = self.move_run(run, |_| {
            let step = Step::new(JobEvent::Succeed).image(ready.clone());
            Ok(Some(step.published().result(JobResult::Event)))
        });
        let succeeded = moved.await?.job().state == JobState::Succeeded;
        if succeeded {
            self.parts.uploads.forget(upload.uuid);
        }
        Ok(succeeded)
    }
}

/// Compares with every digest that the client declared.
pub(super) fn compare(record: &UploadRecord, finished: &Finished) -> Result<(), Halt> {
    let wrong = |name: &str, expected: &[u8], actual: Option<&[u8]>| {
        // A digest that nobody computed is no digest that fits.
        let actual = actual.map_or_else(|| "not known".to_owned(), hex);
        let cause = format!("{name} is {actual}, declared was {}", hex(expected));
        let detail = format!(
            "the image does not have the declared {name} ({cause}); its bytes were removed: check the file and upload it again"
        );
        Err(Halt::Wrong { detail, cause, reason: Reason::Digests })
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
pub(super) fn described(
    image: ImageRecord,
    finished: &Finished,
    probed: &Probed,
) -> Result<ImageRecord, Halt> {
    if i64::try_from(probed.virtual_size).is_err() {
        let cause = format!(
            "the {} header names a disk of {} bytes, more than any disk has",
            probed.format, probed.virtual_size
        );
        let detail = format!("{cause}; its bytes were removed: check the file and upload it again");
        return Err(Halt::Wrong { detail, cause, reason: Reason::Content });
    }
    let media_type = match (probed.format, image.media_type) {
        ("iso", _) => MediaType::Iso,
        (_, MediaType::Iso) => MediaType::RootVolumeTemplate,
        (_, kept) => kept,
    };
    Ok(ImageRecord {
        size: probed.virtual_size,
        actual_size: finished.length,
        md5: finished.digests.md5.map(|md5| hex(&md5)),
        sha256: finished.digests.sha256.map(|sha256| hex(&sha256)),
        format: probed.format.to_owned(),
        media_type,
        inspection: Some(probed.inspected()),
        ..image
    })
}

/// What `jobResult` says of a job that a restart interrupted.
pub(super) fn restarted(job: JobUuid) -> JobResult {
    interrupted(job, "the service was restarted")
}
