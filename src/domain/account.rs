//! Accounts and sessions.

use super::{
    clock::EpochMs,
    ids::{AccessKeyId, AccountUuid, StorageUuid},
};

/// Who uses the service. The account named `admin` sees everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its identifier.
    pub uuid: AccountUuid,
    /// Login name, unique.
    pub name: String,
    /// Argon2id over the lower-hex SHA-512 of the password, in PHC form.
    pub password_hash: String,
    /// Whether it sees the objects of all accounts.
    pub admin: bool,
    /// Whether it may log in.
    pub enabled: bool,
    /// What it is for, in words.
    pub description: Option<String>,
    /// When it was created.
    pub created_ms: EpochMs,
    /// When it was last changed.
    pub last_op_ms: EpochMs,
}

/// What becomes of an account. What is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountChange {
    /// A new password, hashed. Every session of the account but `keep_session` ends in the same step.
    pub password_hash: Option<String>,
    /// A new description.
    pub description: Option<String>,
    /// The session that outlives a new password: that of whoever sets it.
    pub keep_session: Option<[u8; 32]>,
    /// The hash of the password that was shown to be known: nothing is changed if it is another one by now.
    pub old_password_hash: Option<String>,
}

/// An access key as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessKeyRecord {
    /// Its public half.
    pub id: AccessKeyId,
    /// Whose it is.
    pub account: AccountUuid,
    /// The secret, sealed with a key of the server; base64.
    pub sealed_secret: String,
    /// When it was made.
    pub created_ms: EpochMs,
}

/// A session as it is stored: the token itself is known to the client alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// SHA-256 of the token's 32 hex digits.
    pub token_sha256: [u8; 32],
    /// Whose it is.
    pub account: AccountUuid,
    /// When it was opened.
    pub created_ms: EpochMs,
    /// When it ends.
    pub expires_ms: EpochMs,
}

/// Whose objects a call may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everybody's: the admin, and the service itself.
    All,
    /// One account's.
    Account(AccountUuid),
}

/// The one storage, as `QueryBackupStorage` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageRecord {
    /// Its identifier: the store's own.
    pub uuid: StorageUuid,
    /// Name.
    pub name: String,
    /// When it was first opened.
    pub created_ms: EpochMs,
}

/// Who makes a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// Their account.
    pub account: crate::domain::ids::AccountUuid,
    /// Whether they see the objects of all accounts.
    pub admin: bool,
}

impl Caller {
    /// Whose objects they may see.
    pub const fn scope(self) -> Scope {
        if self.admin { Scope::All } else { Scope::Account(self.account) }
    }

    /// As the owner of one account's objects and of nothing else; `None` for somebody else's account, unless an admin asks.
    pub fn within(self, account: AccountUuid) -> Option<Self> {
        let may = self.admin || self.account == account;
        may.then_some(Self { account, admin: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_alone_looks_into_other_accounts() {
        let (own, other) = (AccountUuid::random(), AccountUuid::random());
        let user = Caller { account: own, admin: false };
        let admin = Caller { account: own, admin: true };
        assert_eq!(user.within(own), Some(user));
        assert_eq!(user.within(other), None);
        for account in [own, other] {
            let within = admin.within(account).unwrap();
            assert_eq!(within.scope(), Scope::Account(account));
        }
    }
}
