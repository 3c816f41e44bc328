//! The upload client as a library: no terminal output, everything a person should see is an [`events::Event`].
//!
//! An upload belongs to the server: the client needs no file of its own. It names its file by a [`fingerprint`], asks
//! the server what is missing under that name, and sends exactly that. So the same call resumes after a crash of the
//! client, after a restart of the server, and on another machine.
//!
//! ```no_run
//! use longshore::client::{api::Api, error::ClientError, events::silent, records::NewImage};
//! use longshore::client::uploader::{Outcome, UploadOptions, Uploader};
//!
//! # async fn f() -> Result<(), ClientError> {
//! let api = Api::new("http://127.0.0.1:8080", None)?;
//! let session = api.login("admin", "the password").await?;
//! let api = api.with_session(Some(session.uuid));
//! let uploader = Uploader::new(api, UploadOptions::new(), silent());
//! match uploader.upload("disk.qcow2".as_ref(), &NewImage::named("disk")).await? {
//!     Outcome::Ready(image) => println!("{} {:?}", image.image_uuid, image.sha256),
//!     Outcome::Interrupted { job_uuid, .. } => println!("go on later: {job_uuid:?}"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! - **One call, one image.** [`uploader::Uploader::upload`] finds the upload that goes on, the image that is there already, or
//!   makes a new job; sends what is missing, a few slices at once, each with a CRC-32C; waits until the server has
//!   verified, inspected and published it; compares the digests with those of the file. `upload_stream` does the same for
//!   bytes that come once.
//! - **Trouble is waited for.** Broken connections, restarts and `Retry-After` are retried with back-off and jitter until
//!   nothing has moved for as long as the [`retry::Policy`] allows. Every wait is an event.
//! - **Errors are by what a caller can do**: [`error::ErrorKind`]. After `Resumable` the same call goes on; nothing that
//!   the server has stored is lost after any of them.
//! - **A file that has changed** since its upload was begun is refused before a byte is sent, by [`changed`].
//! - **Stopping**: [`uploader::Uploader::suspend`] from anywhere ends a running call, which suspends its job. Dropping the
//!   future stops it too; the server then suspends the job by itself.
//! - **Limits**: memory is `parallel * slice_bytes_max` for a file, twice that for a stream; [`rate::RateLimit`] bounds the
//!   rate of all uploaders that share it.
//!
//! Calls block no worker: files are read and hashed on tokio's blocking threads. A multi-threaded or a current-thread
//! runtime with time and I/O enabled is needed. `examples/upload.rs` is a whole program.

pub mod api;
mod buffers;
pub mod changed;
mod compare;
pub mod content;
pub mod digests;
pub mod download;
pub mod error;
pub mod events;
pub mod fingerprint;
pub mod load;
mod locate;
pub mod plan;
pub mod probe;
pub mod rate;
pub mod records;
pub mod retry;
pub mod schedule;
pub mod sender;
mod stream;
pub mod transfer;
pub mod uploader;

#[cfg(test)]
mod stub;
#[cfg(test)]
mod tests;

use std::{
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use reqwest::Url;

use error::ClientError;

/// How long a connection may take to come up.
const CONNECT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// A lock whose holder cannot have left it half changed.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An HTTP client for `server`. Follows no redirects (an upload must not be sent twice) and takes proxies from the
/// environment only where the server is not this machine.
pub fn http_client(server: &Url) -> Result<reqwest::Client, ClientError> {
    // The first call installs it; a later one finds it there, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = {
        let builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("longshore/", env!("CARGO_PKG_VERSION")));
        let builder = if is_loopback(server) { builder.no_proxy() } else { builder };
        // Plain http must work in a bare container, which has no certificates of authorities to load.
        if server.scheme() == "http" { builder.tls_certs_only([]) } else { builder }
    };
    builder.build().map_err(|error| ClientError::Usage {
        words: format!("no HTTP client for {}: {error}", server.host_str().unwrap_or_default()),
    })
}

/// Whether an address is of this machine, by its host alone: no name is looked up.
pub fn is_loopback(server: &Url) -> bool {
    let Some(host) = server.host_str() else { return false };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod loopback_tests {
    use super::*;

    #[test]
    fn loopback_hosts_are_known_in_every_form() {
        for (text, expected) in [
            ("http://127.0.0.1:8080", true),
            ("http://127.9.9.9/", true),
            ("http://[::1]:8080/x", true),
            ("https://LOCALHOST", true),
            ("http://10.0.0.1", false),
            ("http://localhost.example.org", false),
        ] {
            assert_eq!(is_loopback(&text.parse().unwrap()), expected, "{text}");
        }
    }
}
