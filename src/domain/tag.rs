//! System tags that mean something to us. All others are kept and shown, nothing more.

use super::{
    clock::EpochMs,
    ids::{AccountUuid, ImageUuid, JobUuid, TagUuid},
    image_id::{ImageId, InvalidImageId},
    job::Stage,
    job_state::JobState,
    text::shown,
    upload::UploadRecord,
};

/// Longest tag in bytes: the longest `IMAGE_ID` with its prefix, and room.
pub const TAG_BYTES_MAX: usize = 2048;
/// Tags that one call may carry.
pub const TAGS_MAX: usize = 64;
/// What the system tags begin with that the service gives to images that are damaged; nobody else gives them, or takes them away.
pub const DAMAGED: &str = "imageDamaged::";
/// Tags of one kind that one resource may have.
pub const TAGS_OF_RESOURCE_MAX: u64 = 128;

/// What the system tags of a submit call declare (design.md 5).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    /// `uploadImage::<IMAGE_ID>`
    pub image_id: Option<ImageId>,
    /// `imageSize::<bytes>`
    pub size_bytes: Option<u64>,
    /// `imageMd5::<hex>`
    pub md5: Option<[u8; 16]>,
    /// `imageSha256::<hex>`
    pub sha256: Option<[u8; 32]>,
}

/// Why a tag of ours cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTag {
    /// The `IMAGE_ID` in it is no `IMAGE_ID`.
    #[error("system tag uploadImage: {0}")]
    ImageId(#[from] InvalidImageId),
    /// Not a number of bytes.
    #[error("system tag imageSize: [{0}] is not a number of bytes")]
    Size(String),
    /// Not as many hex digits as the digest has.
    #[error("system tag {name}: give {digits} hex digits")]
    Digest {
        /// Which tag.
        name: &'static str,
        /// How many digits it takes.
        digits: usize,
    },
    /// The same tag twice with different values.
    #[error("system tag {0} is given twice with different values")]
    Contradiction(&'static str),
    /// Longer than a tag may be, or too many of them.
    #[error("at most {TAGS_MAX} tags of {TAG_BYTES_MAX} bytes are taken")]
    TooMuch,
    /// One that the service alone gives.
    #[error("system tags that begin with {DAMAGED} are given by the service alone")]
    Reserved,
    /// Holds U+0000, which no database column takes.
    #[error("a tag holds a NUL character")]
    Nul,
}

/// Reads the tags of a submit call. Unknown tags are no error.
pub fn read_tags(tags: &[String]) -> Result<Declared, InvalidTag> {
    if tags.len() > TAGS_MAX {
        return Err(InvalidTag::TooMuch);
    }
    let mut declared = Declared::default();
    for tag in tags {
        not_reserved(tag)?;
        match Steering::read(tag)? {
            Some(Steering::ImageId(id)) => set(&mut declared.image_id, id, "uploadImage")?,
            Some(Steering::SizeBytes(size)) => set(&mut declared.size_bytes, size, "imageSize")?,
            Some(Steering::Md5(md5)) => set(&mut declared.md5, md5, "imageMd5")?,
            Some(Steering::Sha256(sha256)) => set(&mut declared.sha256, sha256, "imageSha256")?,
            None => {}
        }
    }
    Ok(declared)
}

/// Refuses a system tag that only the service gives.
pub fn not_reserved(tag: &str) -> Result<(), InvalidTag> {
    if tag.starts_with(DAMAGED) { Err(InvalidTag::Reserved) } else { Ok(()) }
}

/// What one system tag of a long job says about its upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Steering {
    /// `uploadImage::<IMAGE_ID>`: the name by which the upload is found.
    ImageId(ImageId),
    /// `imageSize::<bytes>`: the length of the whole.
    SizeBytes(u64),
    /// `imageMd5::<hex>`: what the whole hashes to.
    Md5([u8; 16]),
    /// `imageSha256::<hex>`: what the whole hashes to.
    Sha256([u8; 32]),
}

impl Steering {
    /// Reads one tag; `None` if it is none of ours.
    pub fn read(tag: &str) -> Result<Option<Self>, InvalidTag> {
        if tag.len() > TAG_BYTES_MAX {
            return Err(InvalidTag::TooMuch);
        }
        if tag.contains('\0') {
            return Err(InvalidTag::Nul);
        }
        let Some((name, value)) = tag.split_once("::") else { return Ok(None) };
        Ok(Some(match name {
            "uploadImage" => Self::ImageId(value.parse()?),
            "imageSize" => {
                let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
                let size = value.parse().ok().filter(|_| digits);
                Self::SizeBytes(size.ok_or_else(|| InvalidTag::Size(shown(value)))?)
            }
            "imageMd5" => Self::Md5(digest(value, "imageMd5")?),
            "imageSha256" => Self::Sha256(digest(value, "imageSha256")?),
            _ => return Ok(None),
        }))
    }

    /// Name of the tag.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ImageId(_) => "uploadImage",
            Self::SizeBytes(_) => "imageSize",
            Self::Md5(_) => "imageMd5",
            Self::Sha256(_) => "imageSha256",
        }
    }

    /// Whether a job in this state and stage still heeds the tag: a name can be given until the job has ended, everything else
    /// until its bytes are verified.
    pub fn is_heeded(&self, job: JobState, at: Stage) -> bool {
        match self {
            Self::ImageId(_) => !job.is_final(),
            Self::SizeBytes(_) | Self::Md5(_) | Self::Sha256(_) => {
                !job.is_final() && at == Stage::Receiving
            }
        }
    }

    /// Writes it into the upload's record. What was said before stands: something else is an error, and changes nothing.
    pub fn apply(&self, upload: &mut UploadRecord) -> Result<(), InvalidTag> {
        let expected = &mut upload.expected;
        match self {
            Self::ImageId(id) => set(&mut upload.image_id, id.clone(), self.name()),
            Self::SizeBytes(size) => set(&mut upload.declared_length, *size, self.name()),
            Self::Md5(md5) => set(&mut expected.md5, *md5, self.name()),
            Self::Sha256(sha256) => set(&mut expected.sha256, *sha256, self.name()),
        }
    }

    /// Takes it out of the upload's record. `false` for a length, which never changes once it is known.
    #[must_use]
    pub fn withdraw(&self, upload: &mut UploadRecord) -> bool {
        match self {
            Self::ImageId(_) => upload.image_id = None,
            Self::SizeBytes(_) => return false,
            Self::Md5(_) => upload.expected.md5 = None,
            Self::Sha256(_) => upload.expected.sha256 = None,
        }
        true
    }
}

/// Whether a tag was given for the service or for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagKind {
    /// `name::value` by convention; a few of them steer uploads.
    System,
    /// Free text.
    User,
}

impl TagKind {
    /// ZStack's name of it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "System",
            Self::User => "User",
        }
    }
}

/// What a tag is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// A long job.
    Job(JobUuid),
    /// An image.
    Image(ImageUuid),
}

impl Resource {
    /// ZStack's names of the kinds of resources that have tags here.
    pub const TYPES: [&str; 2] = ["ImageVO", "LongJobVO"];

    /// The resource of this type; `None` for a type that has no tags here, or an identifier that is none.
    pub fn read(resource_type: &str, uuid: &str) -> Option<Self> {
        match resource_type {
            "ImageVO" => uuid.parse().ok().map(Self::Image),
            "LongJobVO" => uuid.parse().ok().map(Self::Job),
            _ => None,
        }
    }

    /// ZStack's name of its type.
    pub const fn type_name(self) -> &'static str {
        match self {
            Self::Job(_) => "LongJobVO",
            Self::Image(_) => "ImageVO",
        }
    }

    /// Its identifier.
    pub fn uuid(self) -> String {
        match self {
            Self::Job(uuid) => uuid.to_string(),
            Self::Image(uuid) => uuid.to_string(),
        }
    }
}

/// A tag. It never changes; it goes by itself, or with its resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagRecord {
    /// Its identifier.
    pub uuid: TagUuid,
    /// Whose it is: its resource's account.
    pub account: AccountUuid,
    /// What it is on.
    pub resource: Resource,
    /// For whom it was given.
    pub kind: TagKind,
    /// The text, at most [`TAG_BYTES_MAX`] bytes.
    pub tag: String,
    /// When it was given.
    pub created_ms: EpochMs,
}

fn digest<const N: usize>(value: &str, name: &'static str) -> Result<[u8; N], InvalidTag> {
    hex_bytes(value).ok_or(InvalidTag::Digest { name, digits: 2 * N })
}

fn set<T: PartialEq>(slot: &mut Option<T>, value: T, name: &'static str) -> Result<(), InvalidTag> {
    match slot {
        Some(there) if *there != value => Err(InvalidTag::Contradiction(name)),
        _ => {
            *slot = Some(value);
            Ok(())
        }
    }
}

/// Exactly `N` bytes from hex digits of either case.
pub fn hex_bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        if !pair.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(bytes)
}

/// Lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tags: &[&str]) -> Result<Declared, InvalidTag> {
        read_tags(&tags.iter().map(|&tag| tag.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn our_tags_are_read_and_others_pass() {
        let md5 = "00112233445566778899aAbBcCdDeEfF";
        let declared = read(&[
            "uploadImage::a::b",
            "imageSize::42",
            &format!("imageMd5::{md5}"),
            "cpu::2",
            "x",
        ])
        .unwrap();
        assert_eq!(declared.image_id.unwrap().as_str(), "a::b");
        assert_eq!(declared.size_bytes, Some(42));
        assert_eq!(declared.md5.map(|bytes| hex(&bytes)), Some(md5.to_ascii_lowercase()));
        assert_eq!(declared.sha256, None);
    }

    #[test]
    fn bad_values_name_their_tag() {
        for (tag, word) in [
            ("uploadImage::", "uploadImage"),
            ("imageSize::-1", "imageSize"),
            ("imageSize::+1", "imageSize"),
            ("imageSize::18446744073709551616", "imageSize"),
            ("imageMd5::zz", "imageMd5"),
            ("imageSha256::00112233445566778899aabbccddeeff", "imageSha256"),
        ] {
            let error = read(&[tag]).unwrap_err().to_string();
            assert!(error.contains(word), "{tag}: {error}");
        }
        assert!(read(&["imageSize::1", "imageSize::2"]).is_err());
        assert!(read(&["imageSize::1", "imageSize::1"]).is_ok());
        assert_eq!(read(&["a\0b"]), Err(InvalidTag::Nul));
    }

    #[test]
    fn hex_takes_digits_only() {
        assert_eq!(hex_bytes::<2>("+1ff"), None);
        assert_eq!(hex_bytes::<2>("01fF"), Some([1, 255]));
        assert_eq!(hex_bytes::<2>("é1f"), None);
    }
}
