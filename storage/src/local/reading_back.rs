//! Bytes ahead of the digests on their way back, once the prefix has come to them.
//!
//! What went past the cache comes from the disk: an I/O thread fetches the next block while the hash worker hashes the one
//! before, so that nobody who hashes waits for the disk.

use std::{cell::RefCell, io, ops::Range, sync::Arc};

use super::{
    buffers::Lent,
    disk::PastCache,
    pages::{PageBuffer, page_offset, touched_pages},
    placing::{READ_BACK_BYTES, Way},
    threads::locked,
    upload::Upload,
};

/// The one block of an upload that is fetched before it is needed.
#[derive(Default)]
pub(super) enum Fetch {
    #[default]
    None,
    Running,
    Ready(Range<u64>, io::Result<(Lent, usize)>),
}

/// Bytes read, and bytes that should have been: fewer only where the file ends.
pub(super) type ReadBack = (usize, usize);

impl Upload {
    /// Shows `take` at most 1 MiB from the begin of `range`, read the way it was written. `None` when it is on its way: the digests
    /// go on when it is there.
    pub(super) fn read_back(
        self: &Arc<Self>,
        range: Range<u64>,
        take: impl FnOnce(&[u8]),
    ) -> io::Result<Option<ReadBack>> {
        thread_local! {
            static BUFFER: RefCell<PageBuffer> =
                RefCell::new(PageBuffer::with_room(READ_BACK_BYTES));
        }
        let (next, way) = self.next_read(range.clone());
        if way == Way::Past {
            let mut fetch = locked(&self.fetch);
            match std::mem::take(&mut *fetch) {
                Fetch::Running => {
                    *fetch = Fetch::Running;
                    return Ok(None);
                }
                Fetch::Ready(fetched, read) if fetched.start == range.start => {
                    drop(fetch);
                    let (lent, read) = read?;
                    // Hashed while the block after it is fetched.
                    self.fetch(fetched.end..range.end);
                    let part = fetched.start..fetched.end.min(range.end);
                    return show(lent.buffer(), read, &part, take).map(Some);
                }
                Fetch::None | Fetch::Ready(..) => drop(fetch),
            }
            if self.fetch(next.clone()) {
                return Ok(None);
            }
        }
        BUFFER.with_borrow_mut(|buffer| {
            let read = self.read(way, buffer, &next)?;
            show(buffer, read, &next, take).map(Some)
        })
    }
    /// Lets an I/O thread read the begin of `range`, and the digests go on when it is there. `false` when it is to be read here:
    /// from the cache, or since the pool has no block.
    fn fetch(self: &Arc<Self>, range: Range<u64>) -> bool {
        if range.is_empty() {
            return false;
        }
        let (range, way) = self.next_read(range);
        if way == Way::Cache {
            return false;
        }
        let Some(lent) = self.shared.buffers.lend(READ_BACK_BYTES) else {
            return false;
        };
        let mut fetch = locked(&self.fetch);
        let upload = Arc::clone(self);
        let on_its_way = self.shared.io.submit(Box::new(move || upload.fetch_now(range, lent)));
        *fetch = if on_its_way { Fetch::Running } else { Fetch::None };
        on_its_way
    }

    fn fetch_now(self: Arc<Self>, range: Range<u64>, mut lent: Lent) {
        let read = self.read(Way::Past, lent.buffer_mut(), &range);
        *locked(&self.fetch) = Fetch::Ready(range, read.map(|read| (lent, read)));
        self.kick_catch_up(&mut self.lock());
    }

    /// Reads the pages that `range` touches; answers how many bytes there were.
    fn read(&self, way: Way, buffer: &mut PageBuffer, range: &Range<u64>) -> io::Result<usize> {
        let pages = touched_pages(range);
        buffer.begin_at(pages.start);
        let buffer = buffer.space(size(&pages)?);
        if way == Way::Past {
            match self.data.read_past_cache(buffer, pages.start)? {
                PastCache::Done(read) => return Ok(read),
                PastCache::Refused => self.shared.placing.refuse(),
                PastCache::NotNow => {}
            }
        }
        self.data.read_at(buffer, pages.start)
    }
}

fn size(range: &Range<u64>) -> io::Result<usize> {
    usize::try_from(range.end - range.start).map_err(io::Error::other)
}

/// Shows the bytes of `range` that lie in the pages which were read, where all of them are there.
fn show(
    pages: &PageBuffer,
    read: usize,
    range: &Range<u64>,
    take: impl FnOnce(&[u8]),
) -> io::Result<ReadBack> {
    let (before, wanted) = (page_offset(range.start), size(range)?);
    let read = read.saturating_sub(before).min(wanted);
    if read == wanted {
        take(&pages.bytes()[before..before + wanted]);
    }
    Ok((read, wanted))
}
