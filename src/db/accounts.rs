//! Accounts and sessions.

use async_trait::async_trait;

use crate::domain::{
    account::{Account, AccountChange, SessionRecord},
    clock::EpochMs,
    ids::AccountUuid,
    tag::hex,
};

use super::{
    AccountRepository, Result, SessionRepository,
    dialect::{Dialect, Link, SqlText},
    rows,
    sql::SqlDatabase,
    statements as st,
    values::{rows_max, values},
    write::Write,
};

#[async_trait]
impl<D: Dialect> AccountRepository for SqlDatabase<D> {
    async fn create_account(&self, account: Account) -> Result<bool> {
        self.write(CreateAccount(account)).await
    }

    async fn account_named(&self, name: &str) -> Result<Option<Account>> {
        self.read_one(st::ACCOUNT_BY_NAME, values![name], rows::account).await
    }

    async fn account(&self, uuid: AccountUuid) -> Result<Option<Account>> {
        self.read_one(st::ACCOUNT_BY_UUID, values![uuid], rows::account).await
    }

    async fn accounts(&self, after: Option<AccountUuid>, limit: u64) -> Result<Vec<Account>> {
        self.read_all(SqlText::Fixed(st::ACCOUNTS), values![after, rows_max(limit)], rows::account)
            .await
    }

    async fn change_account(
        &self,
        uuid: AccountUuid,
        change: AccountChange,
        now_ms: EpochMs,
    ) -> Result<bool> {
        self.write(ChangeAccount { uuid, change, now_ms }).await
    }

    async fn enable_account(
        &self,
        uuid: AccountUuid,
        enabled: bool,
        now_ms: EpochMs,
    ) -> Result<bool> {
        self.write(EnableAccount { uuid, enabled, now_ms }).await
    }
}

#[async_trait]
impl<D: Dialect> SessionRepository for SqlDatabase<D> {
    async fn open_session(&self, session: SessionRecord, sessions_max: u64) -> Result<bool> {
        self.write(OpenSession { session, sessions_max }).await
    }

    async fn session(
        &self,
        token_sha256: [u8; 32],
        now_ms: EpochMs,
    ) -> Result<Option<(SessionRecord, Account)>> {
        self.read_one(st::SESSION_BY_TOKEN, values![hex(&token_sha256), now_ms], |row| {
            Ok((rows::session(row)?, rows::account(row)?))
        })
        .await
    }

    async fn renew_session(
        &self,
        token_sha256: [u8; 32],
        expires_ms: EpochMs,
        now_ms: EpochMs,
    ) -> Result<bool> {
        self.write(RenewSession { token_sha256, expires_ms, now_ms }).await
    }

    async fn close_session(&self, token_sha256: [u8; 32], now_ms: EpochMs) -> Result<()> {
        self.write(CloseSession { token_sha256, now_ms }).await
    }

    async fn prune_sessions(&self, now_ms: EpochMs) -> Result<u64> {
        self.write(PruneSessions(now_ms)).await
    }
}

struct PruneSessions(EpochMs);

impl Write for PruneSessions {
    type Answer = u64;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<u64> {
        link.execute(st::SESSIONS_PURGE, values![self.0]).await
    }
}

struct CreateAccount(Account);

impl Write for CreateAccount {
    type Answer = bool;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<bool> {
        let Account {
            uuid,
            name,
            password_hash,
            admin,
            enabled,
            description,
            created_ms,
            last_op_ms,
        } = &self.0;
        let values = values![
            *uuid,
            name,
            password_hash,
            *admin,
            *enabled,
            description,
            *created_ms,
            *last_op_ms
        ];
        Ok(link.execute(st::ACCOUNT_INSERT, values).await? > 0)
    }
}

struct ChangeAccount {
    uuid: AccountUuid,
    change: AccountChange,
    now_ms: EpochMs,
}

impl Write for ChangeAccount {
    type Answer = bool;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<bool> {
        let AccountChange { password_hash, description, keep_session, old_password_hash } =
            &self.change;
        let values = values![self.uuid, password_hash, description, self.now_ms, old_password_hash];
        let found = link.execute(st::ACCOUNT_CHANGE, values).await? > 0;
        if found && password_hash.is_some() {
            // A session that is being opened at this moment is there before all end, or its login sees what was changed.
            link.execute(st::TURN_TAKE, values![self.uuid]).await?;
            let kept = keep_session.as_ref().map(|token| hex(token));
            link.execute(st::SESSIONS_CLOSE_BUT, values![self.uuid, kept]).await?;
        }
        Ok(found)
    }
}

struct EnableAccount {
    uuid: AccountUuid,
    enabled: bool,
    now_ms: EpochMs,
}

impl Write for EnableAccount {
    type Answer = bool;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<bool> {
        let values = values![self.uuid, self.enabled, self.now_ms];
        let found = link.execute(st::ACCOUNT_ENABLE, values).await? > 0;
        if found && !self.enabled {
            link.execute(st::TURN_TAKE, values![self.uuid]).await?;
            let none: Option<&str> = None;
            link.execute(st::SESSIONS_CLOSE_BUT, values![self.uuid, none]).await?;
        }
        Ok(found)
    }
}

struct OpenSession {
    session: SessionRecord,
    sessions_max: u64,
}

impl Write for OpenSession {
    type Answer = bool;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<bool> {
        let SessionRecord { token_sha256, account, created_ms, expires_ms } = &self.session;
        link.execute(st::TURN_TAKE, values![*account]).await?;
        // Here and not on a timer: rows come into being with logins, so that they go with them as well.
        link.execute(st::SESSIONS_PURGE, values![*created_ms]).await?;
        let count = SqlText::Fixed(st::SESSIONS_COUNT);
        if link.number(count, values![*account, *created_ms]).await? >= self.sessions_max {
            return Ok(false);
        }
        let values = values![hex(token_sha256), *account, *created_ms, *expires_ms];
        link.execute(st::SESSION_INSERT, values).await?;
        Ok(true)
    }

    fn keeps(answer: &bool) -> bool {
        *answer
    }
}

struct RenewSession {
    token_sha256: [u8; 32],
    expires_ms: EpochMs,
    now_ms: EpochMs,
}

impl Write for RenewSession {
    type Answer = bool;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<bool> {
        let values = values![hex(&self.token_sha256), self.expires_ms, self.now_ms];
        Ok(link.execute(st::SESSION_RENEW, values).await? > 0)
    }
}

struct CloseSession {
    token_sha256: [u8; 32],
    now_ms: EpochMs,
}

impl Write for CloseSession {
    type Answer = ();

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<()> {
        let values = values![hex(&self.token_sha256), self.now_ms];
        link.execute(st::SESSION_CLOSE, values).await.map(drop)
    }
}
