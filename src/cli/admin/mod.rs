//! `longshore admin`: accounts and access keys, straight in the records of the service, which may run meanwhile.

mod access_keys;
mod accounts;

use std::{ffi::OsString, path::PathBuf, sync::Arc};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;

use crate::{
    accounts::{Accounts, ServerKey},
    cli::serve,
    config::{Config, Flags},
    db::{self, DbOptions},
    domain::clock::{EpochMs, SystemClock},
};

/// Manage accounts and access keys in the records of the service
///
/// Works on the database and the data directory of the service directly, also while it runs; run it as the same user, with the
/// same settings and the same version. What it does counts from the next request on.
#[derive(Debug, Args)]
pub struct Admin {
    #[command(flatten)]
    records: Records,
    #[command(subcommand)]
    command: AdminCommand,
}

#[derive(Debug, Subcommand)]
enum AdminCommand {
    #[command(
        subcommand,
        after_help = "Examples:
  longshore admin account create ann --generate-password
  pass show longshore/ann | longshore admin account reset-password ann
  longshore admin account disable ann

The password comes from LONGSHORE_PASSWORD, else from the prompt, else (standard input is no terminal) from its first line."
    )]
    Account(accounts::AccountCommand),
    #[command(
        subcommand,
        after_help = "Examples:
  longshore admin access-key create ann --json > key.json
  longshore admin access-key delete 7N0LJPV1X2C0QGWQ8T4K

Requests that are signed with an access key can be repeated for 15 minutes by whoever reads them: use TLS."
    )]
    AccessKey(access_keys::AccessKeyCommand),
}

/// Which records.
#[derive(Debug, Args)]
struct Records {
    /// Where the service keeps its data [default: ./longshore-data]
    #[arg(long, global = true, value_name = "PATH")]
    data_dir: Option<PathBuf>,
    /// The TOML file with the settings of the service
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// `sqlite:<path>` or `postgres://...` [default: SQLite in the data directory]
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,
}

impl Admin {
    /// Runs it.
    pub async fn run(self, environment: Vec<(OsString, OsString)>) -> Result<u8> {
        let accounts = self.records.open(environment).await?;
        match self.command {
            AdminCommand::Account(command) => command.run(&accounts).await,
            AdminCommand::AccessKey(command) => command.run(&accounts).await,
        }
    }
}

impl Records {
    async fn open(self, environment: Vec<(OsString, OsString)>) -> Result<Accounts> {
        let flags = Flags {
            config: self.config,
            data_dir: self.data_dir,
            database_url: self.database_url,
            ..Flags::default()
        };
        let config = Config::load(&flags, environment)?;
        let shown = config.data_dir.display();
        // Made here, a mistyped path would become a service of its own, with accounts that nobody uses.
        if !config.data_dir.is_dir() {
            bail!(
                "there is no data directory {shown}; name that of the service with --data-dir, or make it first"
            );
        }
        let key = ServerKey::load_or_create(&config.data_dir.join("server.key"))?;
        let options = DbOptions::default();
        let db = db::open(config.database_url.expose(), &options).await;
        let db = db.with_context(|| format!("the records of {shown} cannot be opened"))?;
        Ok(serve::accounts(&config, db, Arc::new(SystemClock), &key))
    }
}

/// A time for people and scripts.
fn shown_time(time_ms: EpochMs) -> String {
    Timestamp::from_millisecond(time_ms).map_or_else(|_| "?".to_owned(), |time| time.to_string())
}
