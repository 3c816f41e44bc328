//! Accounts.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::{schema::Element, time::timestamp};
use crate::domain::account::Account;

/// An account as ZStack shows it. No password, in no form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountInventory {
    /// Its identifier.
    pub uuid: String,
    /// Login name.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `SystemAdmin` or `Normal`.
    #[serde(rename = "type")]
    pub account_type: String,
    /// `Enabled` or `Disabled`.
    pub state: String,
    /// When it was made.
    pub create_date: String,
    /// When it was last changed.
    pub last_op_date: String,
}

impl Element for AccountInventory {
    const CLASS: &'static str = "org.zstack.header.identity.AccountInventory";
    const FIELDS: &'static [&'static str] =
        &["uuid", "name", "description", "type", "state", "createDate", "lastOpDate"];
}

/// The account for a client in this time zone.
pub fn account_inventory(account: &Account, zone: &TimeZone) -> AccountInventory {
    AccountInventory {
        uuid: account.uuid.to_string(),
        name: account.name.clone(),
        description: account.description.clone(),
        account_type: if account.admin { "SystemAdmin" } else { "Normal" }.to_owned(),
        state: if account.enabled { "Enabled" } else { "Disabled" }.to_owned(),
        create_date: timestamp(account.created_ms, zone),
        last_op_date: timestamp(account.last_op_ms, zone),
    }
}
