//! Pure rules and records: identifiers, the long job's state machine, tags, images, queries. No async, no I/O.

pub mod account;
pub mod add_image;
pub mod clock;
pub mod history;
pub mod ids;
pub mod image;
pub mod image_id;
pub mod inspected;
pub mod job;
pub mod job_state;
pub mod peer;
pub mod query;
pub mod schedule;
pub mod tag;
pub mod text;
pub mod update_image;
pub mod upload;
