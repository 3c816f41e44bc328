//! The file system of the operating system.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    num::NonZeroU64,
    ops::Range,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    },
    path::Path,
    sync::{Arc, OnceLock},
};

use rustix::{
    fs::{Advice, FallocateFlags, OFlags, copy_file_range, fadvise, fallocate},
    io::Errno,
};

use super::{
    disk::{Disk, DiskFile, PastCache, copy_by, copy_through_memory},
    pages::PAGE_BYTES,
};

/// The real thing.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsDisk;

struct OsFile {
    file: File,
    /// The same file without the cache of the system, opened when it is first asked for; `None` where that was refused.
    past_cache: OnceLock<Option<File>>,
}

impl OsFile {
    fn shared(file: File) -> Arc<dyn DiskFile> {
        Arc::new(Self { file, past_cache: OnceLock::new() })
    }

    /// The second descriptor, or why there is none.
    fn past_cache(&self) -> std::result::Result<&File, PastCache> {
        if self.past_cache.get().is_none() {
            let opened = match self.open_past_cache() {
                Ok(file) => Some(file),
                Err(error) if is_no_descriptor(&error) => return Err(PastCache::NotNow),
                Err(_) => None,
            };
            // Two threads may have opened it: the first one stays.
            let _ = self.past_cache.set(opened);
        }
        self.past_cache.get().and_then(Option::as_ref).ok_or(PastCache::Refused)
    }

    /// By the first descriptor, not by its name: the file may have been renamed since, and another one have got the name.
    fn open_past_cache(&self) -> io::Result<File> {
        let flag = i32::try_from(OFlags::DIRECT.bits()).map_err(io::Error::other)?;
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        OpenOptions::new().read(true).write(true).custom_flags(flag).open(path)
    }
}

fn is_no_descriptor(error: &io::Error) -> bool {
    [Errno::MFILE, Errno::NFILE, Errno::NOMEM].iter().any(|errno| is(error, *errno))
}

/// What a file system answers that opens the file this way and then does not take the bytes.
fn is_refusal(error: &io::Error) -> bool {
    [Errno::INVAL, Errno::OPNOTSUPP].iter().any(|errno| is(error, *errno))
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

impl DiskFile for OsFile {
    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, position)
    }

    fn write_past_cache(&self, bytes: &[u8], position: u64) -> io::Result<PastCache> {
        let file = match self.past_cache() {
            Ok(file) => file,
            Err(refusal) => return Ok(refusal),
        };
        match file.write_all_at(bytes, position) {
            Ok(()) => Ok(PastCache::Done(bytes.len())),
            Err(error) if is_refusal(&error) => Ok(PastCache::Refused),
            Err(error) => Err(error),
        }
    }

    fn read_past_cache(&self, buffer: &mut [u8], position: u64) -> io::Result<PastCache> {
        let file = match self.past_cache() {
            Ok(file) => file,
            Err(refusal) => return Ok(refusal),
        };
        let mut done = 0;
        while done < buffer.len() {
            match file.read_at(&mut buffer[done..], position + done as u64) {
                Ok(0) => break,
                // The end of the file; to ask on from there would be asking in the middle of a page.
                Ok(read) if !read.is_multiple_of(PAGE_BYTES) => {
                    done += read;
                    break;
                }
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_refusal(&error) => return Ok(PastCache::Refused),
                Err(error) => return Err(error),
            }
        }
        Ok(PastCache::Done(done))
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.file.read_at(&mut buffer[done..], position + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn drop_cached(&self, range: Range<u64>) {
        let length = NonZeroU64::new(range.end.saturating_sub(range.start));
        // Only advice: there is nothing to be done about a refusal.
        let _ = fadvise(&self.file, range.start, length, Advice::DontNeed);
    }

    fn copy_from(&self, source: &dyn DiskFile, from: u64, into: Range<u64>) -> io::Result<()> {
        let mut reached = into.start;
        if let Some(descriptor) = source.descriptor() {
            reached = copy_by(from, into.clone(), |read_at, write_at, wanted| {
                copy_file_range(descriptor, Some(read_at), &self.file, Some(write_at), wanted)
            })?;
        }
        let from = from + (reached - into.start);
        copy_through_memory(source, from, reached..into.end, |bytes, position| {
            self.write_all_at(bytes, position)
        })
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file.as_fd())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn forget(&self, range: Range<u64>) -> io::Result<()> {
        let (start, length) = (range.start, range.end - range.start);
        let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fallocate(&self.file, punch, start, length) {
            // Without holes the pages can be dropped all the same, as far as the system follows the advice.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                Ok(fadvise(&self.file, start, NonZeroU64::new(length), Advice::DontNeed)?)
            }
            other => Ok(other?),
        }
    }

    fn has_name(&self) -> io::Result<bool> {
        Ok(rustix::fs::fstat(&self.file)?.st_nlink > 0)
    }
}

impl Disk for OsDisk {
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        Ok(OsFile::shared(file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(OsFile::shared(OpenOptions::new().read(true).write(true).open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(path)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn space(&self, path: &Path) -> io::Result<(u64, u64)> {
        let stat = rustix::fs::statvfs(path)?;
        Ok((stat.f_blocks * stat.f_frsize, stat.f_bavail * stat.f_frsize))
    }

    fn metadata(&self, path: &Path) -> io::Result<fs::Metadata> {
        fs::metadata(path)
    }
}
