//! System tags that mean something to us. All others are kept and shown, nothing more.

use crate::domain::image_id::{ImageId, InvalidImageId};

/// Longest tag in bytes: the longest `IMAGE_ID` with its prefix, and room.
pub const TAG_BYTES_MAX: usize = 2048;
/// Tags that one call may carry.
pub const TAGS_MAX: usize = 64;

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
    /// Holds U+0000, which no database column takes.
    #[error("a tag holds a NUL character")]
    Nul,
}

/// Reads the tags of a submit call. Unknown tags are no error.
pub fn read_tags(tags: &[String]) -> Result<Declared, InvalidTag> {
    if tags.len() > TAGS_MAX || tags.iter().any(|tag| tag.len() > TAG_BYTES_MAX) {
        return Err(InvalidTag::TooMuch);
    }
    let mut declared = Declared::default();
    for tag in tags {
        if tag.contains('\0') {
            return Err(InvalidTag::Nul);
        }
        let Some((name, value)) = tag.split_once("::") else { continue };
        match name {
            "uploadImage" => set(&mut declared.image_id, value.parse()?, "uploadImage")?,
            "imageSize" => {
                let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
                let size = value.parse().ok().filter(|_| digits);
                let size =
                    size.ok_or_else(|| InvalidTag::Size(value.chars().take(32).collect()))?;
                set(&mut declared.size_bytes, size, "imageSize")?;
            }
            "imageMd5" => set(&mut declared.md5, digest(value, "imageMd5")?, "imageMd5")?,
            "imageSha256" => {
                set(&mut declared.sha256, digest(value, "imageSha256")?, "imageSha256")?;
            }
            _ => {}
        }
    }
    Ok(declared)
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
