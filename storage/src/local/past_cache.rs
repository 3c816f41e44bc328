//! What the simulated disks share: they take bytes past the cache on every file system, and refuse what a strict one refuses.

use std::io;

use super::{
    disk::{DiskFile, PastCache},
    pages::PAGE_BYTES,
};

/// A real disk would answer the same, the store would fall back, and nobody would notice that it asked wrongly: here the writer
/// fails.
fn aligned(bytes: &[u8], position: u64) -> io::Result<()> {
    let fits = |value: usize| value.is_multiple_of(PAGE_BYTES);
    if fits(bytes.as_ptr().addr())
        && fits(bytes.len())
        && position.is_multiple_of(PAGE_BYTES as u64)
    {
        Ok(())
    } else {
        Err(rustix::io::Errno::INVAL.into())
    }
}

/// Writes past the cache of `file`, or through it where its file system offers nothing else.
pub(super) fn write_past_cache_on(
    file: &dyn DiskFile,
    bytes: &[u8],
    position: u64,
) -> io::Result<PastCache> {
    aligned(bytes, position)?;
    match file.write_past_cache(bytes, position)? {
        done @ PastCache::Done(_) => Ok(done),
        PastCache::Refused | PastCache::NotNow => {
            file.write_all_at(bytes, position)?;
            Ok(PastCache::Done(bytes.len()))
        }
    }
}

/// Reads past the cache of `file`, or through it.
pub(super) fn read_past_cache_on(
    file: &dyn DiskFile,
    buffer: &mut [u8],
    position: u64,
) -> io::Result<PastCache> {
    aligned(buffer, position)?;
    match file.read_past_cache(buffer, position)? {
        done @ PastCache::Done(_) => Ok(done),
        PastCache::Refused | PastCache::NotNow => {
            file.read_at(buffer, position).map(PastCache::Done)
        }
    }
}
