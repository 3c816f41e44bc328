//! Accounts, sessions, access keys and upload capabilities: who may do what.

mod access_keys;
mod administration;
mod attempts;
mod capability;
mod error;
mod password;
mod server_key;
mod sessions;
mod signature;

pub use access_keys::NewAccessKey;
pub use administration::ChangeRequest;
pub use attempts::{ATTEMPTS_MAX, ATTEMPTS_WINDOW_MS};
pub use capability::{Capabilities, Capability};
pub use error::AccountError;
pub use server_key::{KeyError, ServerKey};
pub use sessions::{Accounts, Identified, OpenedSession, Proof, SessionLimits};
pub use signature::{MalformedSignature, SKEW_MAX_MS, SignedRequest};
