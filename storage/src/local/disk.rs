//! The few calls that the local store makes on its file system, behind a trait so that tests can make every single one fail.
//!
//! All calls block: only the I/O threads of the store make them, and its start.

use std::{fs, io, ops::Range, os::fd::BorrowedFd, path::Path, sync::Arc};

use rustix::io::Errno;

/// How a file dealt with bytes that should go past the cache of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PastCache {
    /// So many bytes went that way: all of a write, less of a read only where the file ends.
    Done(usize),
    /// The file system does not offer it, and never will. Some of the bytes may have been written: write all through the cache.
    Refused,
    /// Not at this moment, for want of a descriptor.
    NotNow,
}

#[expect(
    clippy::len_without_is_empty,
    reason = "a file is asked for its length, never for emptiness"
)]
/// An open file of the store. Positions are explicit: one descriptor serves all writers of an upload.
pub trait DiskFile: Send + Sync {
    /// Writes all of `bytes` at `position`.
    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()>;
    /// Reads until `buffer` is full or the file ends; answers how much.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;
    /// Writes all of `bytes` past the cache of the system. Address, length and position are multiples of 4,096. What was written
    /// so needs [`sync_data`](Self::sync_data) like everything else: the disk has a cache of its own, and the length of the file
    /// and the state of its blocks are in the journal. The cache of the system shows these bytes from then on.
    fn write_past_cache(&self, _bytes: &[u8], _position: u64) -> io::Result<PastCache> {
        Ok(PastCache::Refused)
    }
    /// Reads past the cache of the system, aligned like [`write_past_cache`](Self::write_past_cache), until `buffer` is full or
    /// the file ends. What the cache holds unwritten is written before.
    fn read_past_cache(&self, _buffer: &mut [u8], _position: u64) -> io::Result<PastCache> {
        Ok(PastCache::Refused)
    }
    /// Lets the cache of the system drop what it holds of a range, as far as it follows such advice: whoever reads next reads from the
    /// disk. Nothing of the file changes.
    fn drop_cached(&self, _range: Range<u64>) {}
    /// Copies the bytes of `source` from position `from` on into the range `into` of this file. A file system that can shares the
    /// blocks instead. It needs [`sync_data`](Self::sync_data) like everything that is written.
    fn copy_from(&self, source: &dyn DiskFile, from: u64, into: Range<u64>) -> io::Result<()> {
        copy_through_memory(source, from, into, |bytes, position| {
            self.write_all_at(bytes, position)
        })
    }
    /// The descriptor, where the file is one of the operating system.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    /// Waits until the data of the file, and its length, are on stable storage.
    fn sync_data(&self) -> io::Result<()>;
    /// Current length.
    fn len(&self) -> io::Result<u64>;
    /// Cuts or extends the file.
    fn set_len(&self, length: u64) -> io::Result<()>;
    /// Takes a range out of the file: its blocks, and whatever the system holds of it in memory. The length stays, also where the
    /// range ends behind it. A file system that has no cache of its own needs to do nothing.
    fn forget(&self, _range: Range<u64>) -> io::Result<()> {
        Ok(())
    }
    /// Whether the file still has a name: what is written into one that was removed is lost with its last descriptor. A file
    /// system that cannot tell says yes.
    fn has_name(&self) -> io::Result<bool> {
        Ok(true)
    }
}

/// A file system.
pub trait Disk: Send + Sync + 'static {
    /// Creates a file that must not exist yet, mode 0600.
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Renames atomically, replacing the target.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Makes a directory and those above it, mode 0700.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Waits until the names in a directory are on stable storage.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Names in a directory.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Whether a name exists.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Total bytes of the file system, and bytes free for an unprivileged user.
    fn space(&self, path: &Path) -> io::Result<(u64, u64)>;
    /// Metadata for housekeeping.
    fn metadata(&self, path: &Path) -> io::Result<fs::Metadata>;
}

/// Bytes that are in memory at once where the file system cannot copy by itself.
const COPIED_AT_ONCE_BYTES: u64 = 256 << 10;

/// Has `call` copy from position `from` on into the range `into`: it is given both positions, which move on with what it copies, and
/// how much is wanted, and answers as the system's call does. Answers the position up to which bytes are there: less than the end where
/// the file systems do not copy for us, or not any further, and the rest is to be read and written.
pub(super) fn copy_by(
    mut from: u64,
    into: Range<u64>,
    mut call: impl FnMut(&mut u64, &mut u64, usize) -> Result<usize, Errno>,
) -> io::Result<u64> {
    let mut position = into.start;
    while position < into.end {
        let wanted = usize::try_from(into.end - position).unwrap_or(usize::MAX);
        match call(&mut from, &mut position, wanted) {
            Ok(1..) | Err(Errno::INTR) => {}
            // Nothing where bytes are: some file systems answer so instead of refusing. Reading tells what is there.
            // EPERM: a container whose list of system calls is older than this one.
            Ok(0)
            | Err(
                Errno::XDEV
                | Errno::NOSYS
                | Errno::OPNOTSUPP
                | Errno::INVAL
                | Errno::PERM
                | Errno::TXTBSY,
            ) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(position)
}

/// Reads from one file and hands what was read to `write`, with its position.
pub(super) fn copy_through_memory(
    source: &dyn DiskFile,
    mut from: u64,
    into: Range<u64>,
    mut write: impl FnMut(&[u8], u64) -> io::Result<()>,
) -> io::Result<()> {
    let mut position = into.start;
    let most = (into.end - into.start).min(COPIED_AT_ONCE_BYTES);
    let mut buffer = vec![0; usize::try_from(most).map_err(io::Error::other)?];
    while position < into.end {
        let wanted = usize::try_from((into.end - position).min(most)).map_err(io::Error::other)?;
        let read = source.read_at(&mut buffer[..wanted], from)?;
        if read < wanted {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        write(&buffer[..wanted], position)?;
        (position, from) = (position + wanted as u64, from + wanted as u64);
    }
    Ok(())
}
