//! The files of `web/`, as they were when the program was built. A debug build reads them anew each time, so that who works on the page
//! only reloads it.

use bytes::Bytes;
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

/// One file of the page.
pub(super) struct Asset {
    /// Its bytes.
    pub(super) bytes: Bytes,
    /// Its media type.
    pub(super) media_type: &'static str,
    /// Strong entity tag, by its content.
    pub(super) tag: String,
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
        Some(Self { bytes, media_type, tag })
    }
}

#[cfg(test)]
mod tests {
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
