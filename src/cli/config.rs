//! `longshore config`: what takes effect, and who said so.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;

use super::{Connection, exit, out, session};
use crate::{
    client::api::Api,
    config::{Config, Flags},
};

/// Settings: show those that take effect
#[derive(Debug, Args)]
pub struct ConfigCommand {
    #[command(subcommand)]
    command: Which,
}

#[derive(Debug, Subcommand)]
enum Which {
    /// Show the settings that take effect here; never the session or a password
    Show(ShowConfig),
}

#[derive(Debug, Args)]
struct ShowConfig {
    /// Say where each value comes from
    #[arg(long)]
    origin: bool,
    /// The settings of `longshore serve` as it would start here, instead of those of the client
    #[arg(long)]
    service: bool,
    /// The settings file of the service
    #[arg(long, requires = "service", value_name = "FILE")]
    file: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

struct Line {
    key: &'static str,
    value: String,
    origin: String,
}

impl ConfigCommand {
    /// Runs it.
    pub fn run(self, connection: &Connection) -> Result<u8> {
        let Which::Show(show) = self.command;
        let lines = if show.service { service(&show)? } else { client(connection)? };
        if show.json {
            let settings: Vec<_> = lines
                .iter()
                .map(|line| json!({"key": line.key, "value": line.value, "origin": line.origin}))
                .collect();
            out::say_json(&json!({ "settings": settings }));
            return Ok(exit::OK);
        }
        for Line { key, value, origin } in lines {
            let origin = if show.origin { format!("  # {origin}") } else { String::new() };
            out::say(&format!("{key} = {value}{origin}"));
        }
        Ok(exit::OK)
    }
}

fn service(show: &ShowConfig) -> Result<Vec<Line>> {
    let flags = Flags { config: show.file.clone(), ..Flags::default() };
    let config = Config::load(&flags, std::env::vars_os())?;
    let line = |one: &crate::config::Effective| Line {
        key: one.key,
        value: one.value.clone(),
        origin: one.origin.to_string(),
    };
    Ok(config.effective().iter().map(line).collect())
}

/// Whether a variable is set to something; set to nothing means not set.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn client(connection: &Connection) -> Result<Vec<Line>> {
    let folder = session::folder()?;
    let sessions = session::Sessions::load(&folder)?;
    let server = sessions.server(connection.server.as_deref());
    let api = Api::new(&server, None)?;
    let environment = |name: &str| format!("environment {name}");
    // The flag and the variable come in the same way; a flag that repeats the variable changes nothing.
    let server_origin = match (&connection.server, variable("LONGSHORE_SERVER")) {
        (Some(given), Some(set)) if *given == set => environment("LONGSHORE_SERVER"),
        (Some(_), _) => "flag --server".to_owned(),
        (None, _) if sessions.current.is_some() => "newest login".to_owned(),
        (None, _) => "default".to_owned(),
    };
    let kept = sessions.sessions.get(api.server());
    let file = format!("file {}", folder.join("session.json").display());
    let (session, session_origin) = if variable("LONGSHORE_SESSION").is_some() {
        ("given".to_owned(), environment("LONGSHORE_SESSION"))
    } else if let Some(kept) = kept {
        (format!("kept for the account {}", kept.account), file)
    } else {
        ("none; log in with `longshore login`".to_owned(), "default".to_owned())
    };
    let folder_origin = ["LONGSHORE_CONFIG_DIR", "XDG_CONFIG_HOME", "HOME"]
        .into_iter()
        .find(|name| variable(name).is_some());
    let no_color = std::env::var_os("NO_COLOR").is_some();
    let proxy =
        ["https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]
            .into_iter()
            .find(|name| variable(name).is_some());
    let proxied = proxy.filter(|_| !crate::client::is_loopback(api.address()));
    Ok(vec![
        Line { key: "server", value: api.server().to_owned(), origin: server_origin },
        Line { key: "session", value: session, origin: session_origin },
        Line {
            key: "config_dir",
            value: folder.display().to_string(),
            origin: folder_origin.map_or("default".to_owned(), environment),
        },
        Line {
            key: "colors",
            value: if no_color { "never" } else { "on a terminal" }.to_owned(),
            origin: if no_color { environment("NO_COLOR") } else { "default".to_owned() },
        },
        Line {
            key: "proxy",
            // Its address may hold a password.
            value: proxied.map_or("none", |_| "as the environment says").to_owned(),
            origin: proxied.map_or("default".to_owned(), environment),
        },
    ])
}
