//! Access keys.

use async_trait::async_trait;

use crate::domain::{
    account::{AccessKeyRecord, Account, Scope},
    ids::AccessKeyId,
};

use super::{
    AccessKeyRepository, Result,
    dialect::{Dialect, Link, SqlText},
    rows,
    sql::SqlDatabase,
    statements as st,
    values::{rows_max, values},
    write::Write,
};

#[async_trait]
impl<D: Dialect> AccessKeyRepository for SqlDatabase<D> {
    async fn create_access_key(&self, key: AccessKeyRecord, keys_max: u64) -> Result<bool> {
        self.write(CreateAccessKey { key, keys_max }).await
    }

    async fn access_key(&self, id: &AccessKeyId) -> Result<Option<(AccessKeyRecord, Account)>> {
        self.read_one(st::ACCESS_KEY_BY_ID, values![id.as_str()], |row| {
            Ok((rows::access_key(row)?, rows::account(row)?))
        })
        .await
    }

    async fn access_keys(
        &self,
        scope: Scope,
        after: Option<&AccessKeyId>,
        limit: u64,
    ) -> Result<Vec<AccessKeyRecord>> {
        let values = values![scope, after.map(AccessKeyId::as_str), rows_max(limit)];
        self.read_all(SqlText::Fixed(st::ACCESS_KEYS), values, rows::access_key).await
    }

    async fn delete_access_key(&self, id: &AccessKeyId) -> Result<bool> {
        self.write(DeleteAccessKey(id.clone())).await
    }
}

struct CreateAccessKey {
    key: AccessKeyRecord,
    keys_max: u64,
}

impl Write for CreateAccessKey {
    type Answer = bool;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<bool> {
        let AccessKeyRecord { id, account, sealed_secret, created_ms } = &self.key;
        link.execute(st::TURN_TAKE, values![*account]).await?;
        let count = SqlText::Fixed(st::ACCESS_KEYS_COUNT);
        if link.number(count, values![*account]).await? >= self.keys_max {
            return Ok(false);
        }
        let values = values![id.as_str(), *account, sealed_secret, *created_ms];
        link.execute(st::ACCESS_KEY_INSERT, values).await?;
        Ok(true)
    }

    fn keeps(answer: &bool) -> bool {
        *answer
    }
}

struct DeleteAccessKey(AccessKeyId);

impl Write for DeleteAccessKey {
    type Answer = bool;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<bool> {
        Ok(link.execute(st::ACCESS_KEY_DELETE, values![self.0.as_str()]).await? > 0)
    }
}
