//! The default backend: files of one local directory.

pub mod disk;
