//! QueryBackupStorage: the one storage, found as all records are.

use super::{call::Call, error::Refusal, query::Queried};
use crate::{
    domain::{
        account::Caller,
        query::{Page, Query},
    },
    wire::zstack::{BackupStorageInventory, STORAGE_TYPE, timestamp},
};

impl Queried for BackupStorageInventory {
    /// Everybody may see it: uploads name it.
    async fn find(call: &Call, _: Caller, query: &Query) -> Result<Page<Self>, Refusal> {
        let url = call.base.uploads(&call.app);
        let page = call.app.jobs.query_storages(url.clone(), query).await;
        let page = page.map_err(Self::refusal)?;
        let rows = page.rows.into_iter().map(|(storage, total_capacity, available_capacity)| {
            let date = timestamp(storage.created_ms, call.zone());
            Self {
                uuid: storage.uuid.to_string(),
                name: storage.name,
                url: url.clone(),
                total_capacity,
                available_capacity,
                storage_type: STORAGE_TYPE.to_owned(),
                state: "Enabled".to_owned(),
                status: "Connected".to_owned(),
                create_date: date.clone(),
                last_op_date: date,
                attached_zone_uuids: Vec::new(),
            }
        });
        Ok(Page { rows: rows.collect(), total: page.total })
    }
}
