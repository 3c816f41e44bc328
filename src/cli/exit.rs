//! Exit codes: a promise to scripts.

use std::process::ExitCode;

use crate::accounts::AccountError;
use crate::client::error::{ClientError, ErrorKind};

/// What `--help` says of them.
pub const EXIT_CODES: &str = "Exit codes:
    0  done
    2  wrong usage, or a local file cannot be read or written, or changed while it was sent
    3  not logged in, or not allowed
    4  no space or no quota on the server
    5  the network gave up; the same command goes on where it stopped
    6  digests differ: the bytes are not what they should be
    7  the server refused or failed
    8  an image would not be taken (`longshore inspect`)
    9  files and records differ (`longshore store check`)
  130  interrupted; the same command goes on where it stopped";

/// Done.
pub const OK: u8 = 0;
/// Interrupted by Ctrl-C; resumable.
pub const INTERRUPTED: u8 = 130;
/// The server refused or failed, and a job that did not succeed.
pub const SERVER: u8 = 7;

/// An image that was inspected here would not be taken.
pub const NOT_TAKEN: u8 = 8;

/// Images are missing or not what they were.
pub const DAMAGED: u8 = of_kind(ErrorKind::Checksum);

/// Files of the store and records differ.
pub const DIFFERS: u8 = 9;

/// The exit code of an error of the client.
pub const fn of_kind(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Usage => 2,
        ErrorKind::Auth => 3,
        ErrorKind::Space => 4,
        ErrorKind::Resumable => 5,
        ErrorKind::Checksum => 6,
        ErrorKind::Server => SERVER,
    }
}

/// The exit code of any error: what is not the client's own is a matter of this machine.
pub fn of(error: &anyhow::Error) -> u8 {
    if let Some(error) = error.downcast_ref::<AccountError>() {
        return of_account(error);
    }
    let client = error.downcast_ref::<ClientError>();
    client.map_or(of_kind(ErrorKind::Usage), |error| of_kind(error.kind()))
}

/// What the records refuse is the service's refusal, whoever asks; what they cannot take is wrong usage.
fn of_account(error: &AccountError) -> u8 {
    match error {
        AccountError::Invalid(_) => of_kind(ErrorKind::Usage),
        AccountError::WrongPassword
        | AccountError::TooManyAttempts { .. }
        | AccountError::SessionExpired
        | AccountError::TimeTooSkewed
        | AccountError::WrongSignature
        | AccountError::WrongOldPassword => of_kind(ErrorKind::Auth),
        AccountError::TooManySessions
        | AccountError::UnknownAccessKey { .. }
        | AccountError::SealedByAnother { .. }
        | AccountError::TooManyAccessKeys
        | AccountError::NoSuchAccount(_)
        | AccountError::NameTaken(_)
        | AccountError::NoRandomness
        | AccountError::Db(_) => SERVER,
    }
}

/// For `main`.
pub fn code(code: u8) -> ExitCode {
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_error_has_the_code_that_the_help_names() {
        let words = || "w".to_owned();
        let refused = || ClientError::Refused { status: 404, code: words(), words: words() };
        let gave_up = ClientError::GaveUp { after: Duration::ZERO, last: words() };
        for (error, expected) in [
            (ClientError::Usage { words: words() }, 2),
            (ClientError::Auth { words: words() }, 3),
            (ClientError::Space { words: words() }, 4),
            (gave_up, 5),
            (ClientError::Suspended { words: words() }, 5),
            (ClientError::Checksum { words: words() }, 6),
            (refused(), 7),
            (ClientError::JobEnded { state: words(), words: words() }, 7),
            (ClientError::Protocol { words: words() }, 7),
        ] {
            assert_eq!(of(&anyhow::Error::new(error)), expected);
            assert!(EXIT_CODES.contains(&format!("  {expected}  ")));
        }
        assert_eq!(of(&anyhow::anyhow!("x").context("y")), 2);
        assert_eq!(of(&anyhow::Error::new(refused()).context("y")), 7, "context hides no code");
    }
}
