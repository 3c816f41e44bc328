//! Every path of a data directory. Names are made of uuids by the server; nothing of a client is ever part of a path.

use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::store::{ImageKey, UploadKey};

const DATA: &str = "data";
const CHECKPOINT: &str = "checkpoint";
const CHECKPOINT_NEW: &str = "checkpoint.new";
/// Of an image in `lost+found`.
const IMAGE: &str = "image";

/// Where everything lies below one root.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    root: PathBuf,
}

/// One of the files of a staging entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StagingFile {
    Data,
    Checkpoint,
    CheckpointNew,
}

impl StagingFile {
    pub(super) const ALL: [Self; 3] = [Self::Checkpoint, Self::CheckpointNew, Self::Data];

    fn suffix(self) -> &'static str {
        match self {
            Self::Data => DATA,
            Self::Checkpoint => CHECKPOINT,
            Self::CheckpointNew => CHECKPOINT_NEW,
        }
    }
}

impl Layout {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn store(&self) -> PathBuf {
        self.root.join("STORE")
    }

    pub(super) fn store_new(&self) -> PathBuf {
        self.root.join("STORE.new")
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    pub(super) fn probe(&self) -> PathBuf {
        self.root.join("probe")
    }

    pub(super) fn lost_found(&self) -> PathBuf {
        self.root.join("lost+found")
    }

    pub(super) fn uploads(&self) -> PathBuf {
        self.root.join("uploads")
    }

    pub(super) fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    /// Where images lie that arrived whole and are not settled: one folder for all, so that one sync serves many.
    pub(super) fn whole(&self) -> PathBuf {
        self.root.join("whole")
    }

    /// The folders below the root.
    pub(super) fn folders(&self) -> [PathBuf; 4] {
        [self.uploads(), self.images(), self.lost_found(), self.whole()]
    }

    /// The folders that hold uploads and images.
    pub(super) fn shard_folders(&self) -> impl Iterator<Item = PathBuf> {
        let parents = [self.uploads(), self.images()].into_iter();
        parents.flat_map(|parent| Self::shards().map(move |shard| parent.join(shard)))
    }

    /// The names of the 256 shard folders.
    pub(super) fn shards() -> impl Iterator<Item = String> {
        (0..=u8::MAX).map(|shard| format!("{shard:02x}"))
    }

    pub(super) fn upload_shard(&self, key: UploadKey) -> PathBuf {
        self.uploads().join(shard(key.0))
    }

    pub(super) fn image_shard(&self, image: ImageKey) -> PathBuf {
        self.images().join(shard(image.0))
    }

    pub(super) fn staging(&self, key: UploadKey, file: StagingFile) -> PathBuf {
        self.upload_shard(key).join(format!("{key}.{}", file.suffix()))
    }

    pub(super) fn image(&self, image: ImageKey) -> PathBuf {
        self.image_shard(image).join(image.to_string())
    }

    /// An image that is not settled.
    pub(super) fn unsettled(&self, image: ImageKey) -> PathBuf {
        self.whole().join(image.to_string())
    }

    /// As [`set_aside`](Self::set_aside), for an image that no record knows.
    pub(super) fn image_set_aside(&self, image: ImageKey, epoch_secs: u64) -> PathBuf {
        self.lost_found().join(format!("{epoch_secs}-{image}.{IMAGE}"))
    }

    /// The name under which a stray lies in `lost+found`: when it was set aside, then what it was.
    pub(super) fn set_aside(&self, key: UploadKey, file: StagingFile, epoch_secs: u64) -> PathBuf {
        self.lost_found().join(format!("{epoch_secs}-{key}.{}", file.suffix()))
    }

    /// When a name in `lost+found` was set aside; `None` for one that is not ours.
    pub(super) fn set_aside_secs(name: &str) -> Option<u64> {
        let (secs, rest) = name.split_once('-')?;
        let image = rest.strip_suffix(IMAGE).and_then(|rest| rest.strip_suffix('.'));
        match image {
            Some(image) => Self::image_of(image).map(drop)?,
            None => Self::upload_of(rest).map(drop)?,
        }
        secs.parse().ok()
    }

    /// The upload that a name in a shard belongs to; `None` for one that is not ours.
    pub(super) fn upload_of(name: &str) -> Option<UploadKey> {
        let (uuid, suffix) = name.split_once('.')?;
        let known = StagingFile::ALL.iter().any(|file| file.suffix() == suffix);
        known.then(|| canonical(uuid)).flatten().map(UploadKey)
    }

    /// The image that a name in a shard belongs to; `None` for one that is not ours.
    pub(super) fn image_of(name: &str) -> Option<ImageKey> {
        canonical(name).map(ImageKey)
    }
}

/// The last byte: the first ones are the time where identifiers sort by it, and one folder would have all names of some years.
fn shard(uuid: Uuid) -> String {
    let [.., last] = uuid.into_bytes();
    format!("{last:02x}")
}

/// Only the spelling that we write ourselves.
fn canonical(text: &str) -> Option<Uuid> {
    let uuid = Uuid::try_parse(text).ok()?;
    (uuid.simple().to_string() == text).then_some(uuid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_time_lie_in_many_folders() {
        let layout = Layout::new(Path::new("/s"));
        let time = 0x01a1_fb9f_e8c0 << 80;
        let folders: std::collections::HashSet<_> = (0..1000)
            .map(|_| Uuid::from_u128(time | Uuid::new_v4().as_u128() >> 48))
            .map(|uuid| (layout.image_shard(ImageKey(uuid)), layout.upload_shard(UploadKey(uuid))))
            .collect();
        assert!(folders.len() > 200, "{}", folders.len());
    }

    #[test]
    fn names_come_back_as_keys_and_strange_ones_do_not() {
        let layout = Layout::new(Path::new("/s"));
        let key = UploadKey(Uuid::from_u128(5 << 120 | 0xab));
        for file in StagingFile::ALL {
            let path = layout.staging(key, file);
            assert!(path.starts_with("/s/uploads/ab"));
            let name = path.file_name().unwrap().to_str().unwrap();
            assert_eq!(Layout::upload_of(name), Some(key));
        }
        for strange in ["x.data", "", ".data", "../x", &format!("{key}.txt"), &key.0.to_string()] {
            assert_eq!(Layout::upload_of(strange), None, "{strange}");
        }
        let aside = layout.set_aside(key, StagingFile::Data, 77);
        let name = aside.file_name().unwrap().to_str().unwrap();
        assert_eq!(Layout::set_aside_secs(name), Some(77));
        assert_eq!(Layout::set_aside_secs("77-notes.txt"), None);
        let image = layout.image_set_aside(ImageKey(key.0), 78);
        let name = image.file_name().unwrap().to_str().unwrap();
        assert_eq!(Layout::set_aside_secs(name), Some(78));
        for strange in ["78-x.image", "78-.image", &format!("78-{key}image"), "78-image"] {
            assert_eq!(Layout::set_aside_secs(strange), None, "{strange}");
        }
    }
}
