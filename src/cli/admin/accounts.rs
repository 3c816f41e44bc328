//! `longshore admin account`.

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::shown_time;
use crate::{
    accounts::Accounts,
    cli::{exit, out, password},
    domain::account::Account,
};

#[derive(Debug, Subcommand)]
pub(super) enum AccountCommand {
    /// Make an account
    Create(Create),
    /// Show all accounts
    List(Shown),
    /// End the sessions of an account and refuse its logins and access keys; uploads that run go on
    Disable(Named),
    /// Let an account log in again, and its access keys work again
    Enable(Named),
    /// Set a password, and end the sessions of the account
    ResetPassword(Reset),
}

#[derive(Debug, Args)]
pub(super) struct Shown {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Named {
    /// Name of the account
    name: String,
    #[command(flatten)]
    shown: Shown,
}

#[derive(Debug, Args)]
pub(super) struct Create {
    #[command(flatten)]
    account: Named,
    /// It sees and changes the objects of all accounts
    #[arg(long)]
    admin: bool,
    #[command(flatten)]
    password: NewPassword,
}

#[derive(Debug, Args)]
pub(super) struct Reset {
    #[command(flatten)]
    account: Named,
    #[command(flatten)]
    password: NewPassword,
}

#[derive(Debug, Args)]
struct NewPassword {
    /// Make a password and print it, once
    #[arg(long)]
    generate_password: bool,
}

impl NewPassword {
    /// The password, and whether it is to be shown; `None` if Ctrl-C ended the question.
    async fn get(&self, name: &str) -> Result<Option<(String, bool)>> {
        if self.generate_password {
            return Ok(Some((Accounts::generate_password()?, true)));
        }
        let chosen = password::chosen(&format!("New password of {name}: ")).await?;
        Ok(chosen.map(|password| (password, false)))
    }
}

impl AccountCommand {
    pub(super) async fn run(self, accounts: &Accounts) -> Result<u8> {
        match self {
            Self::Create(create) => create.run(accounts).await,
            Self::List(shown) => list(accounts, &shown).await,
            Self::Disable(named) => enable(accounts, &named, false).await,
            Self::Enable(named) => enable(accounts, &named, true).await,
            Self::ResetPassword(reset) => reset.run(accounts).await,
        }
    }
}

impl Create {
    async fn run(self, accounts: &Accounts) -> Result<u8> {
        let Named { name, shown } = self.account;
        let Some((password, generated)) = self.password.get(&name).await? else {
            return Ok(exit::INTERRUPTED);
        };
        let account = accounts.create_account(&name, &password, self.admin).await?;
        if shown.json {
            let mut value = view(&account);
            if generated {
                value["password"] = password.into();
            }
            out::say_json(&value);
            return Ok(exit::OK);
        }
        let kind = if account.admin { "admin account" } else { "account" };
        out::say(&format!("{kind} {name} was created ({})", account.uuid));
        if generated {
            say_password(&password);
        }
        Ok(exit::OK)
    }
}

impl Reset {
    async fn run(self, accounts: &Accounts) -> Result<u8> {
        let Named { name, shown } = self.account;
        let Some((password, generated)) = self.password.get(&name).await? else {
            return Ok(exit::INTERRUPTED);
        };
        accounts.reset_password(&name, &password).await?;
        if shown.json {
            let mut value = json!({ "name": name });
            if generated {
                value["password"] = password.into();
            }
            out::say_json(&value);
            return Ok(exit::OK);
        }
        out::say(&format!("the password of {name} was set, and its sessions have ended"));
        if generated {
            say_password(&password);
        }
        Ok(exit::OK)
    }
}

fn say_password(password: &str) {
    out::say(&format!("password: {password}"));
    out::complain("It is shown only now.");
}

async fn enable(accounts: &Accounts, named: &Named, enabled: bool) -> Result<u8> {
    let name = &named.name;
    accounts.enable_account(name, enabled).await?;
    if named.shown.json {
        out::say_json(&json!({ "name": name, "enabled": enabled }));
    } else if enabled {
        out::say(&format!("{name} may log in again"));
    } else {
        out::say(&format!(
            "{name} may not log in any more: its sessions have ended, its access keys are refused; uploads that run go on"
        ));
    }
    Ok(exit::OK)
}

async fn list(accounts: &Accounts, shown: &Shown) -> Result<u8> {
    let mut all: Vec<Account> = Vec::new();
    loop {
        let page = accounts.accounts(all.last().map(|account| account.uuid)).await?;
        if page.is_empty() {
            break;
        }
        all.extend(page);
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    if shown.json {
        out::say_json(&json!({ "accounts": all.iter().map(view).collect::<Vec<_>>() }));
        return Ok(exit::OK);
    }
    let heading = ["NAME", "UUID", "ADMIN", "STATE", "CREATED"].map(str::to_owned).to_vec();
    let rows = all.iter().map(|account| {
        let admin = if account.admin { "yes" } else { "no" };
        let state = if account.enabled { "enabled" } else { "disabled" };
        vec![
            account.name.clone(),
            account.uuid.to_string(),
            admin.to_owned(),
            state.to_owned(),
            shown_time(account.created_ms),
        ]
    });
    out::table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>());
    Ok(exit::OK)
}

fn view(account: &Account) -> Value {
    json!({
        "uuid": account.uuid.to_string(),
        "name": account.name,
        "admin": account.admin,
        "enabled": account.enabled,
        "created": shown_time(account.created_ms),
    })
}
