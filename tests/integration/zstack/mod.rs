//! The control plane as ZStack's SDKs and API pages use it.

mod calls;
mod faults;
mod golden;
mod queries;
mod script;
