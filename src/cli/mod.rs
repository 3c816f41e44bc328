//! The command line: a thin face on the client library and the server.

pub mod admin;
pub mod bench;
pub mod config;
#[cfg(test)]
mod contract;
pub mod doctor;
pub mod exit;
pub mod images;
pub mod inspect;
pub mod jobs;
pub mod login;
pub mod manual;
pub mod out;
pub mod password;
pub mod progress;
pub mod said;
pub mod schedule;
pub mod serve;
pub mod session;
pub mod store;
mod tls;
pub mod upload;
pub mod verify;

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser, Subcommand};
use said::Said;

use crate::client::{api::Api, retry::Policy};

/// How long a command that moves no bytes keeps trying.
const SHORT_PATIENCE: Duration = Duration::from_secs(10);

/// Resumable uploads of virtual-machine images
#[derive(Debug, Parser)]
#[command(name = "longshore", version, after_help = exit::EXIT_CODES, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::ServeArgs),
    #[command(after_help = "Examples:
  longshore login https://images.example.org --account alice
  LONGSHORE_PASSWORD=... longshore login")]
    Login(login::Login),
    /// End the session and forget it
    Logout,
    #[command(after_help = UPLOAD_HELP)]
    Upload(upload::Upload),
    Jobs(jobs::Jobs),
    Images(images::Images),
    #[command(after_help = bench::HELP)]
    Bench(Box<bench::Bench>),
    #[command(after_help = schedule::HELP)]
    Schedule(schedule::Schedule),
    Admin(admin::Admin),
    #[command(after_help = store::HELP)]
    Store(store::Store),
    #[command(after_help = inspect::HELP)]
    Inspect(inspect::Inspect),
    #[command(after_help = doctor::HELP)]
    Doctor(doctor::Doctor),
    Config(config::ConfigCommand),
    #[command(after_help = manual::COMPLETIONS_HELP)]
    Completions(manual::Completions),
    Man(manual::Man),
}

const UPLOAD_HELP: &str = "Examples:
  longshore upload debian-12.qcow2
  longshore upload --name golden --platform Windows golden.vhdx
  longshore upload --json *.raw > events.jsonl
  longshore upload --limit-rate 10m --sha256 HEX debian-12.qcow2
  zstdcat golden.raw.zst | longshore upload --name golden --size 40g --image-id golden-7 -

Environment: LONGSHORE_SERVER, LONGSHORE_SESSION (a session instead of `longshore login`), LONGSHORE_CONFIG_DIR, NO_COLOR.

Exit codes: 0 done, 2 usage or local file, 3 not logged in, 4 no space or quota, 5 network gave up (resumable),
6 digests differ, 7 server, 130 interrupted (resumable).";

/// Which server, and who asks.
#[derive(Debug, Clone, clap::Args)]
pub struct Connection {
    /// Address of the server [default: that of the newest login, else http://127.0.0.1:8080]
    #[arg(long, global = true, env = "LONGSHORE_SERVER", value_name = "URL")]
    pub server: Option<String>,
}

impl Connection {
    /// The server with the session of the environment or of the login.
    pub fn api(&self) -> Result<Api> {
        let sessions = session::Sessions::load(&session::folder()?)?;
        // The environment names a session for whatever server is asked, as a script wants it.
        let given = std::env::var("LONGSHORE_SESSION").ok().filter(|session| !session.is_empty());
        let api = Api::new(&sessions.server(self.server.as_deref()), None)?;
        let kept = sessions.sessions.get(api.server()).map(|kept| kept.session.clone());
        Ok(api.with_session(given.or(kept)))
    }

    /// For calls that a person waits for.
    pub fn short_policy(&self) -> Policy {
        Policy::giving_up_after(SHORT_PATIENCE)
    }
}

/// Runs the command that the arguments name; the exit code is that of [`exit::EXIT_CODES`].
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let json = std::env::args().any(|arg| arg == "--json");
    let code = match started(cli) {
        Ok(code) => code,
        Err(error) => {
            let code = exit::of(&error);
            say_error(&error, code, json);
            code
        }
    };
    exit::code(code)
}

fn started(cli: Cli) -> Result<u8> {
    let connection = cli.connection;
    let variables = || std::env::vars_os().collect();
    match cli.command {
        // Has a runtime of the size that its settings say.
        Command::Serve(command) => serve::run(&command, variables()).map(|()| exit::OK),
        Command::Inspect(command) => command.run(),
        Command::Completions(command) => command.run(&mut Cli::command()),
        Command::Man(command) => command.run(&Cli::command()),
        Command::Config(command) => command.run(&connection),
        Command::Login(command) => on_runtime(command.run(&connection)),
        Command::Logout => on_runtime(login::logout(&connection)),
        Command::Upload(command) => on_runtime(command.run(&connection)),
        Command::Jobs(command) => on_runtime(command.run(&connection)),
        Command::Images(command) => on_runtime(command.run(&connection)),
        Command::Bench(command) => on_runtime(command.run(&connection)),
        Command::Schedule(command) => on_runtime(command.run(&connection)),
        Command::Store(command) => on_runtime(command.run(variables())),
        Command::Admin(command) => on_runtime(command.run(variables())),
        Command::Doctor(command) => on_runtime(command.run(&connection)),
    }
}

/// Runs a command that talks to somebody.
fn on_runtime(command: impl Future<Output = Result<u8>>) -> Result<u8> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start")?;
    let code = runtime.block_on(command);
    // A hash that still reads a terabyte must not hold up the end.
    runtime.shutdown_background();
    code
}

/// Tells an error: as words on standard error, or as an event where events were asked for.
fn say_error(error: &anyhow::Error, code: u8, json: bool) {
    if json {
        out::say_json(&Said::Error { exit_code: code, words: format!("{error:#}") });
    } else {
        out::complain(&format!("longshore: {error:#}"));
    }
}

/// Calls `first` at the first Ctrl-C (or SIGTERM); the second one ends the process at once.
fn on_interrupt(first: impl FnOnce() + Send + 'static) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        interrupted().await;
        first();
        interrupted().await;
        std::process::exit(i32::from(exit::INTERRUPTED));
    })
}

async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound_and_takes_no_password() {
        Cli::command().debug_assert();
        let refused = Cli::try_parse_from(["longshore", "login", "--password", "x"]);
        assert_eq!(refused.unwrap_err().exit_code(), 2);
    }

    #[test]
    fn login_takes_the_server_as_its_argument() {
        let cli = Cli::try_parse_from(["longshore", "login", "http://h", "--account", "alice"]);
        assert!(matches!(cli.unwrap().command, Command::Login(_)));
    }

    #[test]
    fn the_server_may_stand_before_or_after_the_command() {
        for args in [["--server", "http://h", "logout"], ["logout", "--server", "http://h"]] {
            let cli = Cli::try_parse_from(["longshore"].iter().chain(&args)).unwrap();
            assert_eq!(cli.connection.server.as_deref(), Some("http://h"));
        }
    }
}
