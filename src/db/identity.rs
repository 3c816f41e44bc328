//! What is kept of accounts, their sessions and their access keys.

use async_trait::async_trait;

use super::Result;
use crate::domain::{
    account::{AccessKeyRecord, Account, AccountChange, Scope, SessionRecord},
    clock::EpochMs,
    ids::{AccessKeyId, AccountUuid},
};

/// Accounts.
#[async_trait]
pub trait AccountRepository: Send + Sync + 'static {
    /// Records an account; `false` if the name is taken.
    async fn create_account(&self, account: Account) -> Result<bool>;
    /// The account with this login name.
    async fn account_named(&self, name: &str) -> Result<Option<Account>>;
    /// The account.
    async fn account(&self, uuid: AccountUuid) -> Result<Option<Account>>;
    /// Accounts in order of uuid, those after `after`; at most `limit`.
    async fn accounts(&self, after: Option<AccountUuid>, limit: u64) -> Result<Vec<Account>>;
    /// Changes an account; with a new password its sessions end in the same step. `false` if there is none, or if its password is
    /// another one than the change counts on.
    async fn change_account(
        &self,
        uuid: AccountUuid,
        change: AccountChange,
        now_ms: EpochMs,
    ) -> Result<bool>;
    /// Lets an account log in, or not any more: then its sessions end in the same step, and its access keys sleep. `false` if there
    /// is none.
    async fn enable_account(
        &self,
        uuid: AccountUuid,
        enabled: bool,
        now_ms: EpochMs,
    ) -> Result<bool>;
}

/// Sessions.
#[async_trait]
pub trait SessionRepository: Send + Sync + 'static {
    /// Records a session if the account has fewer than `sessions_max` that have not ended; `false` otherwise. Sessions of anybody
    /// that ended before it began go.
    async fn open_session(&self, session: SessionRecord, sessions_max: u64) -> Result<bool>;
    /// The session and its account, if it has not ended at `now_ms` and the account may log in.
    async fn session(
        &self,
        token_sha256: [u8; 32],
        now_ms: EpochMs,
    ) -> Result<Option<(SessionRecord, Account)>>;
    /// Sets the end of a session that has not ended at `now_ms`; `false` if there is none.
    async fn renew_session(
        &self,
        token_sha256: [u8; 32],
        expires_ms: EpochMs,
        now_ms: EpochMs,
    ) -> Result<bool>;
    /// Ends one session. Idempotent. Sessions past `now_ms` go as well.
    async fn close_session(&self, token_sha256: [u8; 32], now_ms: EpochMs) -> Result<()>;
    /// Removes sessions that ended before `now_ms`; answers how many.
    async fn prune_sessions(&self, now_ms: EpochMs) -> Result<u64>;
}

/// Access keys.
#[async_trait]
pub trait AccessKeyRepository: Send + Sync + 'static {
    /// Records an access key if its account has fewer than `keys_max`; `false` otherwise.
    async fn create_access_key(&self, key: AccessKeyRecord, keys_max: u64) -> Result<bool>;
    /// The access key and its account, if that may log in.
    async fn access_key(&self, id: &AccessKeyId) -> Result<Option<(AccessKeyRecord, Account)>>;
    /// Access keys of an account, or of all, in order of id, those after `after`; at most `limit`. Also those of accounts that may
    /// not log in.
    async fn access_keys(
        &self,
        scope: Scope,
        after: Option<&AccessKeyId>,
        limit: u64,
    ) -> Result<Vec<AccessKeyRecord>>;
    /// Forgets an access key; `false` if there was none.
    async fn delete_access_key(&self, id: &AccessKeyId) -> Result<bool>;
}
