//! Appending, as the sequential dialects do: a body continues the upload exactly where it stands, or changes nothing.

use bytes::Bytes;
use futures::Stream;
use longshore_storage::StoreError;

use super::{
    BodyError, Found, Live, Party, Refusal, Slice, Takeover, UploadError, Uploads, Written,
    place::Holding, write::Stored,
};
use crate::domain::{
    ids::UploadUuid,
    job::Reason,
    upload::{UploadFate, UploadKind, UploadRecord},
};

/// One body that continues an upload.
#[derive(Debug, Clone)]
pub struct Append {
    /// The body. Where [`Slice::is_whole`] is set, its end is the end of the upload.
    pub slice: Slice,
    /// What becomes of a request that is appending already.
    pub takeover: Takeover,
    /// A body that goes beyond the length of the upload ends the upload: its client does not know what it sends (the IETF draft).
    /// Else it is refused, and the upload goes on.
    pub ends_if_longer: bool,
}

impl Uploads {
    /// Takes a body that continues the upload, as [`write`](Self::write) does any other: answers when what it stored is durable,
    /// keeps what came of a body that breaks off, and waits up to `finish_wait` for the verdict after the last byte.
    ///
    /// # Guarantees
    /// * `WrongOffset`, with the first missing byte, where the body begins anywhere else; nothing has changed then. So a request
    ///   that is sent again although it was stored is told where the upload stands, also when that is its end.
    /// * One request appends at a time. `Appending` where another one does and keeps its place (see [`Takeover`]), and for the
    ///   one that was ended: both with the first missing byte.
    /// * A body that goes beyond the end is told where the upload stands: `Overlong` where that goes on, `Outgrown` where the body has
    ///   ended it ([`Append::ends_if_longer`]). One that announces it is refused before its first byte; of one that does not, what
    ///   came before is kept.
    /// * An upload whose last byte is stored takes an empty body at its end, and answers how it stands.
    pub async fn append<B>(
        &self,
        upload: UploadUuid,
        append: Append,
        mut body: B,
    ) -> Result<Written, UploadError>
    where
        B: Stream<Item = Result<Bytes, BodyError>> + Unpin,
    {
        if self.draining.is_cancelled() {
            return Err(UploadError::Draining { offset: 0 });
        }
        let found = self.open(upload).await?;
        match found.kind() {
            UploadKind::Whole => {}
            UploadKind::Joined => return Err(UploadError::Joined),
            UploadKind::Partial => return Err(UploadError::Partial),
        }
        let _admission = self.admit_request(Party::Account(found.account()))?;
        let Append { mut slice, takeover, ends_if_longer } = append;
        slice.total = total(&slice)?;
        let live = match found {
            Found::Open(live) => live,
            Found::Published(record) => return self.append_to_image(&record, &slice).await,
        };
        let Some(holding) = live.place().take(takeover).await else {
            let offset = self.offset(&live.record()).await?;
            return Err(UploadError::Appending { offset });
        };
        let outcome = self.append_held(&live, &slice, &mut body, &holding).await;
        // Before the verdict is waited for: nothing of this request is written any more.
        drop(holding);
        let answer = self.answer(&live, &slice, outcome, &mut body).await;
        match answer {
            Err(UploadError::Store(StoreError::Superseded)) => {
                let offset = self.offset(&live.record()).await?;
                Err(UploadError::Appending { offset })
            }
            Err(
                UploadError::Store(StoreError::BeyondLength { length, .. })
                | UploadError::Overlong { length, .. },
            ) => Err(self.outgrow(&live, length, ends_if_longer).await?),
            answer => answer,
        }
    }

    /// More bytes came than the upload has: its job fails where that ends it, unless it has all of them already. Answers what its
    /// client is told.
    async fn outgrow(
        &self,
        live: &Live,
        length: u64,
        ends_it: bool,
    ) -> Result<UploadError, UploadError> {
        let record = live.record();
        let offset = self.offset(&record).await?;
        if !ends_it || self.is_complete(record.uuid).await? {
            return Ok(UploadError::Overlong { length, offset });
        }
        let outgrown = UploadError::Outgrown { length, offset };
        let detail = format!(
            "a request brought more than the {length} bytes that the upload was announced to have, and so the {offset} that came before \
             cannot be trusted; they were removed, start a new upload"
        );
        // The file may be sound: its client has counted wrong.
        let reason = Reason::NotTheFile;
        let refusal = Refusal { detail, cause: outgrown.to_string(), reason };
        self.signals()?.refused(record.run(), refusal).await?;
        Ok(outgrown)
    }

    pub(super) async fn append_held<B>(
        &self,
        live: &Live,
        slice: &Slice,
        body: &mut B,
        holding: &Holding,
    ) -> Result<Stored, UploadError>
    where
        B: Stream<Item = Result<Bytes, BodyError>> + Unpin,
    {
        let record = live.record();
        let expected = self.offset(&record).await?;
        if slice.offset != expected {
            return Err(UploadError::WrongOffset { expected });
        }
        // Before what it says of the length of the whole: another length ends no upload, more bytes than it has may do so.
        if let (Some(length), Some(bytes)) = (record.declared_length, slice.length) {
            let end = slice.offset.saturating_add(bytes);
            if end > length {
                return Err(StoreError::BeyondLength { end, length }.into());
            }
        }
        self.admit(live, slice).await?;
        self.store_body(live, slice, body, Some(holding)).await
    }

    /// Nothing can be added to an image; whoever asks to is told where it ends.
    async fn append_to_image(
        &self,
        record: &UploadRecord,
        slice: &Slice,
    ) -> Result<Written, UploadError> {
        let length = record.declared_length.unwrap_or(record.offset_cached);
        if slice.offset != length {
            return Err(UploadError::WrongOffset { expected: length });
        }
        if slice.length != Some(0) {
            return Err(UploadError::Overlong { length, offset: length });
        }
        match slice.total {
            Some(total) if total != length => {
                Err(StoreError::LengthConflict { offered: total, declared: length }.into())
            }
            Some(_) | None => self.written(record.uuid, true, None).await,
        }
    }

    /// Where an upload stands, for a client that wants to go on: a request that appends and is silent is ended first, so that
    /// what it received is part of the answer. Waits half a second at most to see whether one is silent; while bytes flow the
    /// offset is the one that is durable at this moment.
    pub async fn settled_status(
        &self,
        upload: UploadUuid,
    ) -> Result<super::UploadStatus, UploadError> {
        if let Some(live) =
            self.touched(upload).filter(|live| live.record().fate == UploadFate::Open)
        {
            live.place().settle().await;
        }
        self.status(upload).await
    }
}

/// The length of the whole as the request has it: named, or the end of a body that is its last.
pub(super) fn total(slice: &Slice) -> Result<Option<u64>, UploadError> {
    let ends = match (slice.is_whole, slice.length) {
        (true, Some(length)) => Some(slice.offset.saturating_add(length)),
        (true, None) | (false, _) => None,
    };
    match (slice.total, ends) {
        (Some(total), Some(end)) if total != end => {
            Err(StoreError::LengthConflict { offered: end, declared: total }.into())
        }
        (total, end) => Ok(total.or(end)),
    }
}
