//! Reading: published images, and the prefix of uploads.

use std::{io, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    LocalStore,
    disk::{DiskFile, PastCache},
    entries::Entry,
    pages::{PageBuffer, page_offset, touched_pages},
    shared::Shared,
};
use crate::{
    error::{Result, StoreError},
    extents::Extents,
    store::{ImageKey, ImageStore, UploadKey},
};

/// Bytes of one read.
const READ_MAX: u64 = 4 << 20;

#[async_trait]
impl ImageStore for LocalStore {
    async fn image_length(&self, image: ImageKey) -> Result<u64> {
        self.with_image(image, |file| file.len()).await
    }

    async fn read_image(&self, image: ImageKey, range: Range<u64>) -> Result<Bytes> {
        self.with_image(image, move |file| read(file, &range)).await
    }

    async fn read_image_past_cache(&self, image: ImageKey, range: Range<u64>) -> Result<Bytes> {
        let may = self.shared.placing.is_open();
        self.with_image(image, move |file| read_past_cache(file, &range, may)).await
    }

    async fn read_upload(&self, key: UploadKey, range: Range<u64>) -> Result<Bytes> {
        let below_offset = |extents: &Extents| {
            let offset = extents.prefix();
            range.start.min(offset)..range.end.min(offset)
        };
        self.read_of(key, &range, below_offset).await
    }

    async fn read_stored(&self, key: UploadKey, range: Range<u64>) -> Result<Bytes> {
        let without_gap = |extents: &Extents| {
            let first = extents.present(range.clone()).into_iter().next();
            first.filter(|first| first.start == range.start).unwrap_or_default()
        };
        self.read_of(key, &range, without_gap).await
    }

    async fn delete_image(&self, image: ImageKey) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let delete = move || {
            // In this order: one that is being settled meanwhile goes the same way.
            for path in [shared.layout.unsettled(image), shared.layout.image(image)] {
                match shared.disk.remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    Ok(()) | Err(_) => {}
                }
            }
            shared.sync_removal(&shared.layout.image_shard(image))?;
            // Also where nothing was found there: an earlier move out of it may not be durable yet.
            shared.sync_removal(&shared.layout.whole())
        };
        let deleted = self.shared.io.run(delete).await?;
        deleted.map_err(|error| StoreError::from_io("delete an image", &error))
    }
}

impl LocalStore {
    /// Reads what `part_of` chooses of `range` by what is stored.
    async fn read_of(
        &self,
        key: UploadKey,
        range: &Range<u64>,
        part_of: impl FnOnce(&Extents) -> Range<u64> + Send,
    ) -> Result<Bytes> {
        let upload = match self.entries.get(key).await? {
            Entry::Upload(upload) => upload,
            Entry::Published(checkpoint) => {
                let image = checkpoint.image.ok_or(StoreError::NotFound { key })?;
                return self.read_image(image, range.clone()).await;
            }
        };
        let range = part_of(&upload.lock().durable.extents);
        let read = move || read(&*upload.data, &range);
        self.shared.io.run(read).await?.map_err(|error| StoreError::from_io("read data", &error))
    }

    async fn with_image<T: Send + 'static>(
        &self,
        image: ImageKey,
        act: impl FnOnce(&dyn DiskFile) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let shared = Arc::clone(&self.shared);
        let run = move || act(&*open(&shared, image)?);
        self.shared.io.run(run).await?.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StoreError::ImageNotFound { image },
            _ => StoreError::from_io("read an image", &error),
        })
    }
}

/// Opens an image wherever it is: it may be settled between two looks, and is never moved back.
fn open(shared: &Shared, image: ImageKey) -> io::Result<Arc<dyn DiskFile>> {
    let (settled, unsettled) = (shared.layout.image(image), shared.layout.unsettled(image));
    let mut opened = shared.disk.open(&settled);
    for path in [unsettled, settled] {
        match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                opened = shared.disk.open(&path);
            }
            Ok(_) | Err(_) => return opened,
        }
    }
    opened
}

fn read(file: &dyn DiskFile, range: &Range<u64>) -> io::Result<Bytes> {
    let length = range.end.saturating_sub(range.start).min(READ_MAX);
    // No longer than the file, so that a wild range costs no memory.
    let length = length.min(file.len()?.saturating_sub(range.start));
    let mut buffer = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    let read = file.read_at(&mut buffer, range.start)?;
    buffer.truncate(read);
    Ok(buffer.into())
}

/// From the disk, in whole pages. Where the file system does not offer that way, through the cache, which is told before to drop what
/// it has, and afterwards that nobody needs it.
fn read_past_cache(file: &dyn DiskFile, range: &Range<u64>, may: bool) -> io::Result<Bytes> {
    let end = range.end.min(file.len()?).min(range.start.saturating_add(READ_MAX));
    let range = range.start.min(end)..end;
    if range.is_empty() {
        return Ok(Bytes::new());
    }
    let size = |bytes: u64| usize::try_from(bytes).map_err(io::Error::other);
    let pages = touched_pages(&range);
    let mut buffer = PageBuffer::with_room(size(pages.end - pages.start)?);
    buffer.begin_at(pages.start);
    let space = buffer.space(size(pages.end - pages.start)?);
    let past = if may { file.read_past_cache(space, pages.start)? } else { PastCache::Refused };
    let read = match past {
        PastCache::Done(read) if pages.start + read as u64 >= range.end => read,
        // Only the other way may say that the file ends before its length.
        PastCache::Done(_) | PastCache::Refused | PastCache::NotNow => {
            file.drop_cached(pages.clone());
            let read = file.read_at(space, pages.start)?;
            file.drop_cached(pages);
            read
        }
    };
    let begin = page_offset(range.start).min(read);
    let end = read.min(begin + size(range.end - range.start)?);
    Ok(Bytes::copy_from_slice(&space[begin..end]))
}
