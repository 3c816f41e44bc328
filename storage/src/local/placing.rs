//! Which way bytes go to the disk and come back: whole pages past the cache of the system where that is cheaper, everything else
//! through it.
//!
//! Past the cache go blocks that are hashed from memory anyway and are large enough. Bytes ahead of the digests are read back
//! later: they stay in the cache as long as all uploads together keep few enough there. A page is written past the cache only
//! where one block holds all of it; since claims never overlap, no two ways meet in one page. Where they do after all, since a
//! chunk came again whose checksum had not matched, Linux writes the page back before it lets the other way pass.

use std::{
    io,
    ops::Range,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use super::{
    disk::{DiskFile, PastCache},
    hashing::catch_up_end,
    lane::Lane,
    pages::whole_pages,
    statistics::add,
    upload::{Inner, Upload},
};
use crate::limits::Limits;

/// Bytes of one read when the digests catch up.
pub(super) const READ_BACK_BYTES: usize = 1 << 20;
/// No file is longer; such a position is refused in words, not taken for a refusal of this way.
const POSITION_MAX: u64 = i64::MAX as u64;

/// What all uploads of a store know about the way past the cache.
pub(super) struct Placing {
    /// The file system does not offer it (asked once, remembered for the life of the store), or it is not wanted.
    refused: AtomicBool,
    /// Bytes ahead of the digests that went through the cache.
    ahead_bytes: AtomicU64,
}

impl Placing {
    pub(super) fn new(limits: &Limits) -> Self {
        let refused = AtomicBool::new(limits.past_cache_bytes_min == usize::MAX);
        Self { refused, ahead_bytes: AtomicU64::new(0) }
    }

    pub(super) fn is_open(&self) -> bool {
        !self.refused.load(Ordering::Relaxed)
    }

    pub(super) fn refuse(&self) {
        if !self.refused.swap(true, Ordering::Relaxed) {
            tracing::info!("the file system does not take bytes past its cache; all go through it");
        }
    }

    fn take(&self, bytes: u64, bytes_max: u64) -> bool {
        let more = |held: u64| held.checked_add(bytes).filter(|held| *held <= bytes_max);
        self.ahead_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    pub(super) fn give_back(&self, bytes: u64) {
        self.ahead_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes ahead of the digests that are held in the cache at this moment.
    pub(super) fn ahead_bytes(&self) -> u64 {
        self.ahead_bytes.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Cache,
    Past,
}

impl Upload {
    /// Writes one part of a block of `lane`; answers how many bytes of it went through the cache.
    pub(super) fn place(&self, lane: &Lane, part: &Range<u64>, bytes: &[u8]) -> io::Result<u64> {
        let pages = whole_pages(part);
        let refused = self.way(lane, part, &pages) == Way::Past && {
            let at = |position| usize::try_from(position - part.start).map_err(io::Error::other);
            let (head, rest) = bytes.split_at(at(pages.start)?);
            let (pages_bytes, tail) = rest.split_at(at(pages.end)? - head.len());
            // In the order of the file, so that it grows without holes.
            write(&*self.data, head, part.start)?;
            match self.data.write_past_cache(pages_bytes, pages.start)? {
                PastCache::Done(written) => {
                    add(&self.shared.counters.past_cache_bytes, written as u64);
                    write(&*self.data, tail, pages.end)?;
                    return Ok((head.len() + tail.len()) as u64);
                }
                PastCache::NotNow => false,
                PastCache::Refused => true,
            }
        };
        self.data.write_all_at(bytes, part.start)?;
        if refused {
            self.shared.placing.refuse();
        }
        Ok(bytes.len() as u64)
    }

    fn way(&self, lane: &Lane, part: &Range<u64>, pages: &Range<u64>) -> Way {
        let (shared, limits) = (&self.shared, &self.shared.limits);
        if part.end > POSITION_MAX || !shared.placing.is_open() {
            return Way::Cache;
        }
        let mut inner = self.lock();
        let directly = if lane.is_behind(!hashed_from_memory(&inner, lane, part)) {
            !self.keep_in_cache(&mut inner, part) && !pages.is_empty()
        } else {
            !pages.is_empty() && pages.end - pages.start >= limits.past_cache_bytes_min as u64
        };
        if directly { Way::Past } else { Way::Cache }
    }

    /// Takes note that a part ahead of the digests is kept in the cache, where there is room for it.
    fn keep_in_cache(&self, inner: &mut Inner, part: &Range<u64>) -> bool {
        let limits = &self.shared.limits;
        let new = inner.cached_ahead.missing(part.clone());
        let bytes = new.iter().map(|range| range.end - range.start).sum();
        let kept = inner.cached_ahead.len() < limits.extents_max
            && self.shared.placing.take(bytes, limits.ahead_cache_bytes_max);
        if kept {
            inner.cached_ahead.insert(part.clone());
        }
        kept
    }

    /// The digests have passed these bytes: nobody needs them in the cache any more.
    pub(super) fn leave_cache(&self, inner: &mut Inner, before: u64) {
        if !inner.cached_ahead.is_empty() {
            self.shared.placing.give_back(inner.cached_ahead.remove_before(before));
        }
    }

    /// How much of `range` is read at once, and which way.
    pub(super) fn next_read(&self, range: Range<u64>) -> (Range<u64>, Way) {
        let most = READ_BACK_BYTES as u64;
        let next = (range.start + 1).checked_next_multiple_of(most).unwrap_or(range.end);
        let range = range.start..range.end.min(next);
        if !self.shared.placing.is_open() {
            return (range, Way::Cache);
        }
        let cached = self.lock().cached_ahead.present(range.clone());
        match cached.first() {
            Some(first) if first.start == range.start => (first.clone(), Way::Cache),
            Some(first) => (range.start..first.start, Way::Past),
            None => (range, Way::Past),
        }
    }
}

/// Whether the digests will have come to `part` when its block is at the hash worker. Not so where bytes before it are missing,
/// or have to be read back first.
fn hashed_from_memory(inner: &Inner, lane: &Lane, part: &Range<u64>) -> bool {
    // A chunk with a checksum counts as a whole or not at all: its first byte decides.
    let start = if lane.checked { lane.start } else { part.start };
    let hashes = inner.choice.md5 || inner.choice.sha256;
    !hashes || (start <= inner.counted.prefix() && catch_up_end(inner) <= inner.hashed)
}

fn write(file: &dyn DiskFile, bytes: &[u8], position: u64) -> io::Result<()> {
    if bytes.is_empty() { Ok(()) } else { file.write_all_at(bytes, position) }
}
