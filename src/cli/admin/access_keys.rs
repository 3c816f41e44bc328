//! `longshore admin access-key`.

use std::collections::HashMap;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::json;

use super::shown_time;
use crate::{
    accounts::{AccountError, Accounts},
    cli::{exit, out},
    domain::{
        account::AccessKeyRecord,
        ids::{AccessKeyId, AccountUuid},
    },
};

#[derive(Debug, Subcommand)]
pub(super) enum AccessKeyCommand {
    /// Make an access key; its secret is shown once
    Create(Create),
    /// Show access keys, without their secrets
    List(List),
    /// Forget an access key: what is signed with it is refused from then on
    Delete(Delete),
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// Name of the account
    account: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only those of this account
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Delete {
    /// Its id
    id: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl AccessKeyCommand {
    pub(super) async fn run(self, accounts: &Accounts) -> Result<u8> {
        match self {
            Self::Create(command) => create(accounts, &command).await,
            Self::List(command) => list(accounts, &command).await,
            Self::Delete(command) => delete(accounts, &command).await,
        }
    }
}

async fn create(accounts: &Accounts, command: &Create) -> Result<u8> {
    let key = accounts.create_access_key(&command.account).await?;
    let id = key.id.as_str();
    if command.json {
        out::say_json(&json!({ "id": id, "secret": key.secret, "account": command.account }));
        return Ok(exit::OK);
    }
    out::say(&format!("id: {id}"));
    out::say(&format!("secret: {}", key.secret));
    out::complain("The secret is shown only now.");
    Ok(exit::OK)
}

async fn list(accounts: &Accounts, command: &List) -> Result<u8> {
    let mut all: Vec<AccessKeyRecord> = Vec::new();
    loop {
        let after = all.last().map(|key| &key.id);
        let page = accounts.access_keys(command.account.as_deref(), after).await?;
        if page.is_empty() {
            break;
        }
        all.extend(page);
    }
    let names = names(accounts).await?;
    let name = |key: &AccessKeyRecord| names.get(&key.account).cloned().unwrap_or_default();
    if command.json {
        let view = |key: &AccessKeyRecord| json!({ "id": key.id.as_str(), "account": name(key), "created": shown_time(key.created_ms) });
        out::say_json(&json!({ "accessKeys": all.iter().map(view).collect::<Vec<_>>() }));
        return Ok(exit::OK);
    }
    let heading = ["ID", "ACCOUNT", "CREATED"].map(str::to_owned).to_vec();
    let row =
        |key: &AccessKeyRecord| vec![key.id.to_string(), name(key), shown_time(key.created_ms)];
    out::table(&std::iter::once(heading).chain(all.iter().map(row)).collect::<Vec<_>>());
    Ok(exit::OK)
}

async fn names(accounts: &Accounts) -> Result<HashMap<AccountUuid, String>, AccountError> {
    let mut names = HashMap::new();
    let mut after = None;
    loop {
        let page = accounts.accounts(after).await?;
        let Some(last) = page.last() else { return Ok(names) };
        after = Some(last.uuid);
        names.extend(page.into_iter().map(|account| (account.uuid, account.name)));
    }
}

async fn delete(accounts: &Accounts, command: &Delete) -> Result<u8> {
    let id: AccessKeyId = command.id.parse()?;
    if !accounts.delete_access_key(&id).await? {
        bail!(AccountError::UnknownAccessKey { id });
    }
    if command.json {
        out::say_json(&json!({ "id": id.as_str(), "deleted": true }));
    } else {
        out::say(&format!("access key {id} is forgotten"));
    }
    Ok(exit::OK)
}
