//! The default backend: files of one local directory.

pub mod disk;
#[cfg(feature = "conformance")]
pub mod faulty;
#[cfg(feature = "conformance")]
pub mod power;
#[cfg(feature = "conformance")]
mod power_model;
