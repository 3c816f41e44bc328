//! Making accounts, letting them in or not, and changing their passwords.
//!
//! # Guarantees
//! * A new password ends every session of the account in the same step, apart from the one that set it.
//! * A disabled account has no session from then on, and its access keys are refused; they are kept, and work again once it is enabled.
//!   Upload URLs that were handed out before go on: a running upload belongs to whoever has its URL.

use std::net::IpAddr;

use super::{
    AccountError, Accounts, access_keys::random_text, attempts::Pair, password,
    sessions::token_sha256,
};
use crate::domain::{
    account::{Account, AccountChange, Caller},
    ids::{AccountUuid, SessionUuid},
};

/// Accounts that are read at once.
const PAGE: u64 = 500;
/// Longest name.
const NAME_CHARS_MAX: usize = 255;
/// Characters of a password: as for the one of `admin` in the settings.
const PASSWORD_CHARS: std::ops::RangeInclusive<usize> = 8..=256;
/// Letters and digits of a generated password, without those that look alike: 20 of 56 are 116 bits.
const GENERATED_CHARS: usize = 20;
const GENERATED_FROM: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";

/// A change that an account, or an admin, asks for over the API.
#[derive(Clone, Default)]
pub struct ChangeRequest {
    /// The name. It cannot be changed; clients send it all the same.
    pub name: Option<String>,
    /// The new password as clients send it: lower-hex SHA-512.
    pub password: Option<String>,
    /// The old one in the same form.
    pub old_password: Option<String>,
    /// A new description.
    pub description: Option<String>,
}

impl Accounts {
    /// Makes an account. `password` is the plain one.
    pub async fn create_account(
        &self,
        name: &str,
        password: &str,
        admin: bool,
    ) -> Result<Account, AccountError> {
        check_name(name)?;
        check_password(password)?;
        let password_hash = self.hashed(password::sha512_hex(password)).await?;
        let now_ms = self.clock.now_ms();
        let account = Account {
            uuid: AccountUuid::random(),
            name: name.to_owned(),
            password_hash,
            admin,
            enabled: true,
            description: None,
            created_ms: now_ms,
            last_op_ms: now_ms,
        };
        if self.db.create_account(account.clone()).await? {
            Ok(account)
        } else {
            Err(AccountError::NameTaken(name.to_owned()))
        }
    }

    /// A password that nobody has to think of.
    pub fn generate_password() -> Result<String, AccountError> {
        random_text(GENERATED_CHARS, GENERATED_FROM).ok_or(AccountError::NoRandomness)
    }

    /// Accounts, pages of at most 500 in order of uuid, those after `after`.
    pub async fn accounts(&self, after: Option<AccountUuid>) -> Result<Vec<Account>, AccountError> {
        Ok(self.db.accounts(after, PAGE).await?)
    }

    /// Whether there is such an account, may it log in or not.
    pub async fn exists(&self, uuid: AccountUuid) -> Result<bool, AccountError> {
        Ok(self.db.account(uuid).await?.is_some())
    }

    /// Lets an account log in, or ends its sessions and keeps it out.
    pub async fn enable_account(&self, name: &str, enabled: bool) -> Result<(), AccountError> {
        let account = self.named(name).await?;
        let now_ms = self.clock.now_ms();
        if self.db.enable_account(account.uuid, enabled, now_ms).await? {
            Ok(())
        } else {
            Err(AccountError::NoSuchAccount(name.to_owned()))
        }
    }

    /// Sets a password, the plain one, without asking for the old one: for whoever administers the machine.
    pub async fn reset_password(&self, name: &str, password: &str) -> Result<(), AccountError> {
        check_password(password)?;
        let account = self.named(name).await?;
        self.set_password(account.uuid, password::sha512_hex(password), None).await
    }

    /// Changes an account as it asks for it itself, or an admin. Whoever changes their own password has to know the old one: a session
    /// that was left open must not become the account. An admin needs no old password for others. The session that asks lives on.
    pub async fn change_account(
        &self,
        caller: Caller,
        session: Option<SessionUuid>,
        uuid: AccountUuid,
        request: ChangeRequest,
        peer: IpAddr,
    ) -> Result<Account, AccountError> {
        let own = caller.account == uuid;
        let missing = || AccountError::NoSuchAccount(uuid.to_string());
        if !own && !caller.admin {
            // Whether there is such an account is nobody else's business.
            return Err(missing());
        }
        let account = self.db.account(uuid).await?.ok_or_else(missing)?;
        if request.name.is_some_and(|name| name != account.name) {
            return Err(AccountError::Invalid("the name of an account cannot be changed"));
        }
        let mut change = AccountChange { description: request.description, ..Default::default() };
        if let Some(password) = request.password {
            check_sha512(&password)?;
            self.check_old_password(&account, own, request.old_password, peer).await?;
            change.password_hash = Some(self.hashed(password.to_ascii_lowercase()).await?);
            change.keep_session = session.filter(|_| own).map(token_sha256);
            // An admin may have set another one while this one was checked: theirs stays.
            change.old_password_hash = own.then(|| account.password_hash.clone());
        }
        if !self.db.change_account(uuid, change, self.clock.now_ms()).await? {
            return Err(if own { AccountError::WrongOldPassword } else { missing() });
        }
        self.db.account(uuid).await?.ok_or_else(missing)
    }

    async fn check_old_password(
        &self,
        account: &Account,
        own: bool,
        old: Option<String>,
        peer: IpAddr,
    ) -> Result<(), AccountError> {
        let Some(old) = old else {
            return if own {
                Err(AccountError::Invalid(
                    "field[oldPassword] has to be given with a new password of one's own account",
                ))
            } else {
                Ok(())
            };
        };
        // A stolen session must not become a place to guess at.
        let attempt = self.attempt(&Pair::new(&account.name, peer)).await?;
        if !self.fits(old.to_ascii_lowercase(), account.password_hash.clone()).await {
            return Err(AccountError::WrongOldPassword);
        }
        attempt.was_right();
        Ok(())
    }

    /// The account of that name.
    pub(super) async fn named(&self, name: &str) -> Result<Account, AccountError> {
        let account = self.db.account_named(name).await?;
        account.ok_or_else(|| AccountError::NoSuchAccount(name.to_owned()))
    }

    /// Replaces a password and ends the sessions that are not kept.
    pub(super) async fn set_password(
        &self,
        uuid: AccountUuid,
        sha512_hex: String,
        keep_session: Option<[u8; 32]>,
    ) -> Result<(), AccountError> {
        let password_hash = Some(self.hashed(sha512_hex).await?);
        let change = AccountChange { password_hash, keep_session, ..Default::default() };
        if self.db.change_account(uuid, change, self.clock.now_ms()).await? {
            Ok(())
        } else {
            Err(AccountError::NoSuchAccount(uuid.to_string()))
        }
    }
}

fn check_name(name: &str) -> Result<(), AccountError> {
    let fits = (1..=NAME_CHARS_MAX).contains(&name.chars().count())
        && !name.chars().any(char::is_control)
        && name.trim() == name;
    if fits {
        return Ok(());
    }
    Err(AccountError::Invalid(
        "an account name has 1 to 255 characters, none of them a control character, and no space at its ends",
    ))
}

fn check_password(password: &str) -> Result<(), AccountError> {
    if PASSWORD_CHARS.contains(&password.chars().count()) {
        return Ok(());
    }
    Err(AccountError::Invalid("a password has 8 to 256 characters"))
}

/// A client that sends the password itself would lock itself out: a login sends the digest.
fn check_sha512(password: &str) -> Result<(), AccountError> {
    if password.len() == 128 && password.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    Err(AccountError::Invalid(
        "field[password] has to be the SHA-512 of the password in 128 hex digits, as for a login",
    ))
}
