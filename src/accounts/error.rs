//! Why a login, a session, a signature or a change of an account is refused.

use crate::{db::DbError, domain::ids::AccessKeyId};

/// Why something about an account is refused. Nothing was changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AccountError {
    /// Unknown account or wrong password; which of them is not told.
    #[error("wrong account name or password")]
    WrongPassword,
    /// Too many wrong passwords for this account from this address.
    #[error(
        "too many wrong passwords for this account from this address; nothing was tried: wait {wait_secs} seconds"
    )]
    TooManyAttempts {
        /// Until the next one is tried.
        wait_secs: u64,
    },
    /// The session does not exist or has ended.
    #[error("Session expired")]
    SessionExpired,
    /// The account has as many sessions as it may have.
    #[error("the account has too many sessions; log out of one, or wait until one ends")]
    TooManySessions,
    /// The `Date` of a signed request is not of now.
    #[error("requestTimeTooSkewed")]
    TimeTooSkewed,
    /// No such access key, or its account may not log in.
    #[error("access key id[{id}] is not known, or its account is disabled")]
    UnknownAccessKey {
        /// The public half.
        id: AccessKeyId,
    },
    /// The request was signed with another secret, or is not the one that was signed.
    #[error("wrong accessKey signature")]
    WrongSignature,
    /// The secret was sealed with another server key.
    #[error("access key id[{id}] was made with another server key; make a new one")]
    SealedByAnother {
        /// The public half.
        id: AccessKeyId,
    },
    /// The account has as many access keys as it may have.
    #[error("the account has too many access keys; delete one")]
    TooManyAccessKeys,
    /// The old password that has to be given with a new one is wrong.
    #[error("the old password is wrong; the password was not changed")]
    WrongOldPassword,
    /// There is no such account, or the caller may not see it.
    #[error("there is no account {0}")]
    NoSuchAccount(String),
    /// The name is taken.
    #[error("there is an account named {0} already")]
    NameTaken(String),
    /// Something that was given cannot be taken; in words.
    #[error("{0}")]
    Invalid(&'static str),
    /// The system gave no random bytes.
    #[error("no secret could be made: the system gives no random bytes")]
    NoRandomness,
    /// The records cannot be reached.
    #[error(transparent)]
    Db(#[from] DbError),
}
