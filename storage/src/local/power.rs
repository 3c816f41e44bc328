//! A disk whose power can be cut: what was not synced may be lost, in any combination.
//!
//! Calls go to a real directory, so that the store sees a plain file system; beside it a model keeps what is on stable storage
//! and, in order, what is not yet. [`PowerDisk::cut`] writes into the directory what a machine could find after the cut: the
//! stable part, a random part of the unsynced writes (torn at sectors) and of the unsynced names. A new store is then
//! opened on the same directory. Stricter than ext4: a new file has its name only after a sync of its directory.

use std::{
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    disk::{Disk, DiskFile, PastCache},
    past_cache::{read_past_cache_on, write_past_cache_on},
    power_model::{DataChange, Model, NameChange, Node},
};

/// What this disk does wrong besides losing power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lie {
    /// Nothing: a sync is a sync.
    #[default]
    None,
    /// A sync of a file answers success and does nothing. The negative control: what is acknowledged MUST get lost.
    FileSyncs,
    /// A sync of a directory answers success and does nothing.
    DirectorySyncs,
    /// The sync of a file with this number (from 0) fails, and what it should have written is never written: the next sync
    /// succeeds, as Linux does it.
    DropsAtSync(u64),
}

/// A disk around another one, on one directory.
#[derive(Clone)]
pub struct PowerDisk {
    inner: Arc<dyn Disk>,
    state: Arc<Mutex<State>>,
}

struct State {
    model: Model,
    lie: Lie,
    /// Changing calls so far.
    calls: u64,
    file_syncs: u64,
    /// The changing call at which the power goes, or the process dies.
    ends_at: Option<(u64, Ending)>,
    off: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    PowerCut,
    Kill,
}

struct PowerFile {
    disk: PowerDisk,
    inner: Arc<dyn DiskFile>,
    file: u64,
}

impl PowerDisk {
    /// An honest disk on `root`, where everything that is there already is stable.
    pub fn new(inner: Arc<dyn Disk>, root: &Path) -> io::Result<Self> {
        let model = Model::of_directory(root)?;
        let state =
            State { model, lie: Lie::None, calls: 0, file_syncs: 0, ends_at: None, off: false };
        Ok(Self { inner, state: Arc::new(Mutex::new(state)) })
    }

    /// Cuts the power at the changing call with this number, counted from now on, the first one being 0. That call fails; it
    /// may have had its effect.
    pub fn cut_at(&self, call: u64) {
        let mut state = self.state();
        state.ends_at = Some((state.calls + call, Ending::PowerCut));
    }

    /// Lets the process die just before the changing call with this number, counted like that of [`cut_at`](Self::cut_at):
    /// every call fails, and what was written stays in the cache of the system until a cut.
    pub fn kill_at(&self, call: u64) {
        let mut state = self.state();
        state.ends_at = Some((state.calls + call, Ending::Kill));
    }

    /// After the death of a process: the disk works for the next one, unsynced as it is.
    pub fn revive(&self) {
        let mut state = self.state();
        state.off = false;
        state.ends_at = None;
    }

    /// Goes wrong in this way from now on; syncs are counted anew.
    pub fn lie(&self, lie: Lie) {
        let mut state = self.state();
        state.lie = lie;
        state.file_syncs = 0;
    }

    /// Changing calls so far.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Pages that were written past the cache of the system while older bytes of theirs waited there to be written back.
    pub fn mixed_pages(&self) -> u64 {
        self.state().model.mixed_pages()
    }

    /// Whether the power is off: every call fails.
    pub fn is_off(&self) -> bool {
        self.state().off
    }

    /// Cuts the power, if it is still on, and leaves in the directory what is found afterwards. The same seed chooses the
    /// same part of the same unsynced changes.
    pub fn cut(&self, seed: u64) -> io::Result<()> {
        let mut state = self.state();
        state.off = true;
        state.model.settle(seed)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, inner: Arc<dyn DiskFile>, file: u64) -> Arc<dyn DiskFile> {
        Arc::new(PowerFile { disk: self.clone(), inner, file })
    }
}

impl State {
    fn on(&self) -> io::Result<()> {
        if self.off { Err(no_power()) } else { Ok(()) }
    }

    /// Counts a changing call; answers whether the power goes with it. Fails where the process dies before it.
    fn change(&mut self) -> io::Result<bool> {
        self.on()?;
        let ending = self.ends_at.filter(|(call, _)| *call == self.calls).map(|(_, ending)| ending);
        self.calls += 1;
        self.off = ending.is_some();
        match ending {
            Some(Ending::Kill) => Err(no_power()),
            Some(Ending::PowerCut) => Ok(true),
            None => Ok(false),
        }
    }

    fn done<T>(&self, value: T) -> io::Result<T> {
        self.on().map(|()| value)
    }
}

fn no_power() -> io::Error {
    io::Error::other("the power is off")
}

impl DiskFile for PowerFile {
    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.change()?;
        self.inner.write_all_at(bytes, position)?;
        state.model.change_data(self.file, DataChange::Write(position, bytes.to_vec()));
        state.done(())
    }

    /// As lost as any other write until the next sync: the disk has a cache too.
    fn write_past_cache(&self, bytes: &[u8], position: u64) -> io::Result<PastCache> {
        let mut state = self.disk.state();
        state.change()?;
        let done = write_past_cache_on(&*self.inner, bytes, position)?;
        state.model.change_data(self.file, DataChange::WritePast(position, bytes.to_vec()));
        state.done(done)
    }

    fn read_past_cache(&self, buffer: &mut [u8], position: u64) -> io::Result<PastCache> {
        self.disk.state().on()?;
        read_past_cache_on(&*self.inner, buffer, position)
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.disk.state().on()?;
        self.inner.read_at(buffer, position)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        if state.change()? {
            return Err(no_power());
        }
        let number = state.file_syncs;
        state.file_syncs += 1;
        match state.lie {
            Lie::FileSyncs => {}
            Lie::DropsAtSync(at) if at == number => {
                state.model.drop_data(self.file);
                return Err(rustix::io::Errno::IO.into());
            }
            Lie::None | Lie::DirectorySyncs | Lie::DropsAtSync(_) => {
                state.model.sync_data(self.file);
            }
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        self.disk.state().on()?;
        self.inner.len()
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.change()?;
        self.inner.set_len(length)?;
        state.model.change_data(self.file, DataChange::SetLength(length));
        state.done(())
    }

    /// Reads as zeros from now on; after a cut any part of it may be there again.
    fn forget(&self, range: Range<u64>) -> io::Result<()> {
        let mut state = self.disk.state();
        state.change()?;
        let length = self.inner.len()?;
        self.inner.forget(range.clone())?;
        let bytes = range.end.min(length).saturating_sub(range.start);
        let zeros = vec![0; usize::try_from(bytes).expect("files of a simulated disk are small")];
        state.model.change_data(self.file, DataChange::Write(range.start, zeros));
        state.done(())
    }

    fn has_name(&self) -> io::Result<bool> {
        self.disk.state().on()?;
        self.inner.has_name()
    }
}

impl Disk for PowerDisk {
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        if state.change()? {
            return Err(no_power());
        }
        let inner = self.inner.create_new(path)?;
        let file = state.model.new_file();
        state.model.change_name(NameChange::Make(path.to_owned(), Node::File(file)));
        Ok(self.file(inner, file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        state.on()?;
        let inner = self.inner.open(path)?;
        let file = state.model.file_at(path)?;
        Ok(self.file(inner, file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        self.inner.rename(from, to)?;
        state.model.change_name(NameChange::Rename(from.to_owned(), to.to_owned()));
        state.done(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        self.inner.remove_file(path)?;
        state.model.change_name(NameChange::Remove(path.to_owned()));
        state.done(())
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        if state.change()? {
            return Err(no_power());
        }
        let missing: Vec<PathBuf> = path
            .ancestors()
            .take_while(|ancestor| !ancestor.exists())
            .map(Path::to_owned)
            .collect();
        self.inner.create_dir_all(path)?;
        for directory in missing.into_iter().rev() {
            state.model.change_name(NameChange::Make(directory, Node::Directory));
        }
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        if state.change()? {
            return Err(no_power());
        }
        if state.lie != Lie::DirectorySyncs {
            state.model.sync_directory(path);
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.state().on()?;
        self.inner.list(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.state().on()?;
        self.inner.exists(path)
    }

    fn space(&self, path: &Path) -> io::Result<(u64, u64)> {
        self.state().on()?;
        self.inner.space(path)
    }

    fn metadata(&self, path: &Path) -> io::Result<fs::Metadata> {
        self.state().on()?;
        self.inner.metadata(path)
    }
}
