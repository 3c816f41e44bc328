//! An image in one request: where its bytes come whole, soon and short, without an upload in the store and in one transaction.
//!
//! The order is the same as everywhere: the bytes are on stable storage under the name of the image, then the record, then the
//! answer. Job, upload and image are recorded as they are at the end. Until then nothing has been promised; whatever does
//! not go straight to a Ready image goes the ordinary way, with the same bytes, and ends as it always did.

use bytes::Bytes;
use futures::Stream;

use super::{
    JobError, Jobs, Joined, NewJob,
    finish::{compare, described},
    join::{Arriving, Place},
    submit::{Named, Plan, Records},
};
use crate::{
    db::{Created, NewUploadJob},
    domain::{
        account::Caller, image::ImageStatus, image_id::ImageId, job::Stage, job_state::JobState,
        upload::UploadFate,
    },
    uploads::{
        BodyError, ChunkChecksum, Held, Party, Replay, Slice, UploadError, UploadStatus, Verdict,
        Written,
    },
};

/// What a request for an image led to.
#[must_use]
pub enum Put {
    /// The image is Ready; its body was read to the end.
    Ready(Box<Written>),
    /// The body goes to this upload, from its beginning.
    Goes(Joined),
}

/// What a whole body has come to.
enum Made {
    Ready(Box<Written>),
    /// Not that way: go the ordinary one.
    Not(Box<NewJob>, Arriving),
}

impl Jobs {
    /// Makes a Ready image of one request, or finds the upload that its body belongs to as
    /// [`join_or_submit`](Self::join_or_submit) does. `body` yields everything that came, also what was looked at here.
    ///
    /// Dropped half way, the image is there and recorded, or nothing is (a crash may leave bytes that the next start sets aside).
    pub async fn put_image<B>(
        &self,
        caller: Caller,
        image_id: ImageId,
        new: NewJob,
        slice: &Slice,
        body: &mut Replay<'_, B>,
    ) -> Result<Put, JobError>
    where
        B: Stream<Item = Result<Bytes, BodyError>> + Unpin,
    {
        // Before anything is read: what is wrong with the request is told at once.
        let plan = self.plan(&new)?;
        let uploads = &self.parts.uploads;
        let arriving = match self.place(caller, &image_id).await? {
            Place::Behind(record) => return Ok(Put::Goes(Joined::Live(record))),
            Place::First(arriving) => arriving,
        };
        let admission = uploads.admit_request(Party::Account(caller.account))?;
        // Under a uuid that the client chose there may be, or have been, another image.
        let held = match new.image.resource_uuid {
            None => uploads.collect(slice, body).await,
            Some(_) => None,
        };
        let checksum = slice.checksum;
        let made = self.whole(move |jobs| async move {
            let made = match held {
                Some(held) => jobs.make_ready(caller, new, plan, held, checksum, arriving).await?,
                None => Made::Not(Box::new(new), arriving),
            };
            // An ordinary upload counts the request itself.
            drop(admission);
            match made {
                Made::Ready(written) => Ok(Put::Ready(written)),
                Made::Not(new, arriving) => {
                    let view = jobs.submit_whole(caller, *new).await;
                    drop(arriving);
                    Ok(Put::Goes(Joined::Made(Box::new(view?))))
                }
            }
        });
        made.await
    }

    async fn make_ready(
        &self,
        caller: Caller,
        new: NewJob,
        plan: Plan,
        held: Held,
        checksum: Option<ChunkChecksum>,
        arriving: Arriving,
    ) -> Result<Made, JobError> {
        let uploads = &self.parts.uploads;
        let records = match self.ready_records(caller, &new, &plan, &held.bytes, checksum).await {
            Ok(Some(records)) => records,
            // A digest or a header that is refused: the ordinary way does that, and keeps the record of it.
            Ok(None) => return Ok(Made::Not(Box::new(new), arriving)),
            Err(error) => return Err(error),
        };
        let (image, upload) = (records.image.uuid, records.upload.uuid);
        if let Err(error) = uploads.put_whole(upload, image, held.bytes.clone()).await {
            tracing::debug!(%image, %error, "an image could not be made at once; an upload is made of it");
            return Ok(Made::Not(Box::new(new), arriving));
        }
        if !self.record_ready(&new, &records).await? {
            return Ok(Made::Not(Box::new(new), arriving));
        }
        arriving.has_become(upload);
        let Records { job, image, upload } = records;
        tracing::info!(job = %job.uuid, image = %image.uuid, length = image.actual_size, "image made of one request");
        let verdict = Verdict::Ready { md5: image.md5.clone(), sha256: image.sha256.clone() };
        let length = image.actual_size;
        let status = UploadStatus {
            record: upload,
            job,
            image: Some(image),
            length: Some(length),
            offset: length,
            stored_bytes: length,
            complete: true,
            missing: Vec::new(),
        };
        let verdict = Some(verdict);
        Ok(Made::Ready(Box::new(Written { status, duplicate: false, verdict })))
    }

    /// The records as they are at the end; `None` if the bytes are not what was declared, or no image that can be Ready.
    async fn ready_records(
        &self,
        caller: Caller,
        new: &NewJob,
        plan: &Plan,
        bytes: &Bytes,
        checksum: Option<ChunkChecksum>,
    ) -> Result<Option<Records>, JobError> {
        let choice = self.following(plan);
        let Ok(finished) = self.parts.uploads.digest_whole(bytes, choice, checksum).await else {
            return Ok(None);
        };
        let named = Named::new(caller.account, new, plan, self.parts.clock.now_ms());
        let Records { mut job, image, mut upload } = self.records(named, new, plan)?;
        if upload.declared_length != Some(finished.length) || compare(&upload, &finished).is_err() {
            return Ok(None);
        }
        let Some(probed) = self.parts.uploads.probe_whole(upload.uuid, &image.format, bytes) else {
            return Ok(None);
        };
        let Ok(mut image) = described(image, &finished, &probed) else {
            return Ok(None);
        };
        image.status = ImageStatus::Ready;
        job.state = JobState::Succeeded;
        job.stage = Stage::Publishing;
        job.stage_percent = 100;
        job.waits_for = None;
        job.finished_ms = Some(job.last_op_ms);
        upload.fate = UploadFate::Published;
        upload.offset_cached = finished.length;
        upload.stored_cached = finished.length;
        upload.last_byte_ms = Some(job.last_op_ms);
        Ok(Some(Records { job, image, upload }))
    }

    /// Records a Ready image whose bytes are durable. Refused, its bytes go; where nobody knows, they wait for the next look.
    /// `false` if one of its names is taken: what that means the ordinary way finds out.
    async fn record_ready(&self, new: &NewJob, records: &Records) -> Result<bool, JobError> {
        let uploads = &self.parts.uploads;
        let open_uploads_max = self.parts.limits.open_uploads_max;
        let Records { job, image, upload } = records;
        let recorded = self.parts.db.create_upload_job(NewUploadJob {
            job: job.clone(),
            image: image.clone(),
            upload: upload.clone(),
            system_tags: new.system_tags.clone(),
            user_tags: new.user_tags.clone(),
            open_uploads_max,
            cause: "made of one request".to_owned(),
        });
        match recorded.await {
            Ok(Created::Recorded) => {
                uploads.settle_image(image.uuid).await;
                self.news.job(job);
                Ok(true)
            }
            Ok(Created::Duplicate | Created::PartTaken(_)) => {
                uploads.give_up(image.uuid).await;
                Ok(false)
            }
            Ok(Created::TooManyOpenUploads) => {
                uploads.give_up(image.uuid).await;
                Err(UploadError::TooManyOpen { max: open_uploads_max }.into())
            }
            Err(error) => {
                uploads.leave(image.uuid);
                Err(error.into())
            }
        }
    }
}
