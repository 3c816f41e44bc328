//! A disk that refuses one call, and remembers all of them.
//!
//! Tests run the same script again and again, let the first call fail, then the second, and so on until a run meets no
//! failure any more: then every single call has failed once.

use std::{
    fs, io,
    ops::Range,
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::{fs::copy_file_range, io::Errno};

use super::{
    disk::{Disk, DiskFile, PastCache, copy_by, copy_through_memory},
    past_cache::{read_past_cache_on, write_past_cache_on},
};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call fails with EIO and does nothing.
    Io,
    /// The call fails with ENOSPC and does nothing.
    NoSpace,
    /// A write stores the first half of its bytes and fails with EIO; every other call fails like [`Fault::Io`].
    Torn,
    /// A call does its work completely and yet fails with EIO, as a lost answer of a network disk would.
    DoneButFailed,
    /// The process ends before the call: neither it nor any later one does anything, until the disk is healed.
    Killed,
    /// The system's copying stops after so many bytes, at most, and says so. Every other call is as ever.
    Short(usize),
    /// The system's copying is refused with this number. Every other call is as ever.
    Refused(Errno),
}

/// Which calls a fault counts and hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hits {
    /// Every call that changes something.
    Changes,
    /// Syncs of files and directories.
    Syncs,
    /// Reads and lookups.
    Reads,
    /// The calls by which the system copies from file to file.
    Copies,
}

/// What was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// [`Disk::create_new`]
    Create,
    /// [`Disk::open`]
    Open,
    /// [`Disk::rename`], with the path that it moves to.
    Rename,
    /// [`Disk::remove_file`]
    Remove,
    /// [`Disk::create_dir_all`]
    MakeDir,
    /// [`Disk::sync_dir`]
    SyncDir,
    /// [`Disk::list`], [`Disk::exists`], [`Disk::space`], [`Disk::metadata`]
    Look,
    /// [`DiskFile::write_all_at`]: position and number of bytes.
    Write(u64, u64),
    /// [`DiskFile::write_past_cache`]: position and number of bytes.
    WritePast(u64, u64),
    /// One call of the system within [`DiskFile::copy_from`]: position in the file that is written, and bytes wanted. Only where both
    /// files are of the operating system; of all others the reads and writes are seen.
    Copy(u64, u64),
    /// [`DiskFile::read_at`], [`DiskFile::read_past_cache`], [`DiskFile::len`] or [`DiskFile::has_name`]
    Read,
    /// [`DiskFile::sync_data`]
    SyncData,
    /// [`DiskFile::set_len`]
    SetLength,
    /// [`DiskFile::forget`]
    Forget,
}

impl Call {
    fn is_hit_by(self, hits: Hits) -> bool {
        match self {
            Self::SyncDir | Self::SyncData => matches!(hits, Hits::Changes | Hits::Syncs),
            Self::Copy(..) => matches!(hits, Hits::Changes | Hits::Copies),
            Self::Create
            | Self::Rename
            | Self::Remove
            | Self::MakeDir
            | Self::Write(..)
            | Self::WritePast(..)
            | Self::SetLength
            | Self::Forget => hits == Hits::Changes,
            Self::Open | Self::Look | Self::Read => hits == Hits::Reads,
        }
    }
}

/// One line of the log of a [`FaultyDisk`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The call was made.
    Begin(Call, PathBuf),
    /// The call succeeded.
    End(Call, PathBuf),
    /// Something that the test wrote down with [`FaultyDisk::note`].
    Note(String),
}

#[derive(Debug, Clone, Copy)]
struct Plan {
    hits: Hits,
    /// Calls still to let pass.
    passes: u64,
    fault: Fault,
    /// Every later one as well.
    stays: bool,
}

#[derive(Default)]
struct Record {
    plan: Option<Plan>,
    is_killed: bool,
    fired: Option<(Call, PathBuf)>,
    log: Vec<Event>,
}

/// A disk around another one. It takes bytes past the cache on every file system, so that these calls fail too.
#[derive(Clone)]
pub struct FaultyDisk {
    inner: Arc<dyn Disk>,
    record: Arc<Mutex<Record>>,
}

struct FaultyFile {
    disk: FaultyDisk,
    inner: Arc<dyn DiskFile>,
    path: PathBuf,
}

impl FaultyDisk {
    /// A disk that only remembers.
    pub fn new(inner: Arc<dyn Disk>) -> Self {
        Self { inner, record: Arc::default() }
    }

    /// Lets the `nth` call from now on fail (the first one is 0), once.
    pub fn fail(&self, hits: Hits, nth: u64, fault: Fault) {
        self.plan(Plan { hits, passes: nth, fault, stays: false });
    }

    /// The same for every call from the `nth` on.
    pub fn fail_from(&self, hits: Hits, nth: u64, fault: Fault) {
        self.plan(Plan { hits, passes: nth, fault, stays: true });
    }

    fn plan(&self, plan: Plan) {
        let mut record = self.record();
        record.plan = Some(plan);
        record.fired = None;
    }

    /// Lets every call pass from now on.
    pub fn heal(&self) {
        let mut record = self.record();
        record.plan = None;
        record.is_killed = false;
    }

    /// The call that failed, if the plan has come true.
    pub fn fired(&self) -> Option<(Call, PathBuf)> {
        self.record().fired.clone()
    }

    /// Writes a line of the test's own into the log.
    pub fn note(&self, note: &str) {
        self.record().log.push(Event::Note(note.to_owned()));
    }

    /// Everything that happened, in order.
    pub fn log(&self) -> Vec<Event> {
        self.record().log.clone()
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs the call and says how it is to fail, if it is.
    fn begin(&self, call: Call, path: &Path) -> Option<Fault> {
        let mut record = self.record();
        record.log.push(Event::Begin(call, path.to_owned()));
        if record.is_killed {
            return Some(Fault::Killed);
        }
        let plan = record.plan.as_mut().filter(|plan| call.is_hit_by(plan.hits))?;
        if plan.passes > 0 {
            plan.passes -= 1;
            return None;
        }
        let (fault, stays) = (plan.fault, plan.stays);
        if !stays {
            record.plan = None;
        }
        record.is_killed = fault == Fault::Killed;
        record.fired = Some((call, path.to_owned()));
        Some(fault)
    }

    fn run<T>(
        &self,
        call: Call,
        path: &Path,
        work: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        match self.begin(call, path) {
            Some(Fault::Io | Fault::Torn | Fault::Killed) => return Err(eio()),
            Some(Fault::NoSpace) => return Err(Errno::NOSPC.into()),
            Some(Fault::DoneButFailed) => {
                work()?;
                return Err(eio());
            }
            Some(Fault::Short(_) | Fault::Refused(_)) | None => {}
        }
        let done = work()?;
        self.record().log.push(Event::End(call, path.to_owned()));
        Ok(done)
    }

    fn file(&self, inner: Arc<dyn DiskFile>, path: &Path) -> Arc<dyn DiskFile> {
        Arc::new(FaultyFile { disk: self.clone(), inner, path: path.to_owned() })
    }
}

fn eio() -> io::Error {
    Errno::IO.into()
}

impl FaultyFile {
    fn write<T>(
        &self,
        call: Call,
        bytes: &[u8],
        position: u64,
        work: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        let torn = {
            let record = self.disk.record();
            let plan = record.plan.filter(|plan| plan.passes == 0 && call.is_hit_by(plan.hits));
            plan.is_some_and(|plan| plan.fault == Fault::Torn)
        };
        let done = self.disk.run(call, &self.path, work);
        if torn && done.is_err() {
            self.inner.write_all_at(&bytes[..bytes.len() / 2], position)?;
        }
        done
    }
}

impl FaultyFile {
    /// One call of the system that copies at most so many bytes.
    fn copy(
        &self,
        call: Call,
        wanted: usize,
        mut copy: impl FnMut(usize) -> Result<usize, Errno>,
    ) -> Result<usize, Errno> {
        let done = match self.disk.begin(call, &self.path) {
            Some(Fault::Io | Fault::Killed) => return Err(Errno::IO),
            Some(Fault::NoSpace) => return Err(Errno::NOSPC),
            Some(Fault::Refused(errno)) => return Err(errno),
            Some(Fault::Torn) => {
                copy(wanted / 2)?;
                return Err(Errno::IO);
            }
            Some(Fault::DoneButFailed) => {
                copy(wanted)?;
                return Err(Errno::IO);
            }
            Some(Fault::Short(0)) => 0,
            Some(Fault::Short(most)) => copy(most)?,
            None => copy(wanted)?,
        };
        self.disk.record().log.push(Event::End(call, self.path.clone()));
        Ok(done)
    }
}

impl DiskFile for FaultyFile {
    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        let call = Call::Write(position, bytes.len() as u64);
        self.write(call, bytes, position, || self.inner.write_all_at(bytes, position))
    }

    fn write_past_cache(&self, bytes: &[u8], position: u64) -> io::Result<PastCache> {
        let call = Call::WritePast(position, bytes.len() as u64);
        self.write(call, bytes, position, || write_past_cache_on(&*self.inner, bytes, position))
    }

    fn read_past_cache(&self, buffer: &mut [u8], position: u64) -> io::Result<PastCache> {
        self.disk.run(Call::Read, &self.path, || read_past_cache_on(&*self.inner, buffer, position))
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.disk.run(Call::Read, &self.path, || self.inner.read_at(buffer, position))
    }

    fn copy_from(&self, source: &dyn DiskFile, from: u64, into: Range<u64>) -> io::Result<()> {
        let mut reached = into.start;
        if let Some((theirs, ours)) = source.descriptor().zip(self.inner.descriptor()) {
            reached = copy_by(from, into.clone(), |read_at, write_at, wanted| {
                let call = Call::Copy(*write_at, wanted as u64);
                let copy = |most: usize| {
                    let (read_at, write_at) = (Some(&mut *read_at), Some(&mut *write_at));
                    copy_file_range(theirs, read_at, ours, write_at, wanted.min(most))
                };
                self.copy(call, wanted, copy)
            })?;
        }
        let from = from + (reached - into.start);
        copy_through_memory(source, from, reached..into.end, |bytes, position| {
            self.write_all_at(bytes, position)
        })
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.inner.descriptor()
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.run(Call::SyncData, &self.path, || self.inner.sync_data())
    }

    fn len(&self) -> io::Result<u64> {
        self.disk.run(Call::Read, &self.path, || self.inner.len())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.disk.run(Call::SetLength, &self.path, || self.inner.set_len(length))
    }

    fn forget(&self, range: Range<u64>) -> io::Result<()> {
        self.disk.run(Call::Forget, &self.path, || self.inner.forget(range))
    }

    fn has_name(&self) -> io::Result<bool> {
        self.disk.run(Call::Read, &self.path, || self.inner.has_name())
    }
}

impl Disk for FaultyDisk {
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.run(Call::Create, path, || self.inner.create_new(path))?;
        Ok(self.file(file, path))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.run(Call::Open, path, || self.inner.open(path))?;
        Ok(self.file(file, path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.run(Call::Rename, to, || self.inner.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.run(Call::Remove, path, || self.inner.remove_file(path))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.run(Call::MakeDir, path, || self.inner.create_dir_all(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.run(Call::SyncDir, path, || self.inner.sync_dir(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.run(Call::Look, path, || self.inner.list(path))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.run(Call::Look, path, || self.inner.exists(path))
    }

    fn space(&self, path: &Path) -> io::Result<(u64, u64)> {
        self.run(Call::Look, path, || self.inner.space(path))
    }

    fn metadata(&self, path: &Path) -> io::Result<fs::Metadata> {
        self.run(Call::Look, path, || self.inner.metadata(path))
    }
}
