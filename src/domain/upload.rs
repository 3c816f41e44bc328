//! The record of one transfer of bytes. What is really stored is known to the store alone.

use super::{
    clock::EpochMs,
    ids::{AccountUuid, ImageUuid, JobUuid, NodeUuid, UploadUuid},
    image_id::ImageId,
    job::Run,
};

/// When an upload has all its bytes; fixed at creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    /// When the declared length is stored (ZStack, tus, native).
    ByLength,
    /// When a client says so (IETF `Upload-Complete: ?1`).
    Explicit,
}

/// Where the bytes of an upload come from, and what they are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadKind {
    /// From a client, for an image.
    Whole,
    /// From a client, to be a part of an upload that is joined: no job, no image, no digests of its own.
    Partial,
    /// From partial uploads, for an image. No request brings bytes.
    Joined,
}

impl UploadKind {
    /// Its name in rows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Partial => "partial",
            Self::Joined => "joined",
        }
    }

    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Whole, Self::Partial, Self::Joined].into_iter().find(|kind| kind.name() == name)
    }
}

/// What has become of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadFate {
    /// Takes bytes, or waits, or is being finished.
    Open,
    /// Its bytes are an image.
    Published,
    /// Its bytes are gone: canceled, failed, replaced by a rerun, or an image that was expunged.
    Discarded,
    /// Its bytes are gone because none came for too long.
    Expired,
}

impl UploadFate {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Open, Self::Published, Self::Discarded, Self::Expired];

    /// Its name in rows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Published => "published",
            Self::Discarded => "discarded",
            Self::Expired => "expired",
        }
    }

    /// The fate with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fate| fate.name() == name)
    }
}

impl Completion {
    /// Its name in rows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ByLength => "by_length",
            Self::Explicit => "explicit",
        }
    }

    /// The rule with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::ByLength, Self::Explicit].into_iter().find(|rule| rule.name() == name)
    }
}

/// What a client declared the whole to hash to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExpectedDigests {
    /// MD5 of the whole.
    pub md5: Option<[u8; 16]>,
    /// SHA-256 of the whole.
    pub sha256: Option<[u8; 32]>,
}

/// One transfer of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRecord {
    /// Its identifier: key of the store entry, the capability and the claims. New for every run of a job.
    pub uuid: UploadUuid,
    /// Where its bytes come from.
    pub kind: UploadKind,
    /// The job that shows it. [`JobUuid::NIL`], which no job has, for a partial upload.
    pub job: JobUuid,
    /// The image that it becomes. Of a partial upload the uuid of no image.
    pub image: ImageUuid,
    /// Who owns it.
    pub account: AccountUuid,
    /// The client's name for the file.
    pub image_id: Option<ImageId>,
    /// When it is complete.
    pub completion: Completion,
    /// Length of the whole, once declared. The store's checkpoint holds the truth; this one is for listings and reservations.
    pub declared_length: Option<u64>,
    /// What the client expects it to hash to.
    pub expected: ExpectedDigests,
    /// First missing byte when it was last written down: for listings only, the truth is in the store.
    pub offset_cached: u64,
    /// Stored bytes when last written down: for reservations at start.
    pub stored_cached: u64,
    /// What has become of it.
    pub fate: UploadFate,
    /// Part of the capability; raising it revokes every upload URL handed out.
    pub url_generation: i64,
    /// The process that owns it, and its fencing number.
    pub owner: Option<NodeUuid>,
    /// Fencing number; only ever grows.
    pub owner_epoch: u64,
    /// The owner's lease ends here unless renewed.
    pub lease_until_ms: EpochMs,
    /// When it was created.
    pub created_ms: EpochMs,
    /// When the last byte arrived, if one ever did. Expiry counts from here.
    pub last_byte_ms: Option<EpochMs>,
    /// What the client said of its file (tus `Upload-Metadata`), byte for byte: told again, never acted on after the creation.
    pub client_metadata: Option<String>,
    /// The partial uploads that it is joined from, in order; empty for all but joined ones.
    pub parts: Vec<UploadUuid>,
    /// The upload that this partial one is a part of: no other can have it, and its bytes go with that.
    pub taken_by: Option<UploadUuid>,
}

impl UploadRecord {
    /// `url_generation` of an upload of which no URL was revoked yet. Those of partial uploads never are.
    pub const FIRST_URL_GENERATION: i64 = 1;

    /// The run of its job that it is the upload of.
    pub const fn run(&self) -> Run {
        Run { job: self.job, upload: self.uuid }
    }
}
