//! ZStack's control plane on the wire (zstack.md 1 to 3): envelopes, inventories, error codes, schema maps, timestamps.
//!
//! Absent values are left out, never `null`; enums travel as their names; every type reads what it writes.

mod account;
mod envelope;
mod error;
mod image;
mod job;
#[cfg(test)]
mod life;
mod schedule;
mod schema;
mod session;
mod storage;
mod tag;
mod time;

pub use account::{AccountInventory, account_inventory};
pub use envelope::{
    Accepted, Empty, ExistingJobs, Inventories, Inventory, Reply, UploadJobDetails, Validity,
};
pub use error::{Code, ErrorCode, ErrorEnvelope};
pub use image::{ImageInventory, ImageRefInventory, image_inventory};
pub use job::{LongJobInventory, TaskProgressInventory, job_inventory, progress_inventory};
pub use schedule::{
    ExecutionReport, SchedulerJobGroupInventory, SchedulerJobGroupJobRefInventory,
    SchedulerJobHistoryInventory, SchedulerJobInventory, SchedulerTriggerInventory,
    scheduler_history_inventory, scheduler_job_group_inventory, scheduler_job_inventory,
    scheduler_trigger_inventory,
};
pub use schema::{Element, Schema};
pub use session::SessionInventory;
pub use storage::{BackupStorageInventory, STORAGE_TYPE};
pub use tag::{SystemTagInventory, TagInventory, UserTagInventory, tag_inventory};
pub use time::{read_timestamp, timestamp};
