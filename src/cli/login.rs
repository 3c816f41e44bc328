//! `longshore login` and `logout`. A password is never an argument: other users of the machine see those.

use std::io::{BufRead, IsTerminal};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::{
    Connection, exit, out,
    session::{self, Session, Sessions},
};
use crate::client::{api::Api, events::silent, retry::patiently};

/// Log in and keep the session for later commands
///
/// The password comes from LONGSHORE_PASSWORD, else from the prompt, else (standard input is no terminal) from its
/// first line.
#[derive(Debug, Args)]
pub struct Login {
    /// Address of the server, as --server
    #[arg(value_name = "URL")]
    address: Option<String>,
    /// Name of the account
    #[arg(long, default_value = "admin", value_name = "NAME")]
    account: String,
}

impl Login {
    /// Runs it.
    pub async fn run(self, connection: &Connection) -> Result<u8> {
        let folder = session::folder()?;
        let mut sessions = Sessions::load(&folder)?;
        let named = self.address.as_deref().or(connection.server.as_deref());
        let api = Api::new(&sessions.server(named), None)?;
        let Some(password) = password(&self.account, api.server()).await? else {
            return Ok(exit::INTERRUPTED);
        };
        let policy = connection.short_policy();
        let login = || api.login(&self.account, &password);
        let view = patiently(&policy, &silent(), login).await?;
        let kept = Session { account: self.account.clone(), session: view.uuid };
        let server = api.server().to_owned();
        sessions.sessions.insert(server.clone(), kept);
        sessions.current = Some(server.clone());
        sessions.save(&folder)?;
        let until = if view.expired_date.is_empty() {
            String::new()
        } else {
            format!(" until {} (server time)", view.expired_date)
        };
        out::say(&format!("logged in to {server} as {}{until}", self.account));
        Ok(exit::OK)
    }
}

/// Ends the session of the server and forgets it.
pub async fn logout(connection: &Connection) -> Result<u8> {
    let folder = session::folder()?;
    let mut sessions = Sessions::load(&folder)?;
    let api = Api::new(&sessions.server(connection.server.as_deref()), None)?;
    let server = api.server().to_owned();
    let Some(session) = sessions.sessions.remove(&server) else {
        out::say(&format!("no session for {server} is kept"));
        return Ok(exit::OK);
    };
    if sessions.current.as_ref() == Some(&server) {
        sessions.current = None;
    }
    sessions.save(&folder)?;
    api.logout(&session.session).await?;
    out::say(&format!("logged out of {server}"));
    Ok(exit::OK)
}

/// The password; `None` if Ctrl-C ended the question.
async fn password(account: &str, server: &str) -> Result<Option<String>> {
    if let Some(password) = std::env::var("LONGSHORE_PASSWORD").ok().filter(|p| !p.is_empty()) {
        return Ok(Some(password));
    }
    if !std::io::stdin().is_terminal() {
        return line().await.map(Some);
    }
    out::ask(&format!("Password of {account} at {server}: "));
    if !echo(false).await {
        bail!("cannot hide the password on this terminal; set LONGSHORE_PASSWORD instead");
    }
    let typed = tokio::select! {
        typed = line() => Some(typed),
        _ = tokio::signal::ctrl_c() => None,
    };
    echo(true).await;
    out::complain("");
    typed.transpose()
}

async fn line() -> Result<String> {
    // A thread of its own: at Ctrl-C the read never returns, and the runtime must not wait for it.
    let (tell, told) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        let _ = tell.send(read.map(|_| line));
    });
    let line =
        told.await.context("reading the password ended")?.context("cannot read the password")?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        bail!("no password was given; set LONGSHORE_PASSWORD, or type or pipe one line");
    }
    Ok(password.to_owned())
}

/// Whether the terminal shows what is typed, by POSIX `stty`.
async fn echo(on: bool) -> bool {
    let mut stty = tokio::process::Command::new("stty");
    stty.arg(if on { "echo" } else { "-echo" }).stdin(std::process::Stdio::inherit());
    stty.status().await.is_ok_and(|status| status.success())
}
