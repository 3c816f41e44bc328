//! Accounts, sessions and upload capabilities: who may do what.

mod capability;
mod password;
mod server_key;
mod sessions;

pub use capability::{Capabilities, Capability};
pub use server_key::{KeyError, ServerKey};
pub use sessions::{AccountError, Accounts, OpenedSession, SessionLimits};
