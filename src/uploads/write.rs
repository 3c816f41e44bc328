//! Taking the body of a request: from the gate to the acknowledgement.

use std::{pin::Pin, sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use longshore_storage::{
    Acknowledged, Chunk, Claimed, Ended, RangeWriter, StoreError, UploadState,
    digest::ChunkChecksum,
};

use super::{
    BodyError, Found, Live, Party, Slice, UploadError, Uploads, Verdict, Written,
    course::{Ahead, Course},
    place::Holding,
};
use crate::domain::{
    account::Scope,
    ids::UploadUuid,
    job_state::JobState,
    upload::{Completion, UploadKind, UploadRecord},
};

/// Times that a slice which met a suspension asks its job again: each time somebody has resumed it meanwhile.
const CLAIM_ATTEMPTS: usize = 3;

/// How the reading of a body came to its end.
enum BodyEnd {
    /// All of it was read.
    Whole,
    /// It broke off.
    Broken(BodyError),
    /// The store asked the writer to stop.
    Stopped(Ended),
    /// The service is stopping.
    Draining,
    /// The store refused a block.
    Refused(StoreError),
    /// A body of unknown length has outgrown its bounds.
    Outgrown(UploadError),
}

/// What has become of a body that was taken.
pub(super) enum Stored {
    /// It is stored now.
    Now,
    /// All of it had been stored before.
    Before,
    /// What came of it has ended its upload.
    Judged(Verdict),
}

impl Uploads {
    /// Takes a request body. Answers when what it stored is durable, and, if it was the last one, waits up to `finish_wait` for
    /// the verdict. Of a body that breaks off, what came is kept (unless under a checksum) and the error names the offset.
    ///
    /// Bytes for an upload that is published, or complete and being finished, are read away and answered as stored: a client
    /// that lost the last answer must not have to send everything again.
    ///
    /// The request counts for the account of the upload, whoever sends it, until it is answered.
    pub async fn write<B>(
        &self,
        upload: UploadUuid,
        slice: Slice,
        mut body: B,
    ) -> Result<Written, UploadError>
    where
        B: Stream<Item = Result<Bytes, BodyError>> + Unpin,
    {
        if self.draining.is_cancelled() {
            return Err(UploadError::Draining { offset: 0 });
        }
        let found = self.open(upload).await?;
        match (found.kind(), &found) {
            // The bytes of an image are read away, whatever it was made of.
            (UploadKind::Whole, _) | (UploadKind::Joined, Found::Published(_)) => {}
            (UploadKind::Joined, Found::Open(_)) => return Err(UploadError::Joined),
            // In order, by `append_partial`.
            (UploadKind::Partial, _) => return Err(UploadError::Partial),
        }
        let _admission = self.admit_request(Party::Account(found.account()))?;
        let live = match found {
            Found::Open(live) => live,
            Found::Published(record) => {
                let length = record.declared_length.unwrap_or(record.offset_cached);
                // No conflict that a look at the job could settle: it has ended, and no list of live jobs shows it.
                within(&slice, length)
                    .map_err(|_| UploadError::NotTaking { state: JobState::Succeeded })?;
                self.drain(None, None, &mut body).await;
                self.is_that_image(&record, &slice, length).await?;
                return self.written(upload, true, None).await;
            }
        };
        let outcome = match self.admit(&live, &slice).await {
            Ok(()) => self.store_body(&live, &slice, &mut body, None).await,
            Err(error) => Err(error),
        };
        self.answer(&live, &slice, outcome, &mut body).await
    }

    /// What has become of a body, once it is stored or refused.
    pub(super) async fn answer<B>(
        &self,
        live: &Live,
        slice: &Slice,
        outcome: Result<Stored, UploadError>,
        body: &mut B,
    ) -> Result<Written, UploadError>
    where
        B: Stream<Item = Result<Bytes, BodyError>> + Unpin,
    {
        let duplicate = match outcome {
            Ok(Stored::Now) => false,
            Ok(Stored::Before) => true,
            // Not asked again: who sent the bytes is told what they have shown, whoever looks at the upload now.
            Ok(Stored::Judged(verdict)) => {
                return self.written(live.record().uuid, false, Some(verdict)).await;
            }
            Err(error) if self.is_image_now(live, &error).await? => {
                self.drain(None, None, body).await;
                let record = live.record();
                self.is_that_image(&record, slice, record.offset_cached).await?;
                return self.written(record.uuid, true, None).await;
            }
            Err(error) => return Err(self.explain(live, error).await),
        };
        self.conclude(live, slice, duplicate).await
    }

    /// Everything that is checked before a byte of the body is read.
    pub(super) async fn admit(&self, live: &Live, slice: &Slice) -> Result<(), UploadError> {
        let record = live.record();
        match record.declared_length.or(slice.total) {
            Some(length) => within(slice, length)?,
            None => self.check_length(slice.offset.saturating_add(slice.length.unwrap_or(0)))?,
        }
        // Before anything is fixed or promised: a job that takes no bytes takes no length either.
        if !live.gate_is_open() {
            self.signals()?.bytes_arrived(record.run()).await?;
        }
        match slice.total {
            // Fixed in `store_body`, with the right to write: a suspension may come before that.
            Some(total) if slice.length != Some(0) => self.check_length(total),
            Some(total) => self.declare(live, total).await,
            None => self.promise_ahead(live).await,
        }
    }

    /// A body that was read away unseen, is all of the image, and comes with its digest: it has to be that of the image. A
    /// client that was told "stored" would believe that this digest is.
    async fn is_that_image(
        &self,
        record: &UploadRecord,
        slice: &Slice,
        length: u64,
    ) -> Result<(), UploadError> {
        let is_all = slice.offset == 0 && slice.length == Some(length);
        let Some(said) = slice.checksum.filter(|_| is_all) else { return Ok(()) };
        let image = self.db.image(record.image, Scope::All).await?;
        let stored = image.and_then(|image| match said {
            ChunkChecksum::Md5(_) => image.md5,
            ChunkChecksum::Sha256(_) => image.sha256,
            ChunkChecksum::Sha1(_) | ChunkChecksum::Crc32c(_) | ChunkChecksum::Xxh3(_) => None,
        });
        match stored {
            Some(actual) if actual != said.to_hex() => {
                Err(StoreError::ChecksumMismatch { offset: 0, actual }.into())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether a refusal only means that the bytes have become the image meanwhile: then they are answered as stored.
    async fn is_image_now(&self, live: &Live, error: &UploadError) -> Result<bool, UploadError> {
        let perhaps = matches!(
            error,
            UploadError::Store(StoreError::NotFound { .. } | StoreError::Revoked { .. })
                | UploadError::NotTaking { state: JobState::Succeeded }
        );
        Ok(perhaps && self.is_publishing(&live.record()).await?)
    }

    /// Claims, reads, acknowledges.
    pub(super) async fn store_body<B>(
        &self,
        live: &Live,
        slice: &Slice,
        body: &mut B,
        holding: Option<&Holding>,
    ) -> Result<Stored, UploadError>
    where
        B: Stream<Item = Result<Bytes, BodyError>> + Unpin,
    {
        if slice.length == Some(0) {
            if slice.is_whole {
                self.declare_end(live, slice.offset).await?;
            }
            return Ok(Stored::Now);
        }
        let chunk = Chunk { offset: slice.offset, length: slice.length, checksum: slice.checksum };
        let mut claimed = self.store.write(live.owned, chunk.clone()).await;
        for _ in 0..CLAIM_ATTEMPTS {
            if !matches!(claimed, Err(StoreError::Revoked { .. })) {
                break;
            }
            // The job was suspended, and perhaps resumed, or has ended, between the gate and here: ask it, then try again.
            self.signals()?.bytes_arrived(live.record().run()).await?;
            claimed = self.store.write(live.owned, chunk.clone()).await;
        }
        let claimed = claimed?;
        // Whoever suspends or ends the job waits for this claim, so that a slice which is refused has fixed no length.
        if let Some(total) = slice.total
            && let Err(error) = self.declare(live, total).await
        {
            if let Claimed::Writer(writer) = claimed {
                // Nothing was written; the claim is free when this returns.
                drop(writer.interrupt().await);
            }
            return Err(error);
        }
        let mut writer = match claimed {
            Claimed::Writer(writer) => writer,
            Claimed::AlreadyStored(state) => {
                note(live, &state);
                self.drain(Some(live), holding, body).await;
                if let (true, Some(length)) = (slice.is_whole, slice.length) {
                    self.declare_end(live, slice.offset + length).await?;
                }
                return Ok(Stored::Before);
            }
        };
        let ahead =
            slice.length.is_none().then(|| Ahead::new(slice.offset, live.record().declared_length));
        let end = match self.pump(live, writer.as_mut(), body, ahead, holding).await {
            Ok(end) => end,
            Err(verdict) => {
                drop(writer.interrupt().await);
                return Ok(Stored::Judged(verdict));
            }
        };
        let acknowledged = self.settle(live, writer, end).await?;
        note(live, &acknowledged.state);
        self.keep_promise(live);
        if slice.is_whole {
            self.declare_end(live, slice.offset + acknowledged.counted_bytes).await?;
        }
        Ok(Stored::Now)
    }

    /// Moves bytes from the body to the writer until one of them ends, or until what is stored proves that its image will not be taken:
    /// then its job has failed, and who sent it is told so.
    async fn pump<B>(
        &self,
        live: &Live,
        writer: &mut dyn RangeWriter,
        body: &mut B,
        mut ahead: Option<Ahead>,
        holding: Option<&Holding>,
    ) -> Result<BodyEnd, Verdict>
    where
        B: Stream<Item = Result<Bytes, BodyError>> + Unpin,
    {
        let mut unflushed = false;
        let mut course = Course::default();
        loop {
            let wait = if unflushed { self.limits.flush_after } else { Duration::from_hours(1) };
            if let Some(holding) = holding {
                holding.listens();
            }
            let next = tokio::select! {
                biased;
                ended = writer.ended() => return Ok(BodyEnd::Stopped(ended)),
                () = taken_over(holding) => return Ok(BodyEnd::Stopped(Ended::Superseded)),
                () = self.draining.cancelled() => return Ok(BodyEnd::Draining),
                next = tokio::time::timeout(wait, body.next()) => next,
            };
            let done = match next {
                Ok(None) => return Ok(BodyEnd::Whole),
                Ok(Some(Err(error))) => return Ok(BodyEnd::Broken(error)),
                Ok(Some(Ok(bytes))) if bytes.is_empty() => continue,
                Ok(Some(Ok(bytes))) => {
                    if let Some(holding) = holding {
                        holding.heard();
                    }
                    if let Some(ahead) = &mut ahead
                        && let Err(error) = self.go_ahead(live, ahead, bytes.len() as u64).await
                    {
                        return Ok(BodyEnd::Outgrown(error));
                    }
                    live.byte_arrived(self.clock.now_ms());
                    self.received_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                    if !live.gate_is_open()
                        && let Some(end) = self.wake(live, writer.ended()).await
                    {
                        return Ok(end);
                    }
                    unflushed = true;
                    let appended = writer.append(&bytes).await;
                    if appended.is_ok()
                        && let Some(verdict) = self.advance(live, &mut course, bytes.len()).await
                    {
                        return Err(verdict);
                    }
                    appended
                }
                Err(_quiet) => {
                    unflushed = false;
                    writer.flush().await
                }
            };
            if let Err(error) = done {
                return Ok(BodyEnd::Refused(error));
            }
        }
    }

    /// Bytes came on a request that was there before its job was suspended: they wake it as those of a new one would. Answers
    /// how the body ends if they may not.
    async fn wake(&self, live: &Live, ended: impl Future<Output = Ended>) -> Option<BodyEnd> {
        let woken = async { self.signals()?.bytes_arrived(live.record().run()).await };
        // Whoever suspends waits for this writer, and the job's lock may be theirs: so the end of the writer is heard first.
        tokio::select! {
            biased;
            ended = ended => Some(BodyEnd::Stopped(ended)),
            woken = woken => match woken {
                Err(
                    UploadError::NotTaking { .. }
                    | UploadError::Gone { .. }
                    | UploadError::NotFound,
                ) => Some(BodyEnd::Stopped(Ended::Revoked)),
                // If the job cannot be told, the bytes are kept all the same.
                Ok(()) | Err(_) => None,
            },
        }
    }

    /// Counts what there is to count, and turns the end of the body into the answer.
    async fn settle(
        &self,
        live: &Live,
        writer: Box<dyn RangeWriter>,
        end: BodyEnd,
    ) -> Result<Acknowledged, UploadError> {
        let error = match end {
            BodyEnd::Whole => return Ok(writer.acknowledge().await?),
            BodyEnd::Refused(error) => {
                // What was written before is kept if it can be; the first error is the one that is told.
                if let Ok(kept) = writer.interrupt().await {
                    note(live, &kept.state);
                }
                self.keep_promise(live);
                return Err(error.into());
            }
            BodyEnd::Outgrown(error) => {
                let kept = writer.interrupt().await?;
                note(live, &kept.state);
                self.keep_promise(live);
                return Err(match error {
                    UploadError::Store(StoreError::BeyondLength { length, .. }) => {
                        UploadError::Overlong { length, offset: kept.state.offset }
                    }
                    error => error,
                });
            }
            BodyEnd::Broken(error) => Some(error),
            BodyEnd::Stopped(ended) => {
                let kept = writer.interrupt().await?;
                note(live, &kept.state);
                self.keep_promise(live);
                return Err(UploadError::Store(match ended {
                    Ended::Superseded => StoreError::Superseded,
                    Ended::Revoked => StoreError::Revoked { key: live.owned.key },
                    // Nobody took its place: the storage failed under another request of this upload.
                    Ended::Failed => StoreError::Io {
                        action: "write data",
                        message: "the storage failed under this upload".to_owned(),
                    },
                }));
            }
            BodyEnd::Draining => None,
        };
        let kept = writer.interrupt().await?;
        note(live, &kept.state);
        self.keep_promise(live);
        let offset = kept.state.offset;
        Err(match error {
            Some(error) => UploadError::Body { error, offset },
            None => UploadError::Draining { offset },
        })
    }

    /// If the upload is complete now: has its job finish it and waits a while for the verdict.
    async fn conclude(
        &self,
        live: &Live,
        slice: &Slice,
        duplicate: bool,
    ) -> Result<Written, UploadError> {
        let record = live.record();
        let complete = match record.completion {
            Completion::ByLength => match record.declared_length {
                // An empty upload, or one whose last bytes another request stored: ask the store.
                Some(length) if record.offset_cached >= length || slice.length == Some(0) => {
                    self.store.state(live.owned.key).await.is_ok_and(|state| state.is_complete())
                }
                _ => false,
            },
            Completion::Explicit if slice.is_whole => {
                self.store.state(live.owned.key).await.is_ok_and(|state| state.is_complete())
            }
            Completion::Explicit => false,
        };
        let verdict =
            if complete { self.verdict(live).await? } else { self.refuse_early(live).await? };
        self.written(record.uuid, duplicate, verdict).await
    }

    async fn verdict(&self, live: &Live) -> Result<Option<Verdict>, UploadError> {
        let record = live.record();
        let mut verdict = self.signals()?.complete(record.run());
        let decided = verdict.wait_for(Option::is_some);
        let decided = tokio::time::timeout(self.limits.finish_wait, decided).await;
        Ok(decided.ok().and_then(Result::ok).and_then(|verdict| verdict.clone()))
    }

    pub(super) async fn written(
        &self,
        upload: UploadUuid,
        duplicate: bool,
        verdict: Option<Verdict>,
    ) -> Result<Written, UploadError> {
        Ok(Written { status: self.any_status(upload).await?, duplicate, verdict })
    }

    /// Reads a body away, as far as it goes. One that holds the place gives way to another request as one that is stored does:
    /// nothing of it is needed, and nobody is to wait for it.
    async fn drain<B>(&self, live: Option<&Live>, holding: Option<&Holding>, body: &mut B)
    where
        B: Stream<Item = Result<Bytes, BodyError>> + Unpin,
    {
        let mut body = Pin::new(body);
        loop {
            if let Some(holding) = holding {
                holding.listens();
            }
            let next = tokio::select! {
                biased;
                () = taken_over(holding) => return,
                () = self.draining.cancelled() => return,
                next = body.next() => next,
            };
            let Some(Ok(_)) = next else { return };
            if let Some(holding) = holding {
                holding.heard();
            }
            // Bytes that are there already are no silence.
            if let Some(live) = live {
                live.byte_arrived(self.clock.now_ms());
            }
        }
    }
}

/// Refuses a slice that does not lie inside the length, before any byte is read.
fn within(slice: &Slice, length: u64) -> Result<(), UploadError> {
    if let Some(total) = slice.total
        && total != length
    {
        return Err(StoreError::LengthConflict { offered: total, declared: length }.into());
    }
    let end = slice.offset.checked_add(slice.length.unwrap_or(0));
    match end {
        Some(end) if end <= length => Ok(()),
        Some(end) => Err(StoreError::BeyondLength { end, length }.into()),
        None => Err(StoreError::BeyondLength { end: u64::MAX, length }.into()),
    }
}

/// Resolves when another request takes the place over; never where none is held. Cancel-safe.
async fn taken_over(holding: Option<&Holding>) {
    match holding {
        Some(holding) => holding.ended().await,
        None => std::future::pending().await,
    }
}

fn note(live: &Live, state: &UploadState) {
    live.acknowledged(state.offset, state.stored_bytes());
}
