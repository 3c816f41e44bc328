//! Passwords of people. Never an argument: other users of the machine see those.

use std::io::{BufRead, IsTerminal};

use anyhow::{Context, Result, bail};

use super::out;

/// A password from LONGSHORE_PASSWORD, else from the prompt, else (standard input is no terminal) from its first line; `None` if
/// Ctrl-C ended the question.
pub async fn given(question: &str) -> Result<Option<String>> {
    if let Some(password) = from_environment() {
        return Ok(Some(password));
    }
    if !std::io::stdin().is_terminal() {
        return line().await.map(Some);
    }
    typed(question).await
}

/// A new password, from the same places. Typed twice at a prompt: nobody sees what they type.
pub async fn chosen(question: &str) -> Result<Option<String>> {
    let is_typed = from_environment().is_none() && std::io::stdin().is_terminal();
    let first = given(question).await?;
    if !is_typed || first.is_none() {
        return Ok(first);
    }
    let again = typed("The same again: ").await?;
    if again.is_some() && again != first {
        bail!("the two passwords differ; nothing was changed");
    }
    Ok(again)
}

fn from_environment() -> Option<String> {
    std::env::var("LONGSHORE_PASSWORD").ok().filter(|password| !password.is_empty())
}

async fn typed(question: &str) -> Result<Option<String>> {
    out::ask(question);
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
