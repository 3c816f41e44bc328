//! The record of an image.

use super::{
    clock::EpochMs,
    ids::{AccountUuid, ImageUuid, StorageUuid},
    inspected::Inspected,
};

/// ZStack's `status` of an image, as far as it occurs here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImageStatus {
    /// Its bytes are on their way.
    Downloading,
    /// Whole, verified and durable.
    Ready,
    /// Deleted, kept until it is expunged.
    Deleted,
}

impl ImageStatus {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Downloading, Self::Ready, Self::Deleted];

    /// ZStack's name of it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Downloading => "Downloading",
            Self::Ready => "Ready",
            Self::Deleted => "Deleted",
        }
    }

    /// The status with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// What an image is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaType {
    /// Template of a root volume; the default.
    RootVolumeTemplate,
    /// Template of a data volume.
    DataVolumeTemplate,
    /// An optical disc.
    Iso,
}

impl MediaType {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::RootVolumeTemplate, Self::DataVolumeTemplate, Self::Iso];

    /// ZStack's name of it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RootVolumeTemplate => "RootVolumeTemplate",
            Self::DataVolumeTemplate => "DataVolumeTemplate",
            Self::Iso => "ISO",
        }
    }

    /// The media type with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|media| media.name() == name)
    }
}

/// An image: what an upload becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRecord {
    /// Its identifier, kept over reruns of its job.
    pub uuid: ImageUuid,
    /// Who owns it; for all others it does not exist.
    pub account: AccountUuid,
    /// Name, at most 255 characters.
    pub name: String,
    /// Description, at most 2,048 characters.
    pub description: Option<String>,
    /// Whether it is `Enabled`.
    pub enabled: bool,
    /// Where it stands.
    pub status: ImageStatus,
    /// Virtual size in bytes; 0 until known.
    pub size: u64,
    /// Stored bytes; 0 until known.
    pub actual_size: u64,
    /// MD5 of the stored bytes, lower-case hex.
    pub md5: Option<String>,
    /// SHA-256 of the stored bytes, lower-case hex.
    pub sha256: Option<String>,
    /// Where the client said it comes from, `upload://...`.
    pub url: String,
    /// What it is used for.
    pub media_type: MediaType,
    /// Free text of the client.
    pub guest_os_type: Option<String>,
    /// Linux, Windows, ...
    pub platform: String,
    /// `x86_64`, ...
    pub architecture: Option<String>,
    /// qcow2, raw, iso, vmdk, ...: declared at first, then what the content shows.
    pub format: String,
    /// ZStack's flag.
    pub system: bool,
    /// ZStack's flag.
    pub virtio: bool,
    /// The storage that holds it.
    pub storage: StorageUuid,
    /// When it was recorded.
    pub created_ms: EpochMs,
    /// When it last changed.
    pub last_op_ms: EpochMs,
    /// When it was deleted; it is expunged a while later.
    pub deleted_ms: Option<EpochMs>,
    /// What the look at its content led to; `None` until it was looked at, and of images from before that was kept.
    pub inspection: Option<Inspected>,
}

impl ImageRecord {
    /// Where a Ready image lies, as `installPath` shows it.
    pub fn install_path(&self) -> String {
        format!("longshore://images/{}", self.uuid)
    }
}

/// Formats that AddImage takes; `auto` is what the content shows.
pub const FORMATS: [&str; 9] =
    ["qcow2", "raw", "iso", "vmdk", "vmtx", "vhd", "vhdx", "vdi", "auto"];
/// Platforms that AddImage takes.
pub const PLATFORMS: [&str; 5] =
    ["Linux", "Windows", "Other", "Paravirtualization", "WindowsVirtio"];
/// Architectures that AddImage takes.
pub const ARCHITECTURES: [&str; 4] = ["x86_64", "aarch64", "mips64el", "loongarch64"];
