//! Identifiers: 32 lower-case hex digits on the wire, a version 4 UUID when we make one. The first 48 bits of [`JobUuid::ordered`] and
//! its kind are the time: nothing that has to be hard to guess is made that way.

use std::{borrow::Cow, fmt, str::FromStr};

use uuid::Uuid;

use super::clock::EpochMs;

/// The text is not 32 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("[{text}] is not a uuid of 32 hex digits")]
pub struct InvalidUuid {
    /// What was given, shortened to 64 characters.
    pub text: String,
}

fn parse_simple(text: &str) -> Result<Uuid, InvalidUuid> {
    let shown = || InvalidUuid { text: text.chars().take(64).collect() };
    if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(shown());
    }
    Uuid::try_parse(text).map_err(|_| shown())
}

/// New rows stand side by side at the end of every index over such identifiers: random ones write a page of each index for each
/// row. Not version 7, which ZStack does not take as a `resourceUuid` (see [`is_resource_uuid`]).
fn ordered(now_ms: EpochMs) -> Uuid {
    let mut bytes = Uuid::new_v4().into_bytes();
    bytes[..6].copy_from_slice(&now_ms.to_be_bytes()[2..]);
    Uuid::from_bytes(bytes)
}

macro_rules! uuid_ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub Uuid);

        impl $name {
            /// All zeroes: nobody's. Stands for an identifier that is filled in later.
            pub const NIL: Self = Self(Uuid::nil());

            /// A new random identifier.
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }

            /// A new identifier that sorts after those made earlier, by the millisecond; 74 bits of it are random.
            pub fn ordered(now_ms: EpochMs) -> Self {
                Self(ordered(now_ms))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.simple().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidUuid;

            fn from_str(text: &str) -> Result<Self, InvalidUuid> {
                parse_simple(text).map(Self)
            }
        }
    )*};
}

uuid_ids! {
    /// A long job.
    JobUuid;
    /// An image; kept when its job is rerun.
    ImageUuid;
    /// One transfer of bytes; new for every run of a job.
    UploadUuid;
    /// An account.
    AccountUuid;
    /// A session as the client knows it. Only its SHA-256 is stored.
    SessionUuid;
    /// One call of an asynchronous API: the client's `X-Job-UUID`, or ours.
    ApiId;
    /// A backup storage: here, the one store.
    StorageUuid;
    /// A running process of this service.
    NodeUuid;
    /// A tag.
    TagUuid;
    /// A job of the scheduler.
    ScheduledJobUuid;
    /// When jobs of the scheduler run.
    TriggerUuid;
    /// Jobs of the scheduler that run at one trigger.
    JobGroupUuid;
    /// One run of a scheduled job; ZStack's `fireInstanceId`.
    FireUuid;
}

/// The public half of an access key: 8 to 64 ASCII letters and digits, as ZStack's own are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccessKeyId(String);

/// The text is no id of an access key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the id of an access key has 8 to 64 letters and digits")]
pub struct InvalidAccessKeyId;

impl AccessKeyId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccessKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AccessKeyId {
    type Err = InvalidAccessKeyId;

    fn from_str(text: &str) -> Result<Self, InvalidAccessKeyId> {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let fits = (8..=64).contains(&text.len()) && is_plain;
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidAccessKeyId) }
    }
}

/// An identifier without the four dashes that other services write into theirs; any other text as it is.
pub fn without_dashes(text: &str) -> Cow<'_, str> {
    let dashes = [8, 13, 18, 23];
    let has_dashes = text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| (byte == b'-') == dashes.contains(&at));
    if has_dashes { Cow::Owned(text.replace('-', "")) } else { Cow::Borrowed(text) }
}

/// Whether a client-given `resourceUuid` has the form that ZStack asks for (zstack.md 1.4): a UUID of version 1 to 5 without dashes.
pub fn is_resource_uuid(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 32
        && bytes.iter().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b))
        && (b'1'..=b'5').contains(&bytes[12])
        && matches!(bytes[16], b'8' | b'9' | b'a' | b'b')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_32_hex_digits_both_ways() {
        let id = JobUuid::random();
        assert_eq!(id.to_string().len(), 32);
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "x", "0123456789abcdef0123456789abcde", "{123456789abcdef0123456789abcdef}"]
        {
            assert!(bad.parse::<JobUuid>().is_err(), "{bad}");
        }
        assert!(id.0.hyphenated().to_string().parse::<JobUuid>().is_err());
    }

    #[test]
    fn ordered_ids_sort_by_time_and_are_resource_uuids() {
        let now_ms = 1_795_000_000_000;
        let ids: Vec<ImageUuid> = (0..1000).map(|n| ImageUuid::ordered(now_ms + n)).collect();
        assert!(ids.is_sorted_by(|one, next| one.to_string() < next.to_string()));
        assert!(ids.iter().all(|id| is_resource_uuid(&id.to_string())));
        let at_once: std::collections::HashSet<_> =
            (0..1000).map(|_| ImageUuid::ordered(now_ms)).collect();
        assert_eq!(at_once.len(), 1000);
    }

    #[test]
    fn dashes_are_left_out_where_they_belong() {
        let id = JobUuid::random();
        for text in [id.0.hyphenated().to_string(), id.to_string()] {
            assert_eq!(without_dashes(&text).parse(), Ok(id), "{text}");
        }
        let moved = format!("-{id}---");
        for other in ["", "----", moved.as_str(), "0123456789-bcdef0123456789abcde-0123"] {
            assert_eq!(without_dashes(other), other);
        }
    }

    #[test]
    fn resource_uuids_are_versioned() {
        assert!(is_resource_uuid(&ImageUuid::random().to_string()));
        assert!(!is_resource_uuid("0123456789ab0def8123456789abcdef"), "version 0");
        assert!(!is_resource_uuid("0123456789AB4DEF8123456789ABCDEF"), "upper case");
        assert!(!is_resource_uuid("0123456789ab4defc123456789abcdef"), "variant");
    }
}
