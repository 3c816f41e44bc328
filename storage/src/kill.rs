//! Named places at which a test can end the process as `kill -9` does.

/// Every name that [`kill_point`] is called with, in the order in which an upload, or a whole image, passes them.
pub const KILL_POINTS: &[&str] = &[
    "create.after_data",
    "create.after_checkpoint",
    "write.after_pwrite",
    "copy.after_copy",
    "checkpoint.before_data_sync",
    "checkpoint.after_data_sync",
    "checkpoint.after_slot_write",
    "checkpoint.after_slot_sync",
    "checkpoint.before_rename",
    "finish.before_checkpoint",
    "finish.after_checkpoint",
    "whole.after_create",
    "whole.after_write",
    "whole.after_data_sync",
    "whole.after_dir_sync",
    "whole.before_settle",
    "whole.after_settle",
    "publish.before_rename",
    "publish.after_rename",
    "publish.after_dir_sync",
    "publish.after_checkpoint_remove",
    "discard.before_checkpoint_remove",
    "discard.after_checkpoint_remove",
    "discard.after_data_remove",
];

/// Ends the process with SIGKILL when the environment variable `STORE_KILL_AT` is `name`, or `name:N` and this is the
/// Nth time. Does nothing without the feature `conformance`.
#[cfg(feature = "conformance")]
pub fn kill_point(name: &str) {
    use std::sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    };
    static TARGET: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let target = TARGET.get_or_init(|| parse(&std::env::var("STORE_KILL_AT").ok()?));
    if let Some((at, times)) = target
        && at == name
        && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *times
    {
        let own = rustix::process::getpid();
        // Nothing may happen after the named place, so wait for the end here.
        if rustix::process::kill_process(own, rustix::process::Signal::KILL).is_ok() {
            loop {
                std::thread::park();
            }
        }
    }
}

/// Does nothing: kill points exist only with the feature `conformance`.
#[cfg(not(feature = "conformance"))]
#[inline]
pub fn kill_point(_name: &str) {}

#[cfg(feature = "conformance")]
fn parse(text: &str) -> Option<(String, u64)> {
    match text.split_once(':') {
        Some((name, times)) => Some((name.to_owned(), times.parse().ok()?)),
        None => Some((text.to_owned(), 1)),
    }
}
