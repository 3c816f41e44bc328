//! What can go wrong for a client. Every variant is something that a caller treats differently.

use std::{io, path::PathBuf, time::Duration};

/// What kind of end an error is; the CLI's exit codes are a mapping of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The call or the local file is wrong; sending it again changes nothing.
    Usage,
    /// Not logged in, or not allowed.
    Auth,
    /// No space or no quota on the server.
    Space,
    /// The network gave up or somebody suspended the job; the same call resumes.
    Resumable,
    /// The bytes are not what they should be.
    Checksum,
    /// The server refused or failed.
    Server,
}

/// An error of the client, in words for a person.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The call makes no sense.
    #[error("{words}")]
    Usage {
        /// What to change.
        words: String,
    },
    /// A local file cannot be read or written.
    #[error("{path}: cannot {doing}", path = path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What was tried, as a verb: `open it`.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The file changed while it was sent.
    #[error(
        "{path} changed while it was being sent ({what}). The bytes on the server are of the file as it was before. \
         Cancel that upload with `longshore jobs cancel {job}` and upload the file again once nobody writes to it.",
        path = path.display()
    )]
    FileChanged {
        /// Which file.
        path: PathBuf,
        /// What differs: its size or its modification time.
        what: &'static str,
        /// The job that holds the older bytes.
        job: String,
    },
    /// The file is not what its unfinished upload was begun with. Nothing was sent.
    #[error(
        "{path} is not what its upload was begun with: {what}. Nothing was sent, and job {job} keeps what it has. Choose: \
         put the file back as it was and run the same command; or add `--changed anew`, which gives that job up and sends \
         the file as it is now{}.",
        if *time_only {
            "; or, if its content is the same, `--changed same`, which goes on and compares the digests of the whole at the end"
        } else {
            ""
        },
        path = path.display()
    )]
    FileDiffers {
        /// Which file.
        path: PathBuf,
        /// What differs, in words.
        what: String,
        /// The job that was begun with the older file.
        job: String,
        /// Whether its modification time is all that differs, as far as can be seen.
        time_only: bool,
    },
    /// No valid session, or no right.
    #[error("{words}")]
    Auth {
        /// What the server said and what to do.
        words: String,
    },
    /// The server has no room for it.
    #[error("{words}")]
    Space {
        /// What the server said.
        words: String,
    },
    /// No progress for too long. What was acknowledged is kept.
    #[error(
        "gave up after {secs} s without progress; the last attempt: {last}. Nothing that the server has stored is \
         lost; run the same command again to go on.",
        secs = after.as_secs()
    )]
    GaveUp {
        /// How long nothing moved.
        after: Duration,
        /// Words of the last failure.
        last: String,
    },
    /// Somebody else suspended the job while bytes were being sent.
    #[error("{words}")]
    Suspended {
        /// What the server said.
        words: String,
    },
    /// Digests differ.
    #[error("{words}")]
    Checksum {
        /// Which, and what is kept.
        words: String,
    },
    /// The server said no.
    #[error("{words}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The server's code, or empty.
        code: String,
        /// Its words.
        words: String,
    },
    /// The job ended without an image.
    #[error("the job ended as {state}: {words}")]
    JobEnded {
        /// Failed or Canceled.
        state: String,
        /// Why.
        words: String,
    },
    /// The server's answer cannot be understood.
    #[error("{words}")]
    Protocol {
        /// What was expected and what came.
        words: String,
    },
    /// A failure that time may heal. Callers of the library see it only from calls that do not retry.
    #[error("{words}")]
    Transient {
        /// What happened.
        words: String,
        /// When the server wants to be asked again.
        retry_after: Option<Duration>,
    },
}

impl ClientError {
    /// What kind of end it is.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Usage { .. }
            | Self::File { .. }
            | Self::FileChanged { .. }
            | Self::FileDiffers { .. } => ErrorKind::Usage,
            Self::Auth { .. } => ErrorKind::Auth,
            Self::Space { .. } => ErrorKind::Space,
            Self::GaveUp { .. } | Self::Suspended { .. } | Self::Transient { .. } => {
                ErrorKind::Resumable
            }
            Self::Checksum { .. } => ErrorKind::Checksum,
            Self::Refused { .. } | Self::JobEnded { .. } | Self::Protocol { .. } => {
                ErrorKind::Server
            }
        }
    }

    /// Words for a failure of the connection. A certificate that is not trusted does not heal with time.
    pub(super) fn of_request(error: &reqwest::Error) -> Self {
        let words = innermost(error);
        if error.is_builder() {
            return Self::Usage { words };
        }
        if let Some(cause) = std::error::Error::source(error).and_then(tls_error) {
            let next = trusted_next(cause);
            return Self::Refused {
                status: 0,
                code: "tls".to_owned(),
                words: format!("no trusted connection to the server: {words}. {next}"),
            };
        }
        Self::Transient { words, retry_after: None }
    }
}

/// The first and the innermost cause: what was tried and what the system said. Holds no URL, which may be a secret.
fn innermost(error: &reqwest::Error) -> String {
    let outer = if error.is_timeout() {
        "the server did not answer in time"
    } else if error.is_connect() {
        return cannot_reach(error);
    } else {
        "the connection broke"
    };
    with_cause(outer, error)
}

/// Whoever mistyped the address has to see it: host and port, never the path.
fn cannot_reach(error: &reqwest::Error) -> String {
    let host = error.url().and_then(reqwest::Url::host_str);
    let port = error.url().and_then(reqwest::Url::port_or_known_default);
    match (host, port) {
        (Some(host), Some(port)) => {
            with_cause(&format!("cannot reach the server at {host}:{port}"), error)
        }
        _ => with_cause("cannot reach the server", error),
    }
}

fn with_cause(outer: &str, error: &reqwest::Error) -> String {
    let mut last: Option<String> = None;
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        last = Some(cause.to_string());
        source = cause.source();
    }
    last.map_or_else(|| outer.to_owned(), |cause| format!("{outer} ({cause})"))
}

/// An I/O error names the source of what it holds, not what it holds, and may hold another: each layer is looked into.
fn tls_error<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let held = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    cause
        .downcast_ref()
        .or_else(|| held.and_then(|held| tls_error(held)))
        .or_else(|| cause.source().and_then(tls_error))
}

/// What to do about a certificate. Foreign enums grow, so whatever has no advice of its own gets the general one.
fn trusted_next(error: &rustls::Error) -> &'static str {
    use rustls::CertificateError as Why;

    // `openssl req -x509` makes this unless told otherwise; the cause has no type of its own.
    if error.to_string().contains("CaUsedAsEndEntity") {
        return "The certificate says that it is an authority, and no server can be one: make it anew with `-addext \
                basicConstraints=critical,CA:FALSE`, or sign another one with it";
    }
    match error {
        rustls::Error::InvalidCertificate(Why::UnknownIssuer) => {
            "Nobody whom this machine trusts has signed its certificate: if it is yours, name its file in SSL_CERT_FILE"
        }
        rustls::Error::InvalidCertificate(
            Why::Expired
            | Why::ExpiredContext { .. }
            | Why::NotValidYet
            | Why::NotValidYetContext { .. },
        ) => "Its certificate is over or not yet valid: renew it, and look at this machine's clock",
        rustls::Error::InvalidCertificate(
            Why::NotValidForName | Why::NotValidForNameContext { .. },
        ) => "Its certificate is for another name: use the address that the certificate names",
        _ => "Look whether the address speaks TLS, and at the server's certificate",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_tls_is_known_under_any_number_of_layers() {
        let tls = || rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        assert!(tls_error(&tls()).is_some());
        assert!(tls_error(&io::Error::other(tls())).is_some());
        assert!(tls_error(&io::Error::other(io::Error::other(tls()))).is_some());
        assert!(tls_error(&io::Error::other(io::Error::other("reset"))).is_none());
    }
}
