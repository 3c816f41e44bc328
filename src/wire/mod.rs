//! The words of each dialect as types: what goes over the wire, without a rule about it. Shared by the server and the client.

pub mod ims;
pub mod native;
pub mod page;
pub mod problem;
pub mod reason;
pub mod zstack;
