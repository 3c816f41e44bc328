//! Looking at what is stored: the bytes of an image against its digests, the files of the store against the records.

use std::time::{Duration, Instant};

use longshore_storage::{
    ImageKey, StoreError,
    digest::{DigestChoice, DigestState, Digests, Engine},
};

use super::{PartlyRead, UploadError, Uploads, live};
use crate::domain::{
    account::Scope,
    ids::ImageUuid,
    image::{ImageRecord, ImageStatus},
    job::LongJob,
    tag::hex,
    upload::UploadRecord,
};

/// Bytes of an image that are read and hashed at once.
const READ_BYTES: u64 = 1 << 20;
/// Images of the records that are looked at with one question.
const PAGE: u64 = 1000;
/// Images that a comparison names, so that all get their mark; the rest is counted. 1.6 MB at the most.
const NAMED_MAX: usize = 100_000;
/// Uploads without their bytes that one look answers.
const MISSING_MAX: usize = 1000;

/// How fast images are read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Bytes a second at the most.
    pub bytes_per_sec: u64,
}

impl Pace {
    /// How long to wait after `bytes` that took `spent`.
    fn rest(self, bytes: u64, spent: Duration) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_sec.max(1));
        let due = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        due.saturating_sub(spent)
    }
}

/// How an image is read again.
#[derive(Debug, Clone)]
pub struct Look {
    /// How fast.
    pub pace: Pace,
    /// Until when; at least one block is read, so that every look comes further.
    pub until: Option<Instant>,
    /// Where an earlier look has stopped; from the begin if that was at another image.
    pub from: Option<PartlyRead>,
}

impl Look {
    /// The whole image, however long that takes.
    pub const fn whole(pace: Pace) -> Self {
        Self { pace, until: None, from: None }
    }
}

/// What the bytes of an image are found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageFound {
    /// As its record says.
    Sound {
        /// Bytes that were read.
        bytes: u64,
    },
    /// Not in the store.
    Missing,
    /// Longer or shorter than its record says.
    WrongLength {
        /// Bytes that it has.
        actual: u64,
    },
    /// Other bytes than those that became the image.
    WrongDigest {
        /// Which digests differ, with what they are now.
        differs: Vec<(&'static str, String)>,
        /// Bytes that were read.
        bytes: u64,
    },
    /// Sound or not: its time was over before its end was reached.
    Partly {
        /// How far it is: from there the next look goes on.
        read: PartlyRead,
        /// Bytes that this look has read.
        bytes: u64,
    },
    /// It is being removed, or has changed, since its record was read: nothing is known of it.
    Gone,
}

/// What a comparison of the store with the records has found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct StoreFound {
    /// Uploads that have a staging entry.
    pub uploads: u64,
    /// Staging entries of uploads that have ended: what is left of them is removed.
    pub leftovers: u64,
    /// Staging entries without a record: they are set aside in `lost+found`.
    pub unknown_uploads: u64,
    /// Image files among those that are settled.
    pub images: u64,
    /// Images that were put in one piece (`whole/`) and have no record, nor one that may be on its way: they are set aside in
    /// `lost+found`.
    pub unsettled: u64,
    /// Settled image files without a record: they are told, and never touched.
    pub unknown_images: Found,
    /// Ready images without their file.
    pub missing_images: Found,
    /// Ready images whose file has another length.
    pub wrong_lengths: Found,
    /// Unfinished jobs whose bytes are gone, with their uploads; at most a thousand.
    pub missing_uploads: Vec<(LongJob, UploadRecord)>,
    /// Uploads and images that could not be looked at or repaired: the log says why, and nothing is known of them.
    pub unreadable: u64,
}

/// Who is at work on a store while it is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtWork {
    /// This service: jobs that receive find out by themselves that their bytes are gone, and are left alone.
    Service,
    /// Nobody, whatever the rows say: after a crash they still name jobs as running.
    Nobody,
}

/// So many images, the first of them by name.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Found {
    /// All of them.
    pub count: u64,
    /// The first hundred thousand.
    pub first: Vec<ImageUuid>,
}

impl Found {
    fn add(&mut self, image: ImageUuid) {
        self.count += 1;
        if self.first.len() < NAMED_MAX {
            self.first.push(image);
        }
    }
}

impl StoreFound {
    /// Whether files and records agree.
    pub const fn agrees(&self) -> bool {
        self.leftovers == 0
            && self.unknown_uploads == 0
            && self.unsettled == 0
            && self.unknown_images.count == 0
            && self.missing_images.count == 0
            && self.wrong_lengths.count == 0
            && self.missing_uploads.is_empty()
            && self.unreadable == 0
    }
}

impl Uploads {
    /// Reads a Ready image again, from the disk and not from what memory remembers of it, and compares length and digests with `record`.
    /// Hashing happens on the runtime's blocking pool, one block of 1 MiB at a time: the threads that hash uploads are left alone.
    /// `Io` where the disk has refused the same block twice.
    pub async fn check_image(
        &self,
        record: &ImageRecord,
        look: Look,
    ) -> Result<ImageFound, UploadError> {
        // Before the first look: whoever removes it from now on is seen.
        let reading = self.readings.begin(record.uuid);
        let key = ImageKey(record.uuid.0);
        let found = match twice(|| self.store.image_length(key)).await {
            Ok(length) if length != record.actual_size => {
                ImageFound::WrongLength { actual: length }
            }
            Ok(length) => self.compare(record, length, look).await?,
            Err(StoreError::ImageNotFound { .. }) => ImageFound::Missing,
            Err(error) => return Err(error.into()),
        };
        if matches!(found, ImageFound::Sound { .. } | ImageFound::Partly { .. }) {
            return Ok(found);
        }
        // It may have been deleted, and even made anew, meanwhile: that is no damage.
        let now = self.db.image(record.uuid, Scope::All).await?;
        let is_same = now.is_some_and(|now| {
            now.status == ImageStatus::Ready
                && now.actual_size == record.actual_size
                && (&now.md5, &now.sha256) == (&record.md5, &record.sha256)
        });
        Ok(if reading.is_removed() || !is_same { ImageFound::Gone } else { found })
    }

    async fn compare(
        &self,
        record: &ImageRecord,
        length: u64,
        look: Look,
    ) -> Result<ImageFound, UploadError> {
        let choice = DigestChoice { md5: record.md5.is_some(), sha256: record.sha256.is_some() };
        if !choice.md5 && !choice.sha256 {
            return Ok(ImageFound::Sound { bytes: 0 });
        }
        let key = ImageKey(record.uuid.0);
        let from = look.from.and_then(|partly| partly.state(record, choice));
        let mut state = Box::new(from.unwrap_or_else(|| DigestState::new(choice)));
        let (start, begun) = (state.offset(), Instant::now());
        let mut offset = start;
        while offset < length {
            let is_over = look.until.is_some_and(|until| Instant::now() >= until);
            if is_over && offset > start {
                let read = PartlyRead::new(record, &state);
                return Ok(ImageFound::Partly { read, bytes: offset - start });
            }
            let end = length.min(offset + READ_BYTES);
            let read = || self.store.read_image_past_cache(key, offset..end);
            let bytes = match twice(read).await {
                Ok(bytes) if bytes.is_empty() => {
                    return Ok(ImageFound::WrongLength { actual: offset });
                }
                Ok(bytes) => bytes,
                Err(StoreError::ImageNotFound { .. }) => return Ok(ImageFound::Missing),
                Err(error) => return Err(error.into()),
            };
            offset += bytes.len() as u64;
            let hashed = tokio::task::spawn_blocking(move || {
                Engine::AUTO.update(&mut [(&mut *state, &bytes)]);
                state
            });
            // The pool ends with the process alone.
            state = hashed.await.map_err(|_| UploadError::Draining { offset })?;
            tokio::time::sleep(look.pace.rest(offset - start, begun.elapsed())).await;
        }
        let differs = differing(record, &state.finish());
        Ok(if differs.is_empty() {
            ImageFound::Sound { bytes: offset - start }
        } else {
            ImageFound::WrongDigest { differs, bytes: offset - start }
        })
    }

    /// Compares files and records. With `repair` what is safe is repaired: leftovers are removed; staging entries, and images in `whole/`,
    /// that no record names are set aside in `lost+found`; images that were recorded and not settled are. Nothing is deleted that may be
    /// somebody's image, and nothing in `images/` is touched. What would be set aside is counted without `repair` as well.
    /// What cannot be looked at is counted, and must not keep all others.
    pub async fn check_store(
        &self,
        repair: bool,
        at_work: AtWork,
    ) -> Result<StoreFound, UploadError> {
        let strays = self.look_for_strays(repair).await?;
        let whole = self.look_at_whole(repair).await?;
        let mut found = StoreFound {
            uploads: strays.entries,
            leftovers: strays.leftovers,
            unknown_uploads: strays.unknown,
            unsettled: whole.unknown,
            unreadable: strays.failed + whole.failed,
            ..StoreFound::default()
        };
        self.look_for_unknown_images(&mut found).await?;
        self.look_for_missing_images(&mut found).await?;
        self.look_for_missing_uploads(at_work, &mut found).await?;
        Ok(found)
    }

    async fn look_for_missing_uploads(
        &self,
        at_work: AtWork,
        found: &mut StoreFound,
    ) -> Result<(), UploadError> {
        let mut after: Option<String> = None;
        loop {
            let page = self.db.unfinished_jobs(after.as_deref(), PAGE).await?;
            if page.last.is_none() {
                return Ok(());
            }
            after = page.last;
            for (job, upload) in page.jobs {
                let is_asked = match at_work {
                    AtWork::Service => job.state.suspend_reason().is_some(),
                    AtWork::Nobody => true,
                };
                if !is_asked || found.missing_uploads.len() >= MISSING_MAX {
                    continue;
                }
                match self.has_lost(&upload).await {
                    Ok(true) => found.missing_uploads.push((job, upload)),
                    Ok(false) => {}
                    Err(error) => {
                        tracing::error!(upload = %upload.uuid, %error, "an upload could not be looked at");
                        found.unreadable += 1;
                    }
                }
            }
        }
    }

    async fn has_lost(&self, upload: &UploadRecord) -> Result<bool, UploadError> {
        match self.store.state(live::key(upload.uuid)).await {
            Ok(_) => Ok(false),
            Err(StoreError::NotFound { .. }) => {
                Ok(!self.is_publishing(upload).await? && !self.is_ending(upload).await?)
            }
            Err(StoreError::Damaged { .. }) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    async fn look_for_unknown_images(&self, found: &mut StoreFound) -> Result<(), UploadError> {
        for page in self.store.images().await?.chunks(500) {
            let uuids: Vec<_> = page.iter().map(|key| ImageUuid(key.0)).collect();
            found.images += uuids.len() as u64;
            let known = self.db.known_images(&uuids).await?;
            let known: std::collections::HashSet<_> = known.into_iter().collect();
            for image in uuids.into_iter().filter(|uuid| !known.contains(uuid)) {
                // Its record goes after its file: one that was removed meanwhile is no stray.
                match self.image_length(image).await {
                    Ok(Some(_)) if !self.making().contains(&image) => {
                        found.unknown_images.add(image);
                    }
                    Ok(_) => {}
                    Err(error) => {
                        tracing::error!(%image, %error, "an image file could not be looked at");
                        found.unreadable += 1;
                    }
                }
            }
        }
        Ok(())
    }

    async fn look_for_missing_images(&self, found: &mut StoreFound) -> Result<(), UploadError> {
        let mut after: Option<String> = None;
        loop {
            // By key: what is removed meanwhile shifts no other out of sight.
            let page = self.db.ready_images(after.as_deref(), PAGE).await?;
            if page.last.is_none() {
                return Ok(());
            }
            after = page.last;
            for (image, error) in &page.unreadable {
                tracing::error!(image, %error, "the row of an image cannot be read: mend the row");
                found.unreadable += 1;
            }
            for record in &page.images {
                let length = match self.image_length(record.uuid).await {
                    Ok(length) => length,
                    Err(error) => {
                        tracing::error!(image = %record.uuid, %error, "an image could not be looked at");
                        found.unreadable += 1;
                        continue;
                    }
                };
                if length == Some(record.actual_size) || !self.is_still(record).await? {
                    continue;
                }
                match length {
                    None => found.missing_images.add(record.uuid),
                    Some(_) => found.wrong_lengths.add(record.uuid),
                }
            }
        }
    }

    async fn is_still(&self, record: &ImageRecord) -> Result<bool, UploadError> {
        let now = self.db.image(record.uuid, Scope::All).await?;
        Ok(now.is_some_and(|now| {
            now.status == ImageStatus::Ready && now.actual_size == record.actual_size
        }))
    }
}

/// What the disk refuses is asked for once more: the block alone, as all before it may have taken hours.
async fn twice<T, A>(ask: impl Fn() -> A) -> Result<T, StoreError>
where
    A: Future<Output = Result<T, StoreError>>,
{
    match ask().await {
        Err(error @ StoreError::Io { .. }) => {
            tracing::warn!(%error, "a part of an image could not be read; it is tried once more");
            ask().await
        }
        done => done,
    }
}

fn differing(record: &ImageRecord, digests: &Digests) -> Vec<(&'static str, String)> {
    let pairs = [
        ("MD5", &record.md5, digests.md5.map(|digest| hex(&digest))),
        ("SHA-256", &record.sha256, digests.sha256.map(|digest| hex(&digest))),
    ];
    let differs = pairs.into_iter().filter(|(_, expected, actual)| *expected != actual);
    differs.filter_map(|(name, _, actual)| Some((name, actual?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_kept_over_the_whole_and_not_block_by_block() {
        let pace = Pace { bytes_per_sec: 1 << 20 };
        assert_eq!(pace.rest(1 << 20, Duration::from_millis(250)), Duration::from_millis(750));
        assert_eq!(pace.rest(1 << 20, Duration::from_secs(2)), Duration::ZERO);
        assert_eq!(pace.rest(3 << 20, Duration::from_secs(2)), Duration::from_secs(1));
        let none = Pace { bytes_per_sec: 0 };
        assert!(none.rest(u64::MAX, Duration::ZERO) > Duration::from_secs(1));
    }
}
