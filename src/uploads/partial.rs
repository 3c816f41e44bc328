//! Partial uploads: bytes that become a part of an upload that is joined from several (tus concatenation). They have no job: all that
//! can become of them is to be continued, to be joined, to be removed, or to expire.

use bytes::Bytes;
use futures::Stream;
use longshore_storage::StoreError;

use super::{Append, BodyError, Found, Live, Party, UploadError, Uploads, append::total, live};
use crate::domain::{
    ids::UploadUuid,
    upload::{UploadFate, UploadKind, UploadRecord},
};

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
        let live = match self.open(upload).await? {
            Found::Open(live) if live.record().kind == UploadKind::Partial => live,
            Found::Open(_) | Found::Published(_) => return Err(UploadError::NotFound),
        };
        let _admission = self.admit_request(Party::Account(live.record().account))?;
        let Append { mut slice, takeover, ends_if_longer: _ } = append;
        slice.total = total(&slice)?;
        let Some(holding) = live.place().take(takeover).await else {
            let offset = self.offset(&live.record()).await?;
            return Err(UploadError::Appending { offset });
        };
        let outcome = self.append_held(&live, &slice, &mut body, &holding).await;
        drop(holding);
        match outcome {
            Ok(_) => self.partial_status(upload).await,
            Err(UploadError::Store(StoreError::Superseded)) => {
                let offset = self.offset(&live.record()).await?;
                Err(UploadError::Appending { offset })
            }
            Err(error) => Err(self.explain_partial(&live, error).await),
        }
    }

    /// Where a partial upload stands, after the end of a silent request as in [`settled_status`](Self::settled_status). `Gone` for
    /// one that has ended, also where it has become a part; `NotFound` for all other uploads.
    pub async fn settled_partial(&self, upload: UploadUuid) -> Result<PartialStatus, UploadError> {
        if let Some(live) = self.touched(upload) {
            live.place().settle().await;
        }
        self.partial_status(upload).await
    }

    async fn partial_status(&self, upload: UploadUuid) -> Result<PartialStatus, UploadError> {
        let record = self.record(upload).await?;
        if record.kind != UploadKind::Partial {
            return Err(UploadError::NotFound);
        }
        let ended = |record: UploadRecord| UploadError::Gone { fate: record.fate };
        if record.fate != UploadFate::Open {
            return Err(ended(record));
        }
        match self.store.state(live::key(upload)).await {
            Ok(state) => {
                let length = state.declared_length.or(record.declared_length);
                Ok(PartialStatus { record, length, offset: state.offset })
            }
            Err(error) => match self.db.upload(upload).await? {
                Some(now) if now.fate != UploadFate::Open => Err(ended(now)),
                Some(_) => Err(error.into()),
                None => Err(UploadError::NotFound),
            },
        }
    }

    /// A refusal of the store that only means that the upload has ended meanwhile says so.
    async fn explain_partial(&self, live: &Live, error: UploadError) -> UploadError {
        let ended = matches!(
            error,
            UploadError::NotFound
                | UploadError::Store(StoreError::NotFound { .. } | StoreError::Revoked { .. })
        );
        if !ended {
            return error;
        }
        match self.db.upload(live.record().uuid).await {
            Ok(Some(UploadRecord { fate: UploadFate::Open, .. })) => error,
            Ok(Some(record)) => UploadError::Gone { fate: record.fate },
            Ok(None) => UploadError::NotFound,
            Err(error) => error.into(),
        }
    }
}
