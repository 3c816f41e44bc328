//! The command line.

pub mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Resumable uploads of virtual-machine images.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service.
    Serve(serve::ServeArgs),
}

/// Reads the command line and does what it says.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Command::Serve(args) => serve::run(&args, std::env::vars_os().collect()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "the last words of a command")]
fn complain(error: &anyhow::Error) {
    eprintln!("longshore: {error:#}");
}
