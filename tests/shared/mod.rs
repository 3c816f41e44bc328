//! What the suites with a real server process share: the process, a client of its own, repeatable randomness, what
//! other tools say of files.

pub(crate) mod client;
pub(crate) mod files;
pub(crate) mod random;
pub(crate) mod ranges;
pub(crate) mod server;

/// Of the account `admin`, in every suite.
pub(crate) const PASSWORD: &str = "crash-test";

/// A number from the environment.
pub(crate) fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// A runtime for one test.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    // reqwest is built without a TLS provider of its own; only plain HTTP is spoken here.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}
