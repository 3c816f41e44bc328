//! The control plane as ZStack's SDKs and API pages use it.

mod faults;
mod golden;
mod script;
