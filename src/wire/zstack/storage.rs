//! Backup storages: here there is one.

use serde::{Deserialize, Serialize};

use super::schema::Element;

/// Type of the one storage; the web UI and the SDKs know how to upload to it.
pub const STORAGE_TYPE: &str = "ImageStoreBackupStorage";

/// A backup storage as ZStack shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupStorageInventory {
    /// Stable over the life of the store.
    pub uuid: String,
    /// Its name.
    pub name: String,
    /// Where uploads go.
    pub url: String,
    /// Room in bytes.
    pub total_capacity: u64,
    /// Bytes that are free.
    pub available_capacity: u64,
    /// [`STORAGE_TYPE`].
    #[serde(rename = "type")]
    pub storage_type: String,
    /// `Enabled`.
    pub state: String,
    /// `Connected`.
    pub status: String,
    /// When it was first opened.
    pub create_date: String,
    /// The same.
    pub last_op_date: String,
    /// None.
    pub attached_zone_uuids: Vec<String>,
}

impl Element for BackupStorageInventory {
    const CLASS: &'static str = "org.zstack.header.storage.backup.BackupStorageInventory";
    const FIELDS: &'static [&'static str] = &[
        "uuid",
        "name",
        "url",
        "totalCapacity",
        "availableCapacity",
        "type",
        "state",
        "status",
        "createDate",
        "lastOpDate",
        "attachedZoneUuids",
    ];
}
