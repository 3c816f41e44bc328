//! Accounts, sessions, access keys and upload capabilities: who may do what.

mod access_keys;
mod administration;
mod attempts;
mod capability;
mod download;
mod error;
mod password;
mod plain_login;
mod sdk_signature;
mod sealed;
mod server_key;
mod sessions;
mod signature;

pub use access_keys::NewAccessKey;
pub use administration::ChangeRequest;
pub use attempts::{ATTEMPTS_MAX, ATTEMPTS_WINDOW_MS};
pub use capability::{Capabilities, Capability};
pub use download::{DOWNLOAD_MS, Download, Downloads};
pub use error::AccountError;
pub use plain_login::{LoggedIn, Login};
pub use sdk_signature::{MalformedSdkSignature, SDK_SCHEME, SdkSignedRequest, Sent};
pub use server_key::{KeyError, ServerKey};
pub use sessions::{Accounts, Identified, OpenedSession, Proof, SessionLimits};
pub use signature::{MalformedSignature, SKEW_MAX_MS, SignedRequest};
