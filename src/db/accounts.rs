//! Accounts and sessions.

use async_trait::async_trait;

use crate::domain::{
    account::{Account, SessionRecord},
    clock::EpochMs,
    ids::AccountUuid,
    tag::hex,
};

use super::{
    AccountRepository, Result,
    dialect::{Dialect, Link, SqlText},
    rows,
    sql::SqlDatabase,
    statements as st,
    values::values,
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

    async fn set_password_hash(&self, uuid: AccountUuid, password_hash: String) -> Result<bool> {
        self.write(SetPasswordHash { uuid, password_hash }).await
    }

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

    async fn renew_session(&self, token_sha256: [u8; 32], expires_ms: EpochMs) -> Result<bool> {
        self.write(RenewSession { token_sha256, expires_ms }).await
    }

    async fn close_session(&self, token_sha256: [u8; 32], now_ms: EpochMs) -> Result<()> {
        self.write(CloseSession { token_sha256, now_ms }).await
    }
}

struct CreateAccount(Account);

impl Write for CreateAccount {
    type Answer = bool;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<bool> {
        let Account { uuid, name, password_hash, admin, enabled, created_ms } = &self.0;
        let values = values![*uuid, name, password_hash, *admin, *enabled, *created_ms];
        Ok(link.execute(st::ACCOUNT_INSERT, values).await? > 0)
    }
}

struct SetPasswordHash {
    uuid: AccountUuid,
    password_hash: String,
}

impl Write for SetPasswordHash {
    type Answer = bool;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<bool> {
        let values = values![self.uuid, &self.password_hash];
        Ok(link.execute(st::ACCOUNT_PASSWORD, values).await? > 0)
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
}

impl Write for RenewSession {
    type Answer = bool;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<bool> {
        let values = values![hex(&self.token_sha256), self.expires_ms];
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
