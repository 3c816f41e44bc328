//! How far an image was read again: kept, so that one that is larger than a run is gone on with by the next.

use longshore_storage::digest::{DigestChoice, DigestState, SavedDigests};
use serde_json::{Value, json};

use crate::domain::{
    ids::ImageUuid,
    image::ImageRecord,
    tag::{hex, hex_bytes},
};

/// The begin of an image that was read again and hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartlyRead {
    /// The image.
    pub image: ImageUuid,
    /// Its length and its digests when that was begun: another image under this uuid is begun anew.
    length: u64,
    md5: Option<String>,
    sha256: Option<String>,
    saved: SavedDigests,
}

impl PartlyRead {
    pub(super) fn new(record: &ImageRecord, state: &DigestState) -> Self {
        Self {
            image: record.uuid,
            length: record.actual_size,
            md5: record.md5.clone(),
            sha256: record.sha256.clone(),
            saved: state.save(),
        }
    }

    /// Bytes that were read.
    pub const fn offset(&self) -> u64 {
        self.saved.offset
    }

    /// Whether it is a part of this image.
    pub fn is_of(&self, record: &ImageRecord) -> bool {
        self.image == record.uuid
            && self.length == record.actual_size
            && (&self.md5, &self.sha256) == (&record.md5, &record.sha256)
    }

    /// The digests of that part; `None` if it is of another image.
    pub(super) fn state(&self, record: &ImageRecord, choice: DigestChoice) -> Option<DigestState> {
        let fits = self.is_of(record) && self.saved.offset <= self.length;
        fits.then(|| DigestState::restore(choice, &self.saved))?
    }

    /// As the records keep it.
    pub fn to_json(&self) -> Value {
        json!({
            "image": self.image.to_string(),
            "length": self.length,
            "md5": self.md5,
            "sha256": self.sha256,
            "offset": self.saved.offset,
            "md5State": hex(&self.saved.md5),
            "sha256State": hex(&self.saved.sha256),
        })
    }

    /// From the records; `None` for what this version does not understand: the image is begun anew.
    pub fn from_json(value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name)?.as_str().map(str::to_owned);
        Some(Self {
            image: text("image")?.parse().ok()?,
            length: value.get("length")?.as_u64()?,
            md5: text("md5"),
            sha256: text("sha256"),
            saved: SavedDigests {
                offset: value.get("offset")?.as_u64()?,
                md5: hex_bytes(&text("md5State")?)?,
                sha256: hex_bytes(&text("sha256State")?)?,
            },
        })
    }
}
