//! Putting partial uploads together. The bytes go from file to file; the digests of the whole are made once, behind them.

use std::{
    collections::HashMap,
    sync::{MutexGuard, PoisonError, atomic::Ordering},
};

use longshore_storage::StoreError;

use super::{Live, UploadError, Uploads, live};
use crate::domain::{
    ids::{AccountUuid, UploadUuid},
    upload::{UploadFate, UploadKind, UploadRecord},
};

/// Parts that one upload may have.
pub const PARTS_MAX: usize = 256;
/// Bytes between two moments at which what was copied is durable and seen by whoever asks.
const STEP_BYTES: u64 = 64 << 20;

/// Why an upload cannot be a part of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PartFault {
    /// Never existed, or belongs to somebody else.
    #[error("there is no such upload")]
    Missing,
    /// Its bytes are gone.
    #[error("the partial upload was {} and its bytes are gone", fate.name())]
    Gone {
        /// Why.
        fate: UploadFate,
    },
    /// It is an upload of its own.
    #[error("the upload is not a partial one")]
    NotPartial,
    /// Bytes of it are missing.
    #[error("the partial upload is not finished: it continues at {offset}")]
    Unfinished {
        /// First missing byte.
        offset: u64,
    },
    /// It is a part of another upload.
    #[error("the partial upload is a part of another upload already")]
    Taken,
    /// It is named twice.
    #[error("the partial upload is named twice")]
    Twice,
}

/// What uploads that are to be joined are.
#[derive(Debug)]
pub(crate) enum Parts {
    /// All bytes are here.
    Whole {
        /// All of them together.
        length: u64,
    },
    /// They have been joined, in this order: whoever asks again has lost the answer.
    Joined(Box<UploadRecord>),
}

/// Refuses more parts than an upload is joined of. For whoever has to look each of them up first.
pub const fn check_part_count(count: usize) -> Result<(), UploadError> {
    if count > PARTS_MAX { Err(UploadError::TooManyParts { max: PARTS_MAX }) } else { Ok(()) }
}

impl Uploads {
    /// Looks whether these uploads of one account can be joined, to one with this metadata: what is asked with another declares
    /// something else, and is no repetition.
    pub(crate) async fn check_parts(
        &self,
        account: AccountUuid,
        parts: &[UploadUuid],
        metadata: Option<&str>,
    ) -> Result<Parts, UploadError> {
        check_part_count(parts.len())?;
        let mut records = Vec::with_capacity(parts.len());
        for (at, part) in parts.iter().enumerate() {
            let bad = |fault| UploadError::Part { number: at + 1, fault };
            if parts[..at].contains(part) {
                return Err(bad(PartFault::Twice));
            }
            // Not from memory: who has taken it is known to the records alone.
            let record = self.db.upload(*part).await?;
            let record = record.filter(|record| record.account == account);
            let record = record.ok_or_else(|| bad(PartFault::Missing))?;
            if record.kind != UploadKind::Partial {
                return Err(bad(PartFault::NotPartial));
            }
            records.push(record);
        }
        if let Some(joined) = self.joined_already(parts, &records, metadata).await? {
            return Ok(Parts::Joined(Box::new(joined)));
        }
        let mut length = 0_u64;
        for (at, record) in records.iter().enumerate() {
            let part = self.part_length(record).await?;
            let part = part.map_err(|fault| UploadError::Part { number: at + 1, fault })?;
            length = length.saturating_add(part);
        }
        Ok(Parts::Whole { length })
    }

    /// The upload that exactly these parts became, if they became one.
    async fn joined_already(
        &self,
        parts: &[UploadUuid],
        records: &[UploadRecord],
        metadata: Option<&str>,
    ) -> Result<Option<UploadRecord>, UploadError> {
        let Some(taker) = records.first().and_then(|first| first.taken_by) else {
            return Ok(None);
        };
        let joined = self.db.upload(taker).await?;
        let is_meant = |joined: &UploadRecord| {
            joined.parts == parts
                && joined.client_metadata.as_deref() == metadata
                && matches!(joined.fate, UploadFate::Open | UploadFate::Published)
        };
        Ok(joined.filter(is_meant))
    }

    async fn part_length(
        &self,
        record: &UploadRecord,
    ) -> Result<Result<u64, PartFault>, UploadError> {
        if record.taken_by.is_some() {
            return Ok(Err(PartFault::Taken));
        }
        if record.fate != UploadFate::Open {
            return Ok(Err(PartFault::Gone { fate: record.fate }));
        }
        let state = match self.store.state(live::key(record.uuid)).await {
            Ok(state) => state,
            Err(lost @ (StoreError::NotFound { .. } | StoreError::Damaged { .. })) => {
                return match self.explain_partial(record.uuid, lost.into()).await {
                    UploadError::Gone { fate } => Ok(Err(PartFault::Gone { fate })),
                    error => Err(error),
                };
            }
            Err(error) => return Err(error.into()),
        };
        Ok(if state.is_complete() {
            Ok(state.offset)
        } else {
            Err(PartFault::Unfinished { offset: state.offset })
        })
    }

    /// Copies the parts of an upload into it, in order, and removes them. Repeatable, also after a crash in the middle: it goes on
    /// with what is missing. A revoke ends it with what was copied until then.
    pub(crate) async fn join(&self, live: &Live) -> Result<(), UploadError> {
        let record = live.record();
        if !self.is_complete(record.uuid).await? {
            let lengths = self.part_lengths(&record).await?;
            let mut at = 0;
            for (part, length) in record.parts.iter().zip(lengths) {
                self.copy_part(live, at, *part, length).await?;
                at += length;
            }
        }
        self.discard_parts(&record).await;
        Ok(())
    }

    /// The lengths of all parts, before the first byte is copied: behind a part that is shorter than it was, all others would be
    /// durable at wrong positions, for ever.
    async fn part_lengths(&self, record: &UploadRecord) -> Result<Vec<u64>, UploadError> {
        let damaged = |part: &UploadUuid, message: String| StoreError::Damaged {
            what: format!("the partial upload {part}"),
            message,
        };
        let (mut lengths, mut together) = (Vec::with_capacity(record.parts.len()), 0_u64);
        for part in &record.parts {
            let state = self.store.state(live::key(*part)).await?;
            if !state.is_complete() {
                let words = format!("it had all its bytes and now ends at {}", state.offset);
                return Err(damaged(part, words).into());
            }
            together = together.saturating_add(state.offset);
            lengths.push(state.offset);
        }
        match record.parts.last() {
            Some(last) if record.declared_length != Some(together) => {
                let words = format!(
                    "it and those before it have {together} bytes together, and had others when they were joined"
                );
                Err(damaged(last, words).into())
            }
            Some(_) | None => Ok(lengths),
        }
    }

    async fn copy_part(
        &self,
        live: &Live,
        at: u64,
        part: UploadUuid,
        length: u64,
    ) -> Result<(), UploadError> {
        let mut done = 0;
        while done < length {
            let end = length.min(done + STEP_BYTES);
            let copied = self.store.copy(live.owned, at + done, live::key(part), done..end);
            let state = copied.await?;
            live.acknowledged(state.offset, state.stored_bytes());
            self.keep_promise(live);
            done = end;
        }
        Ok(())
    }

    /// Removes the parts of an upload that has their bytes, or that has ended. What cannot be removed now is tried again by
    /// whoever looks after partial uploads ([`unremoved`](Self::unremoved)).
    pub(crate) async fn discard_parts(&self, joined: &UploadRecord) {
        for part in &joined.parts {
            if let Err(error) = self.discard_part(*part).await {
                tracing::warn!(upload = %joined.uuid, %part, %error, "a partial upload that was joined could not be removed; it will be tried again");
            }
        }
    }

    /// Removes a partial upload, even where it is a part of another.
    pub(crate) async fn discard_part(&self, part: UploadUuid) -> Result<(), UploadError> {
        let Some(record) = self.db.upload(part).await? else { return Ok(()) };
        if record.fate == UploadFate::Open {
            self.db.end_partial(part, UploadFate::Discarded, true).await?;
        }
        self.discard(&record).await
    }

    /// Partial uploads that are recorded as ended and whose bytes could not be removed since the start. What was not removed before
    /// that is among them once [`reconcile_store`](Self::reconcile_store) has met it.
    pub(crate) fn unremoved(&self) -> Vec<UploadRecord> {
        self.lock_unremoved().values().cloned().collect()
    }

    /// Whether no bytes of an ended partial upload are left that its record alone names: then the record may be forgotten.
    pub(crate) fn has_removed_all(&self) -> bool {
        self.has_cleared_strays.load(Ordering::Acquire) && self.lock_unremoved().is_empty()
    }

    pub(super) fn is_unremoved(&self, upload: UploadUuid) -> bool {
        self.lock_unremoved().contains_key(&upload)
    }

    /// Remembers whether the removal of one has come to nothing.
    pub(super) fn note_removal(&self, record: &UploadRecord, is_removed: bool) {
        let mut unremoved = self.lock_unremoved();
        if is_removed {
            unremoved.remove(&record.uuid);
        } else {
            unremoved.insert(record.uuid, record.clone());
        }
    }

    fn lock_unremoved(&self) -> MutexGuard<'_, HashMap<UploadUuid, UploadRecord>> {
        self.unremoved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
