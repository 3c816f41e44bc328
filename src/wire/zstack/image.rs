//! Images.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::{schema::Element, time::timestamp};
use crate::domain::image::{ImageRecord, ImageStatus};

/// What `md5Sum` says until the digest is known.
const NOT_CALCULATED: &str = "not calculated";

/// An image as ZStack shows it; `sha256Sum` is ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageInventory {
    /// Its identifier.
    pub uuid: String,
    /// Its name.
    pub name: String,
    /// Its description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `Enabled` or `Disabled`.
    pub state: String,
    /// `Downloading`, `Ready`, `Deleted`.
    pub status: String,
    /// Virtual size in bytes; 0 until known.
    pub size: u64,
    /// Stored bytes; 0 until known.
    pub actual_size: u64,
    /// MD5 in hex, or `not calculated`.
    pub md5_sum: String,
    /// SHA-256 in hex, once known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256_sum: Option<String>,
    /// Where the client said it comes from.
    pub url: String,
    /// What it is used for.
    pub media_type: String,
    /// Free text of the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest_os_type: Option<String>,
    /// `zstack`.
    #[serde(rename = "type")]
    pub image_type: String,
    /// Linux, Windows, ...
    pub platform: String,
    /// `x86_64`, ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// qcow2, raw, ...
    pub format: String,
    /// ZStack's flag.
    pub system: bool,
    /// ZStack's flag.
    pub virtio: bool,
    /// When it was recorded.
    pub create_date: String,
    /// When it last changed.
    pub last_op_date: String,
    /// Where it lies; exactly one.
    pub backup_storage_refs: Vec<ImageRefInventory>,
    /// Its system tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub system_tags: Vec<String>,
}

/// Where an image lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageRefInventory {
    /// The image.
    pub image_uuid: String,
    /// The storage.
    pub backup_storage_uuid: String,
    /// The upload URL while Downloading, then `longshore://images/<uuid>`.
    pub install_path: String,
    /// As the image's.
    pub status: String,
    /// As the image's.
    pub create_date: String,
    /// As the image's.
    pub last_op_date: String,
}

const REF_CLASS: &str = "org.zstack.header.image.ImageBackupStorageRefInventory";

impl Element for ImageInventory {
    const CLASS: &'static str = "org.zstack.header.image.ImageInventory";
    const FIELDS: &'static [&'static str] = &[
        "uuid",
        "name",
        "description",
        "state",
        "status",
        "size",
        "actualSize",
        "md5Sum",
        "sha256Sum",
        "url",
        "mediaType",
        "guestOsType",
        "type",
        "platform",
        "architecture",
        "format",
        "system",
        "virtio",
        "createDate",
        "lastOpDate",
        "backupStorageRefs",
        "systemTags",
    ];

    fn nested(&self) -> Vec<(&'static str, usize, &'static str)> {
        vec![("backupStorageRefs", self.backup_storage_refs.len(), REF_CLASS)]
    }
}

/// Renders an image. `upload_url` is where its bytes go, for as long as it is Downloading.
pub fn image_inventory(
    image: &ImageRecord,
    upload_url: Option<&str>,
    system_tags: Vec<String>,
    zone: &TimeZone,
) -> ImageInventory {
    let status = image.status.name().to_owned();
    let create_date = timestamp(image.created_ms, zone);
    let last_op_date = timestamp(image.last_op_ms, zone);
    let install_path = match image.status {
        ImageStatus::Downloading => upload_url.unwrap_or_default().to_owned(),
        ImageStatus::Ready | ImageStatus::Deleted => image.install_path(),
    };
    ImageInventory {
        uuid: image.uuid.to_string(),
        name: image.name.clone(),
        description: image.description.clone(),
        state: if image.enabled { "Enabled" } else { "Disabled" }.to_owned(),
        status: status.clone(),
        size: image.size,
        actual_size: image.actual_size,
        md5_sum: image.md5.clone().unwrap_or_else(|| NOT_CALCULATED.to_owned()),
        sha256_sum: image.sha256.clone(),
        url: image.url.clone(),
        media_type: image.media_type.name().to_owned(),
        guest_os_type: image.guest_os_type.clone(),
        image_type: "zstack".to_owned(),
        platform: image.platform.clone(),
        architecture: image.architecture.clone(),
        format: image.format.clone(),
        system: image.system,
        virtio: image.virtio,
        create_date: create_date.clone(),
        last_op_date: last_op_date.clone(),
        backup_storage_refs: vec![ImageRefInventory {
            image_uuid: image.uuid.to_string(),
            backup_storage_uuid: image.storage.to_string(),
            install_path,
            status,
            create_date,
            last_op_date,
        }],
        system_tags,
    }
}
