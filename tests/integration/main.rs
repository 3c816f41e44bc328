//! Tests through public interfaces, one binary so that they link once. Those that need PostgreSQL are ignored unless asked for:
//! `REQUIRE_POSTGRES=1 cargo test --test integration -- --include-ignored`.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod accounts;
mod contract;
mod data_plane;
mod db;
mod ims;
mod lifecycle;
mod resumable;
mod scale;
mod starting;
mod support {
    pub(crate) mod app;
    pub(crate) mod databases;
    pub(crate) mod fill;
    pub(crate) mod postgres;
}
mod zstack;
