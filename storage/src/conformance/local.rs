//! The local store as a fixture: on the real file system, and on one that loses power.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use tempfile::TempDir;

use super::{Backend, Fixture, quick_limits};
use crate::{
    error::{Result, StoreError},
    limits::{Durability, Limits},
    local::{LocalStore, OsDisk, disk::Disk, power::PowerDisk},
};

/// Opens the store in `root`; waits for the one before to let go of its lock, which its last threads may still hold.
pub async fn open_local(
    root: &Path,
    disk: Arc<dyn Disk>,
    limits: Limits,
    durability: Durability,
) -> Result<Arc<LocalStore>> {
    let began = Instant::now();
    loop {
        match LocalStore::open(root, Arc::clone(&disk), limits, durability) {
            Err(StoreError::Unusable { message })
                if message.contains("in use") && began.elapsed() < Duration::from_secs(20) =>
            {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            Err(error) => return Err(error),
            Ok(store) => return Ok(store),
        }
    }
}

/// A directory that goes away by itself: where `LONGSHORE_TEST_DIRECTORY` says, else in memory where the system has such a
/// place (making a store of 514 folders takes 4 ms there and 400 ms on a disk), else where temporary files go.
pub fn scratch() -> TempDir {
    let asked = std::env::var_os("LONGSHORE_TEST_DIRECTORY").map(PathBuf::from);
    let made = match asked {
        Some(asked) => TempDir::new_in(asked),
        None => TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()),
    };
    made.expect("a temporary directory can be made")
}

/// Files below `root` that belong to no upload, no image and not to the store itself, by their path below `root`.
pub async fn local_leftovers(root: &Path, store: &dyn Backend) -> Vec<String> {
    let uploads = store.uploads().await.expect("the uploads can be listed");
    let images = store.images().await.expect("the images can be listed");
    let mut known = vec!["STORE".to_owned(), "lock".to_owned()];
    for name in uploads.iter().map(ToString::to_string) {
        let folder = &name[30..];
        known.push(format!("uploads/{folder}/{name}.data"));
        known.push(format!("uploads/{folder}/{name}.checkpoint"));
    }
    let images = images.iter().map(ToString::to_string);
    known.extend(images.map(|name| format!("images/{}/{name}", &name[30..])));
    let unsettled =
        store.unsettled(Duration::ZERO).await.expect("the unsettled images can be listed");
    known.extend(unsettled.iter().map(|image| format!("whole/{image}")));
    let below = |path: PathBuf| {
        path.strip_prefix(root).expect("it is below").to_string_lossy().into_owned()
    };
    files(root).into_iter().map(below).filter(|path| !known.contains(path)).collect()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory of the store can be listed") {
        let path = entry.expect("a directory of the store can be listed").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// A local store in a directory of its own.
pub struct LocalFixture {
    directory: TempDir,
    durability: Durability,
    /// Whether a crash is a power cut; else it is the end of the process.
    loses_power: bool,
    crashes: AtomicU64,
    open: Mutex<Option<Open>>,
}

struct Open {
    store: Arc<LocalStore>,
    power: Option<PowerDisk>,
}

impl LocalFixture {
    /// On the real file system; a crash ends the store and leaves the cache of the system.
    pub async fn new(durability: Durability) -> Self {
        Self::with(durability, false).await
    }

    /// On a disk that loses what was not synced, in a random part, at every crash.
    pub async fn losing_power() -> Self {
        Self::with(Durability::PowerLoss, true).await
    }

    async fn with(durability: Durability, loses_power: bool) -> Self {
        let directory = scratch();
        let open = Mutex::new(None);
        let fixture = Self { directory, durability, loses_power, crashes: AtomicU64::new(0), open };
        fixture.reopen().await;
        fixture
    }

    async fn reopen(&self) {
        let root = self.directory.path();
        let power = self
            .loses_power
            .then(|| PowerDisk::new(Arc::new(OsDisk), root).expect("the directory can be read"));
        let disk: Arc<dyn Disk> = match &power {
            Some(disk) => Arc::new(disk.clone()),
            None => Arc::new(OsDisk),
        };
        let store = open_local(root, disk, quick_limits(), self.durability).await;
        let store = store.expect("the store can be opened");
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(Open { store, power });
    }
}

#[async_trait]
impl Fixture for LocalFixture {
    fn store(&self) -> Arc<dyn Backend> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let store = open.as_ref().map(|open| Arc::clone(&open.store));
        store.expect("the store is open except within a crash")
    }

    async fn crash(&self) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
        let seed = self.crashes.fetch_add(1, Ordering::SeqCst);
        if let Some(power) = open.as_ref().and_then(|open| open.power.as_ref()) {
            power.cut(seed).expect("a cut can be simulated");
        }
        drop(open);
        self.reopen().await;
    }

    fn limits(&self) -> Limits {
        quick_limits()
    }

    async fn leftovers(&self) -> Vec<String> {
        local_leftovers(self.directory.path(), &*self.store()).await
    }
}
