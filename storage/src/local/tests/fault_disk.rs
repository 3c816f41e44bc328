//! A file system whose calls fail or take long on command.

use std::{
    fs, io,
    ops::Range,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI32, AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use tokio::sync::oneshot;

use crate::local::{
    OsDisk,
    disk::{Disk, DiskFile, PastCache},
    past_cache::read_past_cache_on,
};

/// What the next calls do; shared by the disk and its files.
#[derive(Default)]
pub(super) struct Faults {
    /// Error number of the next data sync, once.
    pub(super) sync_errno: AtomicI32,
    /// Error number of the next write, once.
    pub(super) write_errno: AtomicI32,
    /// The next write says that it is there and waits until it is let go, once.
    pub(super) held_write: Mutex<Option<(oneshot::Sender<()>, mpsc::Receiver<()>)>>,
    /// What is answered to a write past the cache: 0 its own answer, 1 refused, 2 not now.
    pub(super) past_cache: AtomicU64,
    /// Writes past the cache that were asked for.
    pub(super) past_cache_asked: AtomicU64,
    /// What the cache answers to a read: 0 what the disk has, 1 other bytes, as one that does not know of rot.
    pub(super) cache_lies: AtomicU64,
    /// How often the cache was told to drop what it has.
    pub(super) dropped: AtomicU64,
    /// Error number of the next range that is taken out of a file, once.
    pub(super) forget_errno: AtomicI32,
    /// How long each data sync takes.
    pub(super) sync_millis: AtomicU64,
    /// Data syncs so far.
    pub(super) syncs: AtomicU64,
}

#[derive(Clone, Default)]
pub(super) struct FaultDisk {
    pub(super) faults: Arc<Faults>,
}

struct FaultFile {
    file: Arc<dyn DiskFile>,
    faults: Arc<Faults>,
}

fn once(errno: &AtomicI32) -> io::Result<()> {
    match errno.swap(0, Ordering::SeqCst) {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

impl DiskFile for FaultFile {
    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        let held = self.faults.held_write.lock().unwrap().take();
        if let Some((reached, released)) = held {
            reached.send(()).unwrap();
            // Also where the test has ended.
            let _ = released.recv();
        }
        once(&self.faults.write_errno)?;
        self.file.write_all_at(bytes, position)
    }
    fn write_past_cache(&self, bytes: &[u8], position: u64) -> io::Result<PastCache> {
        self.faults.past_cache_asked.fetch_add(1, Ordering::SeqCst);
        match self.faults.past_cache.load(Ordering::SeqCst) {
            0 => {
                once(&self.faults.write_errno)?;
                self.file.write_past_cache(bytes, position)
            }
            1 => Ok(PastCache::Refused),
            _ => Ok(PastCache::NotNow),
        }
    }
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let read = self.file.read_at(buffer, position)?;
        if self.faults.cache_lies.load(Ordering::SeqCst) > 0 {
            for byte in buffer.iter_mut() {
                *byte ^= 1;
            }
        }
        Ok(read)
    }
    fn drop_cached(&self, range: Range<u64>) {
        self.faults.dropped.fetch_add(1, Ordering::SeqCst);
        self.file.drop_cached(range);
    }
    fn read_past_cache(&self, buffer: &mut [u8], position: u64) -> io::Result<PastCache> {
        match self.faults.past_cache.load(Ordering::SeqCst) {
            // Where the tests run on a file system without this way, its bytes are those of the disk all the same.
            0 => read_past_cache_on(&*self.file, buffer, position),
            1 => Ok(PastCache::Refused),
            _ => Ok(PastCache::NotNow),
        }
    }
    fn sync_data(&self) -> io::Result<()> {
        self.faults.syncs.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(self.faults.sync_millis.load(Ordering::SeqCst)));
        once(&self.faults.sync_errno)?;
        self.file.sync_data()
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }
    fn forget(&self, range: Range<u64>) -> io::Result<()> {
        once(&self.faults.forget_errno)?;
        self.file.forget(range)
    }
    fn has_name(&self) -> io::Result<bool> {
        self.file.has_name()
    }
}

impl FaultDisk {
    fn wrap(&self, file: io::Result<Arc<dyn DiskFile>>) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(FaultFile { file: file?, faults: Arc::clone(&self.faults) }))
    }
}

impl Disk for FaultDisk {
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.wrap(OsDisk.create_new(path))
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.wrap(OsDisk.open(path))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        OsDisk.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        OsDisk.remove_file(path)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        OsDisk.create_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        OsDisk.sync_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        OsDisk.list(path)
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        OsDisk.exists(path)
    }
    fn space(&self, path: &Path) -> io::Result<(u64, u64)> {
        OsDisk.space(path)
    }
    fn metadata(&self, path: &Path) -> io::Result<fs::Metadata> {
        OsDisk.metadata(path)
    }
}
