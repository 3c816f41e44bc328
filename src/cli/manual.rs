//! `longshore completions` and `longshore man`: what a shell and `man` want to know, from the same definitions as the help.

use std::{io::Write, path::PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use clap_complete::Shell;

use super::{exit, out};

/// Where the output goes.
pub const COMPLETIONS_HELP: &str = "Examples:
  longshore completions bash > ~/.local/share/bash-completion/completions/longshore
  longshore completions zsh > ~/.zfunc/_longshore           # a folder in $fpath
  longshore completions fish > ~/.config/fish/completions/longshore.fish";

/// Print what a shell needs to complete commands and options
#[derive(Debug, Args)]
pub struct Completions {
    /// Which shell
    shell: Shell,
}

impl Completions {
    /// Runs it.
    pub fn run(&self, command: &mut clap::Command) -> Result<u8> {
        // In memory first: a reader that leaves early must not end in a panic.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, command, "longshore", &mut script);
        let _ = std::io::stdout().lock().write_all(&script);
        Ok(exit::OK)
    }
}

/// Write the manual pages, one for each command
#[derive(Debug, Args)]
pub struct Man {
    /// Folder for the pages, made if it is not there; `man -M` wants them in one called man1
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl Man {
    /// Runs it.
    pub fn run(&self, command: &clap::Command) -> Result<u8> {
        let folder = self.folder.display();
        std::fs::create_dir_all(&self.folder).with_context(|| format!("cannot make {folder}"))?;
        let mut command = command.clone();
        command.build();
        clap_mangen::generate_to(command, &self.folder)
            .with_context(|| format!("cannot write the pages to {folder}"))?;
        out::say(&format!("the pages are in {folder}; read one with: man -l {folder}/longshore.1"));
        Ok(exit::OK)
    }
}
