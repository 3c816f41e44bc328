//! The control plane as ZStack's SDKs and API pages use it.

mod calls;
mod faults;
mod form;
mod golden;
mod queries;
mod script;

pub(crate) use golden::{PASSWORD_SHA512, image_bytes};
