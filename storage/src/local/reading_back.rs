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

/// What comes of reading back.
pub(super) enum Back {
    /// The bytes are here.
    Here(ReadBack),
    /// An I/O thread brings them; the digests go on when it has.
    OnItsWay,
    /// The file ends before them.
    TooShort,
}

enum Pages {
    Lent(Lent),
    Own(PageBuffer),
}

/// Bytes that were read back, in the pages that hold them.
pub(super) struct ReadBack {
    pages: Pages,
    place: Range<usize>,
}

impl ReadBack {
    pub(super) fn bytes(&self) -> &[u8] {
        let pages = match &self.pages {
            Pages::Lent(lent) => lent.buffer(),
            Pages::Own(buffer) => buffer,
        };
        &pages.bytes()[self.place.clone()]
    }
}

thread_local! {
    /// Of this hash worker: at most one for every stream that it hashes at a time, and not more idle ones than stay here.
    static BUFFERS: RefCell<Vec<PageBuffer>> = const { RefCell::new(Vec::new()) };
}

/// Buffers for reading back that a worker keeps.
const BUFFERS_KEPT: usize = 2;

/// The bytes have been hashed.
pub(super) fn give_back(read: ReadBack) {
    if let Pages::Own(buffer) = read.pages {
        BUFFERS.with_borrow_mut(|buffers| {
            if buffers.len() < BUFFERS_KEPT {
                buffers.push(buffer);
            }
        });
    }
}

impl Upload {
    /// At most 1 MiB from the begin of `range`, read the way it was written.
    pub(super) fn read_back(self: &Arc<Self>, range: Range<u64>) -> io::Result<Back> {
        let (next, way) = self.next_read(range.clone());
        if way == Way::Past {
            let mut fetch = locked(&self.fetch);
            match std::mem::take(&mut *fetch) {
                Fetch::Running => {
                    *fetch = Fetch::Running;
                    return Ok(Back::OnItsWay);
                }
                Fetch::Ready(fetched, read) if fetched.start == range.start => {
                    drop(fetch);
                    let (lent, read) = read?;
                    // Hashed while the block after it is fetched.
                    self.fetch(fetched.end..range.end);
                    let part = fetched.start..fetched.end.min(range.end);
                    return back(Pages::Lent(lent), read, &part);
                }
                Fetch::None | Fetch::Ready(..) => drop(fetch),
            }
            if self.fetch(next.clone()) {
                return Ok(Back::OnItsWay);
            }
        }
        let kept = BUFFERS.with_borrow_mut(Vec::pop);
        let mut buffer = kept.unwrap_or_else(|| PageBuffer::with_room(READ_BACK_BYTES));
        let read = self.read(way, &mut buffer, &next)?;
        back(Pages::Own(buffer), read, &next)
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
        if self.is_over() {
            self.forget_fetched();
        }
        self.kick_catch_up(&mut self.lock());
    }

    /// What was fetched and will not be hashed goes back to the pool, which would miss it until the upload is opened again.
    pub(super) fn forget_fetched(&self) {
        let mut fetch = locked(&self.fetch);
        if matches!(*fetch, Fetch::Ready(..)) {
            *fetch = Fetch::None;
        }
    }

    /// Reads the pages that `range` touches; answers how many bytes there were.
    fn read(&self, way: Way, buffer: &mut PageBuffer, range: &Range<u64>) -> io::Result<usize> {
        let pages = touched_pages(range);
        buffer.begin_at(pages.start);
        let buffer = buffer.space(size(&pages)?);
        if way == Way::Past {
            match self.data.read_past_cache(buffer, pages.start)? {
                // Only the other way may say that the file ends before what was stored in it: a disk that answers a part would
                // cost the upload its life.
                PastCache::Done(read) if pages.start + read as u64 >= range.end => return Ok(read),
                PastCache::Done(_) | PastCache::NotNow => {}
                PastCache::Refused => self.shared.placing.refuse(),
            }
        }
        self.data.read_at(buffer, pages.start)
    }
}

fn size(range: &Range<u64>) -> io::Result<usize> {
    usize::try_from(range.end - range.start).map_err(io::Error::other)
}

/// The bytes of `range` in the pages that were read, where all of them are there.
fn back(pages: Pages, read: usize, range: &Range<u64>) -> io::Result<Back> {
    let (before, wanted) = (page_offset(range.start), size(range)?);
    if read.saturating_sub(before) < wanted {
        return Ok(Back::TooShort);
    }
    Ok(Back::Here(ReadBack { pages, place: before..before + wanted }))
}
