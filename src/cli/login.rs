//! `longshore login` and `logout`. A password is never an argument: other users of the machine see those.

use anyhow::Result;
use clap::Args;

use super::{
    Connection, exit, out, password,
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
        let question = format!("Password of {} at {}: ", self.account, api.server());
        let Some(password) = password::given(&question).await? else {
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
