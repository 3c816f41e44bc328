//! What makes a directory a store: the `STORE` file, the shard folders and the lock.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use uuid::Uuid;

use super::{disk::Disk, layout::Layout};
use crate::error::{Result, StoreError};

const NAME: &str = "longshore-store";
/// 1 had the folder of a file by the first byte of its name.
const VERSION: u32 = 2;

fn unusable(message: String) -> StoreError {
    StoreError::Unusable { message }
}

fn failed(path: &Path, action: &str, error: &io::Error) -> StoreError {
    unusable(format!(
        "The data directory cannot be used: {action} {} failed ({error}). Check that it exists, that this user may \
         write it and that it has free space.",
        path.display()
    ))
}

/// The exclusive right to a data directory, held until it is dropped.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    _file: File,
}

/// Takes the lock; makes the directory when it is not there.
pub(super) fn lock(disk: &dyn Disk, layout: &Layout) -> Result<DirectoryLock> {
    let root = layout.root();
    disk.create_dir_all(root).map_err(|error| failed(root, "making", &error))?;
    let path = layout.lock();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|error| failed(&path, "opening", &error))?;
    match file.try_lock() {
        Ok(()) => Ok(DirectoryLock { _file: file }),
        Err(TryLockError::WouldBlock) => Err(unusable(format!(
            "The data directory {} is in use by another process. Stop that one first, or give this one a directory of \
             its own.",
            root.display()
        ))),
        Err(TryLockError::Error(error)) => Err(failed(&path, "locking", &error)),
    }
}

/// Reads the identity of the store, or makes a new store durably where there is none. Needs the lock.
pub(super) fn open_or_make(disk: &dyn Disk, layout: &Layout) -> Result<Uuid> {
    let path = layout.store();
    let there = disk.exists(&path).map_err(|error| failed(&path, "looking for", &error))?;
    if !there {
        return make(disk, layout);
    }
    let uuid = read(disk, &path)?;
    // A store of before there were whole images has no such folder. What is in one is found again by its name alone, so that a
    // folder that is gone is made anew without a word.
    let whole = layout.whole();
    let there = disk.exists(&whole).map_err(|error| failed(&whole, "looking for", &error))?;
    if !there {
        let made = disk.create_dir_all(&whole).and_then(|()| disk.sync_dir(layout.root()));
        made.map_err(|error| failed(&whole, "making", &error))?;
    }
    // Whoever looks for bytes that were in one of them is told that they are lost; new ones need a place.
    for folder in layout.folders().into_iter().chain(layout.shard_folders()) {
        if !disk.exists(&folder).map_err(|error| failed(&folder, "looking for", &error))? {
            tracing::error!(folder = %folder.display(), "a folder of the store is gone; all that are missing are made again, empty");
            make_folders(disk, layout).map_err(|error| failed(&folder, "making", &error))?;
            disk.sync_dir(layout.root()).map_err(|error| failed(&folder, "syncing", &error))?;
            break;
        }
    }
    Ok(uuid)
}

fn read(disk: &dyn Disk, path: &Path) -> Result<Uuid> {
    let mut buffer = [0; 256];
    let length = disk
        .open(path)
        .and_then(|file| file.read_at(&mut buffer, 0))
        .map_err(|error| failed(path, "reading", &error))?;
    parse(&String::from_utf8_lossy(&buffer[..length])).map_err(|why| {
        unusable(format!(
            "{} {why}. Nothing was changed. Use the right directory or the right version of Longshore.",
            path.display()
        ))
    })
}

fn parse(text: &str) -> std::result::Result<Uuid, String> {
    let mut lines = text.lines();
    let version = lines.next().and_then(|line| line.strip_prefix(NAME)).map(str::trim);
    let Some(version) = version else {
        return Err("is not the mark of a Longshore store".to_owned());
    };
    match version.parse::<u32>() {
        Ok(VERSION) => {}
        Ok(other) => {
            return Err(format!("has format {other}; this Longshore knows format {VERSION}"));
        }
        Err(_) => return Err("has no readable format version".to_owned()),
    }
    lines
        .next()
        .and_then(|line| line.strip_prefix("uuid "))
        .and_then(|uuid| Uuid::try_parse(uuid.trim()).ok())
        .ok_or_else(|| "has no readable store uuid".to_owned())
}

fn make(disk: &dyn Disk, layout: &Layout) -> Result<Uuid> {
    let uuid = Uuid::new_v4();
    make_steps(disk, layout, uuid).map_err(|error| failed(layout.root(), "setting up", &error))?;
    Ok(uuid)
}

fn make_folders(disk: &dyn Disk, layout: &Layout) -> io::Result<()> {
    for shard in layout.shard_folders() {
        disk.create_dir_all(&shard)?;
    }
    disk.sync_dir(&layout.uploads())?;
    disk.sync_dir(&layout.images())?;
    disk.create_dir_all(&layout.whole())?;
    disk.create_dir_all(&layout.lost_found())
}

/// The mark comes last: where it is, every folder is durable, so that no upload ever waits for making one.
fn make_steps(disk: &dyn Disk, layout: &Layout, uuid: Uuid) -> io::Result<()> {
    make_folders(disk, layout)?;
    let new = layout.store_new();
    if disk.exists(&new)? {
        disk.remove_file(&new)?;
    }
    let file = disk.create_new(&new)?;
    file.write_all_at(format!("{NAME} {VERSION}\nuuid {}\n", uuid.simple()).as_bytes(), 0)?;
    file.sync_data()?;
    disk.rename(&new, &layout.store())?;
    disk.sync_dir(layout.root())?;
    match layout.root().parent() {
        // The directory may be new itself; its parent may be none of ours, so that a refusal there is no reason to stop.
        Some(parent) if !parent.as_os_str().is_empty() => disk.sync_dir(parent).or(Ok(())),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::OsDisk;

    #[test]
    fn a_store_keeps_its_identity_and_has_one_owner() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(&dir.path().join("store"));
        let held = lock(&OsDisk, &layout).unwrap();
        let uuid = open_or_make(&OsDisk, &layout).unwrap();
        assert_eq!(open_or_make(&OsDisk, &layout).unwrap(), uuid);
        let refused = lock(&OsDisk, &layout).unwrap_err().to_string();
        assert!(refused.contains("in use by another process"), "{refused}");
        drop(held);
        lock(&OsDisk, &layout).unwrap();
    }

    #[test]
    fn folders_that_are_gone_are_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(&dir.path().join("store"));
        let uuid = open_or_make(&OsDisk, &layout).unwrap();
        let [uploads, images, lost_found, whole] = layout.folders();
        let shards = [uploads.join("7f"), images.join("00")];
        for gone in [&uploads, &images, &lost_found, &whole, &shards[0], &shards[1]] {
            std::fs::remove_dir_all(gone).unwrap();
            assert_eq!(open_or_make(&OsDisk, &layout).unwrap(), uuid);
            assert!(layout.shard_folders().all(|shard| shard.is_dir()), "{}", gone.display());
            assert!(lost_found.is_dir() && whole.is_dir());
        }
    }

    #[test]
    fn another_or_strange_mark_is_refused_in_words() {
        assert!(parse("longshore-store 1\nuuid 00\n").unwrap_err().contains("format 1"));
        assert!(parse("").unwrap_err().contains("not the mark"));
        assert!(parse("longshore-store 2\n").unwrap_err().contains("uuid"));
        let text = format!("longshore-store 2\nuuid {}\n", Uuid::from_u128(5).simple());
        assert_eq!(parse(&text), Ok(Uuid::from_u128(5)));
    }
}
