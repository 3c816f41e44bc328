//! The client's own name for a file: `uploadImage::<IMAGE_ID>`.

use std::{fmt, str::FromStr};

/// Longest `IMAGE_ID` in bytes of UTF-8.
pub const IMAGE_ID_BYTES_MAX: usize = 1024;

/// Client-chosen name of a file: 1 to 1,024 bytes of UTF-8 without control characters. Opaque: compared bytewise, scoped to an account,
/// never part of a path and never compared with the content (the web UI's value is not the MD5 of the file).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageId(String);

/// Why a text is no `IMAGE_ID`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidImageId {
    /// Nothing was given.
    #[error("IMAGE_ID is empty; give 1 to {IMAGE_ID_BYTES_MAX} bytes")]
    Empty,
    /// Too long.
    #[error("IMAGE_ID has {bytes} bytes; give at most {IMAGE_ID_BYTES_MAX}")]
    TooLong {
        /// Bytes that were given.
        bytes: usize,
    },
    /// Not UTF-8.
    #[error("IMAGE_ID is not UTF-8; percent-encode the bytes of UTF-8 text")]
    NotUtf8,
    /// Holds a control character.
    #[error("IMAGE_ID holds a control character; give printable text")]
    Control,
}

impl ImageId {
    /// The text as the client gave it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ImageId {
    type Err = InvalidImageId;

    fn from_str(text: &str) -> Result<Self, InvalidImageId> {
        match text.len() {
            0 => Err(InvalidImageId::Empty),
            bytes if bytes > IMAGE_ID_BYTES_MAX => Err(InvalidImageId::TooLong { bytes }),
            _ if text.chars().any(char::is_control) => Err(InvalidImageId::Control),
            _ => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_is_counted_in_bytes() {
        assert!("a".repeat(1024).parse::<ImageId>().is_ok());
        assert_eq!(
            "a".repeat(1025).parse::<ImageId>(),
            Err(InvalidImageId::TooLong { bytes: 1025 })
        );
        assert_eq!(
            "é".repeat(513).parse::<ImageId>(),
            Err(InvalidImageId::TooLong { bytes: 1026 })
        );
        assert_eq!("".parse::<ImageId>(), Err(InvalidImageId::Empty));
    }

    #[test]
    fn control_characters_are_refused_and_everything_else_is_opaque() {
        for bad in ["\0", "a\nb", "\u{7f}", "\u{85}"] {
            assert_eq!(bad.parse::<ImageId>(), Err(InvalidImageId::Control), "{bad:?}");
        }
        for good in ["a/b", "..", "::", "%2f", "日本", "\u{202e}x", " "] {
            assert_eq!(
                good.parse::<ImageId>().map(|id| id.as_str().to_owned()).as_deref(),
                Ok(good)
            );
        }
    }
}
