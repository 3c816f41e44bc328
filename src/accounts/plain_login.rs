//! Logging in with the plain password, as clients do whose protocol knows no other way (Keystone). ZStack's clients send its SHA-512; from
//! there on both are the same, with the same bounds.

use std::net::IpAddr;

use super::{AccountError, Accounts, OpenedSession, password};
use crate::domain::ids::AccountUuid;

/// By what an account is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login<'a> {
    /// By its name.
    Name(&'a str),
    /// By its identifier.
    Uuid(AccountUuid),
}

/// Who has logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedIn {
    /// The session.
    pub session: OpenedSession,
    /// The account's name.
    pub name: String,
}

impl Accounts {
    /// Opens a session. An identifier that no account has takes as long as a wrong password, and is told the same.
    pub async fn log_in_plain(
        &self,
        login: Login<'_>,
        password: &str,
        peer: IpAddr,
    ) -> Result<LoggedIn, AccountError> {
        let name = match login {
            Login::Name(name) => name.to_owned(),
            Login::Uuid(uuid) => {
                // No name holds a control character; whoever guesses identifiers is counted all the same.
                let found = self.db.account(uuid).await?;
                found.map_or_else(|| format!("\u{1}{uuid}"), |account| account.name)
            }
        };
        let session = self.log_in(&name, &password::sha512_hex(password), peer).await?;
        Ok(LoggedIn { session, name })
    }
}
