//! The clients that people use, unchanged, against the real executable: tus-js-client in Node, Uppy in Chromium, tuspy, curl; and the
//! clients of IMS, huaweicloudsdkims and otcextensions. What is stored has to be
//! what was sent, byte for byte.
//!
//! `scripts/test` installs them into `.tools`; `REQUIRE_NODE=1 cargo test --test clients -- --include-ignored` runs them.

#![expect(clippy::cast_possible_truncation, reason = "files of some MiB on 64 bits")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test ends at the first surprise, and what is shared tells its seed"
)]

#[path = "../shared/mod.rs"]
#[expect(dead_code, reason = "each suite uses its part of what they share")]
mod shared;

mod curl;
mod ims;
mod many_parts;
mod oslo;
mod readme;
mod relay;
mod script;
mod service;
mod tus_js;
mod tuspy;
mod uppy;
