//! Tags.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::{schema::Element, time::timestamp};
use crate::domain::tag::TagRecord;

/// A tag as ZStack shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TagInventory {
    /// Its identifier.
    pub uuid: String,
    /// What it is on.
    pub resource_uuid: String,
    /// `ImageVO` or `LongJobVO`.
    pub resource_type: String,
    /// The text.
    pub tag: String,
    /// `System` or `User`.
    #[serde(rename = "type")]
    pub tag_type: String,
    /// When it was given.
    pub create_date: String,
    /// The same: a tag never changes.
    pub last_op_date: String,
}

const FIELDS: &[&str] =
    &["uuid", "resourceUuid", "resourceType", "tag", "type", "createDate", "lastOpDate"];

/// A system tag: the class is another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SystemTagInventory(pub TagInventory);

impl Element for SystemTagInventory {
    const CLASS: &'static str = "org.zstack.header.tag.SystemTagInventory";
    const FIELDS: &'static [&'static str] = FIELDS;
}

/// A user tag: the class is another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserTagInventory(pub TagInventory);

impl Element for UserTagInventory {
    const CLASS: &'static str = "org.zstack.header.tag.UserTagInventory";
    const FIELDS: &'static [&'static str] = FIELDS;
}

/// Renders a tag.
pub fn tag_inventory(tag: &TagRecord, zone: &TimeZone) -> TagInventory {
    let date = timestamp(tag.created_ms, zone);
    TagInventory {
        uuid: tag.uuid.to_string(),
        resource_uuid: tag.resource.uuid(),
        resource_type: tag.resource.type_name().to_owned(),
        tag: tag.tag.clone(),
        tag_type: tag.kind.name().to_owned(),
        create_date: date.clone(),
        last_op_date: date,
    }
}
