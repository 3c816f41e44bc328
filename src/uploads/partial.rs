//! Partial uploads: bytes that become a part of an upload that is joined from several (tus concatenation). They have no job: all that
//! can become of them is to be continued, to be joined, to be removed, or to expire.

use bytes::Bytes;
use futures::Stream;
use longshore_storage::StoreError;

use super::{Append, BodyError, Found, Party, Slice, UploadError, Uploads, append::total, live};
use crate::domain::{
    ids::UploadUuid,
    upload::{UploadFate, UploadKind, UploadRecord},
};

/// When a request that met the look whether its upload has expired should come again.
const SHUT_RETRY_MS: u64 = 100;

/// Where a partial upload stands.
#[derive(Debug, Clone)]
pub struct PartialStatus {
    /// Its record.
    pub record: UploadRecord,
    /// Its length, once declared.
    pub length: Option<u64>,
    /// First missing byte; durable.
    pub offset: u64,
}

impl PartialStatus {
    /// Whether it has all its bytes, and can be joined.
    pub fn is_whole(&self) -> bool {
        self.length == Some(self.offset)
    }
}

impl Uploads {
    /// Takes a body that continues a partial upload, by the rules of [`append`](Self::append). `NotFound` for all other uploads.
    pub async fn append_partial<B>(
        &self,
        upload: UploadUuid,
        append: Append,
        mut body: B,
    ) -> Result<PartialStatus, UploadError>
    where
        B: Stream<Item = Result<Bytes, BodyError>> + Unpin,
    {
        if self.draining.is_cancelled() {
            return Err(UploadError::Draining { offset: 0 });
        }
        let live = match self.open(upload).await {
            Ok(Found::Open(live)) if live.record().kind == UploadKind::Partial => live,
            Ok(Found::Open(_) | Found::Published(_)) => return Err(UploadError::NotFound),
            Err(UploadError::Gone { .. }) => {
                return self.append_to_part(upload, &append.slice).await;
            }
            Err(error) => return Err(error),
        };
        let _admission = self.admit_request(Party::Account(live.record().account))?;
        let Append { mut slice, takeover, ends_if_longer: _ } = append;
        slice.total = total(&slice)?;
        let Some(holding) = live.place().take(takeover).await else {
            let offset = self.partial_status(upload).await?.offset;
            return Err(UploadError::Appending { offset });
        };
        let outcome = self.append_held(&live, &slice, &mut body, &holding).await;
        drop(holding);
        match outcome {
            Ok(_) => self.partial_status(upload).await,
            Err(UploadError::Store(StoreError::Superseded)) => {
                let offset = self.partial_status(upload).await?.offset;
                Err(UploadError::Appending { offset })
            }
            Err(
                UploadError::Store(StoreError::BeyondLength { length, .. })
                | UploadError::Overlong { length, .. },
            ) => {
                let offset = self.partial_status(upload).await?.offset;
                Err(UploadError::Overlong { length, offset })
            }
            Err(error) => Err(self.explain_partial(upload, error).await),
        }
    }

    /// Where a partial upload stands, after the end of a silent request as in [`settled_status`](Self::settled_status). One whose
    /// bytes are in an upload that is kept is whole, also when it is not stored apart any more. `Gone` for all others that have
    /// ended; `NotFound` for all other uploads.
    pub async fn settled_partial(&self, upload: UploadUuid) -> Result<PartialStatus, UploadError> {
        if let Some(live) = self.touched(upload) {
            live.place().settle().await;
        }
        self.partial_status(upload).await
    }

    /// Where a partial upload stands. Never asks for bytes, never ends a request. Else as
    /// [`settled_partial`](Self::settled_partial).
    pub async fn partial_status(&self, upload: UploadUuid) -> Result<PartialStatus, UploadError> {
        let record = self.record(upload).await?;
        if record.kind != UploadKind::Partial {
            return Err(UploadError::NotFound);
        }
        if record.fate != UploadFate::Open {
            return self.ended_partial(record).await;
        }
        match self.store.state(live::key(upload)).await {
            Ok(state) => {
                let length = state.declared_length.or(record.declared_length);
                Ok(PartialStatus { record, length, offset: state.offset })
            }
            Err(error) => match self.db.upload(upload).await? {
                Some(now) if now.fate != UploadFate::Open => self.ended_partial(now).await,
                Some(_) => Err(self.explain_partial(upload, error.into()).await),
                None => Err(UploadError::NotFound),
            },
        }
    }

    /// A client that has lost the answer to the joining asks for its parts first. It must not hear that they are gone, or it
    /// sends all of them again and makes a second image.
    async fn ended_partial(&self, record: UploadRecord) -> Result<PartialStatus, UploadError> {
        let gone = UploadError::Gone { fate: record.fate };
        if !self.is_in_kept_upload(&record).await? {
            return Err(gone);
        }
        let length = record.declared_length.ok_or(gone)?;
        Ok(PartialStatus { record, length: Some(length), offset: length })
    }

    /// Whether it is a part of an upload that takes its bytes or has become an image.
    pub(crate) async fn is_in_kept_upload(
        &self,
        record: &UploadRecord,
    ) -> Result<bool, UploadError> {
        let Some(taker) = record.taken_by else { return Ok(false) };
        let taker = self.db.upload(taker).await?;
        Ok(taker.is_some_and(|taker| match taker.fate {
            UploadFate::Open | UploadFate::Published => true,
            UploadFate::Discarded | UploadFate::Expired => false,
        }))
    }

    /// Nothing can be added to a part that is in another upload; whoever asks to is told where it ends.
    async fn append_to_part(
        &self,
        upload: UploadUuid,
        slice: &Slice,
    ) -> Result<PartialStatus, UploadError> {
        let status = self.partial_status(upload).await?;
        if slice.offset != status.offset {
            return Err(UploadError::WrongOffset { expected: status.offset });
        }
        if slice.length == Some(0) {
            return Ok(status);
        }
        Err(UploadError::Overlong { length: status.offset, offset: status.offset })
    }

    /// Makes of a refusal what the client has to know: that the upload has ended meanwhile, that it was shut for a moment to see
    /// whether it has expired, or that the storage has lost it, which ends it.
    pub(super) async fn explain_partial(
        &self,
        upload: UploadUuid,
        error: UploadError,
    ) -> UploadError {
        let is_lost = matches!(
            error,
            UploadError::Store(StoreError::NotFound { .. } | StoreError::Damaged { .. })
        );
        let is_shut =
            matches!(error, UploadError::NotFound | UploadError::Store(StoreError::Revoked { .. }));
        if !is_lost && !is_shut {
            return error;
        }
        match self.db.upload(upload).await {
            Ok(Some(record)) if record.fate != UploadFate::Open => {
                UploadError::Gone { fate: record.fate }
            }
            Ok(Some(record)) if is_lost => self.end_lost(&record, error).await,
            Ok(Some(_)) => {
                StoreError::Busy { key: live::key(upload), retry_after_ms: SHUT_RETRY_MS }.into()
            }
            Ok(None) => UploadError::NotFound,
            Err(error) => error.into(),
        }
    }

    /// Ends an open partial upload whose bytes the storage does not have any more. It has no job to cancel, and open it would hold
    /// its room and its place and answer nobody. One that is a part of an upload goes with that: its job is told when it is copied.
    async fn end_lost(&self, record: &UploadRecord, error: UploadError) -> UploadError {
        let fate = UploadFate::Discarded;
        match self.db.end_partial(record.uuid, fate, false).await {
            Ok(true) => {}
            Ok(false) => return error,
            Err(error) => return error.into(),
        }
        tracing::error!(upload = %record.uuid, %error, "the storage has lost a partial upload; it was ended");
        if let Err(error) = self.discard(record).await {
            tracing::warn!(upload = %record.uuid, %error, "what is left of a lost partial upload could not be removed; it will be tried again");
        }
        UploadError::Gone { fate }
    }
}
