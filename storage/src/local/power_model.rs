//! What is on stable storage, and what is not yet: the model behind [`PowerDisk`](super::power::PowerDisk).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs, io,
    path::{Path, PathBuf},
};

use super::pages::PAGE_BYTES;
use crate::conformance::scenario::Dice;

/// Unit in which a write may be torn, in bytes: smaller than any sector, so that a record of one sector is torn too.
const SECTOR_BYTES: usize = 64;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    File(u64),
    Directory,
}

/// A change of a file that is not synced yet.
#[derive(Debug, Clone)]
pub(super) enum DataChange {
    Write(u64, Vec<u8>),
    /// Past the cache of the system: in that of the disk.
    WritePast(u64, Vec<u8>),
    SetLength(u64),
}

/// A change of names that is not synced yet.
#[derive(Debug, Clone)]
pub(super) enum NameChange {
    Make(PathBuf, Node),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

impl NameChange {
    fn paths(&self) -> Vec<&Path> {
        match self {
            Self::Make(path, _) | Self::Remove(path) => vec![path],
            Self::Rename(from, to) => vec![from, to],
        }
    }

    fn is_in(&self, directory: &Path) -> bool {
        self.paths().iter().any(|path| path.parent() == Some(directory))
    }

    fn meets(&self, paths: &BTreeSet<PathBuf>) -> bool {
        self.paths().iter().any(|path| paths.contains(*path))
    }
}

#[derive(Debug, Default)]
struct Content {
    stable: Vec<u8>,
    unsynced: Vec<DataChange>,
    /// Pages with bytes that wait in the cache of the system.
    cached: BTreeSet<usize>,
}

type Names = BTreeMap<PathBuf, Node>;

/// The model of one directory tree.
#[derive(Debug, Default)]
pub(super) struct Model {
    contents: HashMap<u64, Content>,
    stable: Names,
    live: Names,
    unsynced: Vec<NameChange>,
    next_file: u64,
    mixed_pages: u64,
}

impl Model {
    /// Everything under `root` is stable.
    pub(super) fn of_directory(root: &Path) -> io::Result<Self> {
        let mut model = Self::default();
        let mut directories = vec![root.to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(&directory)? {
                let path = entry?.path();
                if path.is_dir() {
                    model.stable.insert(path.clone(), Node::Directory);
                    directories.push(path);
                } else {
                    let file = model.new_file();
                    model.content(file).stable = fs::read(&path)?;
                    model.stable.insert(path, Node::File(file));
                }
            }
        }
        model.live.clone_from(&model.stable);
        Ok(model)
    }

    pub(super) fn new_file(&mut self) -> u64 {
        self.next_file += 1;
        self.next_file
    }

    fn content(&mut self, file: u64) -> &mut Content {
        self.contents.entry(file).or_default()
    }

    /// The file of this name; one that was made behind the model's back is stable as it is.
    pub(super) fn file_at(&mut self, path: &Path) -> io::Result<u64> {
        if let Some(Node::File(file)) = self.live.get(path) {
            return Ok(*file);
        }
        let file = self.new_file();
        self.content(file).stable = fs::read(path)?;
        self.stable.insert(path.to_owned(), Node::File(file));
        self.live.insert(path.to_owned(), Node::File(file));
        Ok(file)
    }

    pub(super) fn change_data(&mut self, file: u64, change: DataChange) {
        let content = self.contents.entry(file).or_default();
        match &change {
            DataChange::Write(position, bytes) => content.cached.extend(pages(*position, bytes)),
            DataChange::WritePast(position, bytes) => {
                let mixed = pages(*position, bytes).filter(|page| content.cached.contains(page));
                self.mixed_pages += mixed.count() as u64;
            }
            DataChange::SetLength(_) => {}
        }
        content.unsynced.push(change);
    }

    pub(super) fn mixed_pages(&self) -> u64 {
        self.mixed_pages
    }

    pub(super) fn sync_data(&mut self, file: u64) {
        let content = self.content(file);
        content.cached.clear();
        for change in std::mem::take(&mut content.unsynced) {
            apply_data(&mut content.stable, &change, |_| true);
        }
    }

    /// The unsynced data of a file never reaches stable storage, and nobody is told again.
    pub(super) fn drop_data(&mut self, file: u64) {
        let content = self.content(file);
        content.cached.clear();
        content.unsynced.clear();
    }

    pub(super) fn change_name(&mut self, change: NameChange) {
        apply_name(&mut self.live, &change);
        self.unsynced.push(change);
    }

    /// Makes the names in a directory stable, and every earlier change that they build on.
    pub(super) fn sync_directory(&mut self, directory: &Path) {
        let mut needed: BTreeSet<PathBuf> = BTreeSet::new();
        let mut synced = vec![false; self.unsynced.len()];
        for (change, synced) in self.unsynced.iter().zip(&mut synced).rev() {
            if change.is_in(directory) || change.meets(&needed) {
                *synced = true;
                needed.extend(change.paths().into_iter().map(Path::to_owned));
            }
        }
        let changes = std::mem::take(&mut self.unsynced);
        for (change, synced) in changes.into_iter().zip(synced) {
            if synced {
                apply_name(&mut self.stable, &change);
            } else {
                self.unsynced.push(change);
            }
        }
    }

    /// Chooses what the power cut left, and puts just that into the directory.
    pub(super) fn settle(&mut self, seed: u64) -> io::Result<()> {
        let mut dice = Dice(seed);
        let mut names = self.stable.clone();
        let mut lost = BTreeSet::new();
        for change in std::mem::take(&mut self.unsynced) {
            if change.meets(&lost) || dice.below(2) == 0 {
                lost.extend(change.paths().into_iter().map(Path::to_owned));
            } else {
                apply_name(&mut names, &change);
            }
        }
        // What lies in a directory that is gone is gone too. Parents sort before their children.
        let mut reachable = Names::new();
        for (path, node) in names {
            let parent = path.parent().unwrap_or(&path);
            let above = self.stable.contains_key(parent) || self.live.contains_key(parent);
            if !above || reachable.get(parent) == Some(&Node::Directory) {
                reachable.insert(path, node);
            }
        }
        for (path, node) in self.live.iter().rev() {
            match node {
                Node::File(_) => fs::remove_file(path)?,
                Node::Directory if !reachable.contains_key(path) => fs::remove_dir(path)?,
                Node::Directory => {}
            }
        }
        for (path, node) in &reachable {
            match node {
                Node::Directory => fs::create_dir_all(path)?,
                Node::File(file) => fs::write(path, self.found(*file, &mut dice))?,
            }
        }
        self.live = reachable;
        Ok(())
    }

    /// What is found of a file: the stable bytes and a random part of the unsynced ones.
    fn found(&mut self, file: u64, dice: &mut Dice) -> Vec<u8> {
        let content = self.content(file);
        let mut found = content.stable.clone();
        for change in &content.unsynced {
            match dice.below(3) {
                0 => {}
                1 => apply_data(&mut found, change, |_| true),
                _ => apply_data(&mut found, change, |_| dice.below(2) == 0),
            }
        }
        found
    }
}

/// Applies the sectors of a change that `keeps` chooses.
fn apply_data(bytes: &mut Vec<u8>, change: &DataChange, mut keeps: impl FnMut(usize) -> bool) {
    match change {
        DataChange::SetLength(length) => bytes.resize(index(*length), 0),
        DataChange::Write(position, written) | DataChange::WritePast(position, written) => {
            for (number, sector) in written.chunks(SECTOR_BYTES).enumerate() {
                if keeps(number) {
                    let at = index(*position) + number * SECTOR_BYTES;
                    let end = at + sector.len();
                    bytes.resize(bytes.len().max(end), 0);
                    bytes[at..end].copy_from_slice(sector);
                }
            }
        }
    }
}

fn pages(position: u64, bytes: &[u8]) -> impl Iterator<Item = usize> + use<> {
    let start = index(position);
    start / PAGE_BYTES..(start + bytes.len()).div_ceil(PAGE_BYTES)
}

fn index(position: u64) -> usize {
    usize::try_from(position).expect("files of a simulated disk fit into memory")
}

fn apply_name(names: &mut Names, change: &NameChange) {
    match change {
        NameChange::Make(path, node) => {
            names.insert(path.clone(), *node);
        }
        NameChange::Rename(from, to) => {
            if let Some(node) = names.remove(from) {
                names.insert(to.clone(), node);
            }
        }
        NameChange::Remove(path) => {
            names.remove(path);
        }
    }
}
