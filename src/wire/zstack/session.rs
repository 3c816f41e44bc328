//! Sessions.

use serde::{Deserialize, Serialize};

use super::schema::Element;

/// A session as ZStack shows it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionInventory {
    /// The token that `Authorization: OAuth` takes. A secret.
    pub uuid: String,
    /// Whose it is.
    pub account_uuid: String,
    /// The same: there are no users below accounts.
    pub user_uuid: String,
    /// When it ends.
    pub expired_date: String,
    /// When it was opened.
    pub create_date: String,
}

impl Element for SessionInventory {
    const CLASS: &'static str = "org.zstack.header.identity.SessionInventory";
    const FIELDS: &'static [&'static str] =
        &["uuid", "accountUuid", "userUuid", "expiredDate", "createDate"];
}
