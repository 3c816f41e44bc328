//! The files of `web/`, as they were when the program was built. A debug build reads them anew each time, so that who works on the page
//! only reloads it.

use std::{
    collections::HashMap,
    io::{self, Write},
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "web/"]
#[include = "index.html"]
#[include = "ui/**/*"]
struct Files;

/// Extensions that the page has, with their media types. A file of another kind is not served: `nosniff` would make it useless.
const MEDIA_TYPES: [(&str, &str); 5] = [
    ("html", "text/html; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("svg", "image/svg+xml"),
    ("txt", "text/plain; charset=utf-8"),
];

/// Packed files by the tag of what was packed, so that each is packed once.
static PACKED: LazyLock<Mutex<HashMap<String, Bytes>>> = LazyLock::new(Mutex::default);
/// A debug build that somebody works with sees ever new files: so many are kept, several times what the page has.
const PACKED_MAX: usize = 200;

/// One file of the page.
#[derive(Clone)]
pub(super) struct Asset {
    /// Its bytes, packed by gzip if it says so.
    pub(super) bytes: Bytes,
    /// Its media type.
    pub(super) media_type: &'static str,
    /// Strong entity tag, by its content and by whether it is packed.
    pub(super) tag: String,
    /// Whether the bytes are packed.
    pub(super) is_packed: bool,
}

impl Asset {
    /// The file at this path below `web/`, if there is one of a kind that is served.
    pub(super) fn find(path: &str) -> Option<Self> {
        // What is part of the program has no such name; a debug build would look for it on the disk.
        if path.split('/').any(|segment| segment == "..") {
            return None;
        }
        let extension = path.rsplit('.').next()?;
        let (_, media_type) = MEDIA_TYPES.into_iter().find(|(known, _)| *known == extension)?;
        let file = Files::get(path)?;
        let digest = file.metadata.sha256_hash();
        let tag = format!("\"{}\"", crate::domain::tag::hex(&digest[..16]));
        let bytes = match file.data {
            std::borrow::Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            std::borrow::Cow::Owned(bytes) => bytes.into(),
        };
        Some(Self { bytes, media_type, tag, is_packed: false })
    }

    /// The same file packed, a third of the bytes; as it is where that fails. Takes milliseconds for the first who asks, so not on
    /// a worker.
    pub(super) fn packed(self) -> Self {
        let known = locked().get(&self.tag).cloned();
        let Some(bytes) = known.or_else(|| pack(&self.tag, &self.bytes).ok()) else { return self };
        let tag = format!("{}-gzip\"", self.tag.trim_end_matches('"'));
        Self { bytes, media_type: self.media_type, tag, is_packed: true }
    }
}

fn pack(tag: &str, bytes: &[u8]) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    let packed: Bytes = encoder.finish()?.into();
    let mut all = locked();
    if all.len() >= PACKED_MAX {
        all.clear();
    }
    all.insert(tag.to_owned(), packed.clone());
    Ok(packed)
}

fn locked() -> MutexGuard<'static, HashMap<String, Bytes>> {
    PACKED.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn every_file_of_the_page_is_of_a_kind_that_is_served() {
        let files: Vec<_> = Files::iter().collect();
        assert!(files.len() > 10, "the page has only {files:?}");
        for path in files {
            assert!(Asset::find(&path).is_some(), "{path} is not served");
        }
    }

    #[test]
    fn a_packed_file_is_the_same_file_under_another_tag() {
        for path in Files::iter() {
            let (plain, again) = (Asset::find(&path).unwrap(), Asset::find(&path).unwrap());
            let (packed, again) = (Asset::find(&path).unwrap().packed(), again.packed());
            let mut bytes = Vec::new();
            let mut unpacked = flate2::read::GzDecoder::new(&packed.bytes[..]);
            unpacked.read_to_end(&mut bytes).unwrap();
            assert!(bytes == plain.bytes, "{path}");
            assert!(packed.is_packed && !plain.is_packed && packed.tag != plain.tag, "{path}");
            assert_eq!(again.bytes.as_ptr(), packed.bytes.as_ptr(), "{path} was packed twice");
        }
        assert!(locked().len() < PACKED_MAX);
    }

    #[test]
    fn nothing_beside_the_page_is_found() {
        for path in
            ["", "ui/", "ui/../index.html", "../Cargo.toml", "ui/../../Cargo.toml", "ui/none.js"]
        {
            assert!(Asset::find(path).is_none(), "{path}");
        }
        let page = Asset::find("index.html").unwrap();
        assert_ne!(page.tag, Asset::find("ui/app.js").unwrap().tag);
    }
}
