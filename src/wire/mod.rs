//! The JSON of each dialect as serde types, shared by the server's adapters and the client.

pub mod native;
pub mod problem;
