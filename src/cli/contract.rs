//! What scripts rely on: help texts, and the tables of docs/cli.md beside the code.

use std::collections::BTreeSet;

use clap::CommandFactory;
use serde::Serialize;
use serde_json::Value;

use super::{Cli, exit, said::Said};
use crate::{
    client::events::{Event, Phase},
    config::NOT_SETTINGS,
    wire::native::StateName,
};

const PAGE: &str = include_str!("../../docs/cli.md");

/// The cells of the rows of a table by its heading.
fn table(heading: &str) -> Vec<Vec<String>> {
    let (_, rest) = PAGE.split_once(heading).unwrap_or_else(|| panic!("no table {heading}"));
    let rows = rest.lines().skip(2).take_while(|line| line.starts_with('|'));
    let cells = |row: &str| {
        let cells = row.trim_matches('|').split(" | ");
        cells.map(|cell| cell.trim().replace('`', "")).collect::<Vec<_>>()
    };
    rows.map(cells).collect()
}

fn commands() -> clap::Command {
    let mut root = Cli::command();
    root.build();
    root
}

fn walk(command: &clap::Command, visit: &mut dyn FnMut(&clap::Command)) {
    visit(command);
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        walk(sub, visit);
    }
}

/// One snapshot for each command with those below it: a new command is a new file.
#[test]
fn help_texts_change_only_when_somebody_wants_them_to() {
    let root = commands();
    let mut count = 0;
    for command in root.get_subcommands().filter(|command| command.get_name() != "help") {
        let mut text = String::new();
        walk(command, &mut |one| {
            let help = one.clone().term_width(100).render_long_help().to_string();
            let name = one.get_bin_name().unwrap_or("?");
            text.extend(["$ ", name, " --help\n", &help, "\n"]);
        });
        insta::assert_snapshot!(format!("help_{}", command.get_name()), text);
        count += 1;
    }
    assert!(count >= 13, "{count} commands");
    insta::assert_snapshot!("help", root.clone().term_width(100).render_long_help().to_string());
}

#[test]
fn every_command_and_option_is_explained_and_none_takes_a_secret() {
    let mut options = 0;
    walk(&commands(), &mut |command| {
        let explained = command.get_about().is_some() || command.has_subcommands();
        assert!(explained, "{}", command.get_name());
        for arg in command.get_arguments() {
            let (place, id) = (command.get_name(), arg.get_id().as_str());
            options += 1;
            assert!(arg.get_help().is_some() || arg.is_hide_set(), "{place} {id}");
            let secret = ["password", "secret", "session", "token", "credential"]
                .iter()
                .any(|word| id.contains(word));
            assert!(!secret || !arg.get_action().takes_values(), "{place} takes {id} in argv");
        }
    });
    assert!(options > 100, "the walk found {options} options");
}

#[test]
fn every_command_is_on_the_page() {
    for command in commands().get_subcommands().filter(|command| command.get_name() != "help") {
        assert!(PAGE.contains(&format!("`{}", command.get_name())), "{}", command.get_name());
    }
}

#[test]
fn the_exit_codes_of_the_page_are_those_of_the_help() {
    let of_help: Vec<Vec<String>> = exit::EXIT_CODES
        .lines()
        .skip(1)
        .map(|line| line.trim().split_once("  ").expect("a code and its meaning"))
        .map(|(code, words)| vec![code.to_owned(), words.replace('`', "")])
        .collect();
    assert_eq!(table("| code | meaning |"), of_help);
}

#[test]
fn the_variables_of_the_client_are_on_the_page() {
    let named: BTreeSet<String> =
        table("| variable | meaning |").iter().map(|row| row[0].clone()).collect();
    for name in NOT_SETTINGS {
        // Of the service.
        if !["LONGSHORE_CONFIG", "LONGSHORE_ACCOUNT"].contains(&name) {
            assert!(named.contains(name), "{name} is not in {named:?}");
        }
    }
    for name in named.iter().filter(|name| name.starts_with("LONGSHORE_")) {
        assert!(NOT_SETTINGS.contains(&name.as_str()), "{name} would be taken for a setting");
    }
}

fn text() -> String {
    "x".to_owned()
}

/// Every event with everything that it can have, and with the least.
fn events() -> [Vec<Event>; 2] {
    let both = |some: bool| {
        let maybe = some.then(text);
        vec![
            Event::Opened { file: text(), length: 1 },
            Event::Phase { phase: Phase::Sending, percent: some.then_some(1) },
            Event::Located {
                job_uuid: text(),
                image_uuid: text(),
                image_id: text(),
                resumed: true,
                stored_bytes: 1,
            },
            Event::Progress { stored_bytes: 1, moved_bytes: 1, length: 1 },
            Event::Waiting { why: text(), wait_ms: 1 },
            Event::Note { words: text() },
            Event::Ready {
                job_uuid: maybe.clone(),
                image_uuid: text(),
                md5: maybe.clone(),
                sha256: maybe,
                verified: true,
                sent_bytes: 1,
            },
        ]
    };
    [both(true), both(false)]
}

fn said() -> [Vec<Said>; 2] {
    let both = |some: bool| {
        let maybe = some.then(text);
        vec![
            Said::Error { exit_code: 2, words: text() },
            Said::Total { files: 2, ready: 1, failed: 1, bytes: 2, ready_bytes: 1 },
            Said::Interrupted {
                job_uuid: maybe.clone(),
                suspended: true,
                all_sent: true,
                resume: text(),
            },
            Said::Downloaded { file: text(), bytes: 1, verified: true },
            Said::Job {
                uuid: text(),
                state: StateName::Running,
                progress: maybe.clone(),
                detail: maybe,
            },
        ]
    };
    [both(true), both(false)]
}

/// A new variant does not compile until it has a sample above, and the number here is the number of samples.
const fn samples(event: &Event, said: &Said) -> (usize, usize) {
    let events = match event {
        Event::Opened { .. }
        | Event::Phase { .. }
        | Event::Located { .. }
        | Event::Progress { .. }
        | Event::Waiting { .. }
        | Event::Note { .. }
        | Event::Ready { .. } => 7,
    };
    let saids = match said {
        Said::Error { .. }
        | Said::Total { .. }
        | Said::Interrupted { .. }
        | Said::Downloaded { .. }
        | Said::Job { .. } => 5,
    };
    (events, saids)
}

/// Event and field, and whether the value can be null.
fn fields<T: Serialize>(samples: &[T]) -> BTreeSet<(String, String, bool)> {
    let mut found = BTreeSet::new();
    for sample in samples {
        let Value::Object(object) = serde_json::to_value(sample).unwrap() else { panic!("object") };
        let name = object["event"].as_str().unwrap().to_owned();
        for (field, value) in object.into_iter().filter(|(field, _)| field != "event") {
            found.insert((name.clone(), field, value.is_null()));
        }
    }
    found
}

#[test]
fn the_events_of_the_page_are_those_of_the_code() {
    let ([full, least], [full_said, least_said]) = (events(), said());
    assert_eq!(samples(&full[0], &full_said[0]), (full.len(), full_said.len()));
    let full: BTreeSet<_> = fields(&full).into_iter().chain(fields(&full_said)).collect();
    let least: BTreeSet<_> = fields(&least).into_iter().chain(fields(&least_said)).collect();
    let of_code: BTreeSet<Vec<String>> = full
        .into_iter()
        .map(|(event, field, _)| {
            let has = |null| least.contains(&(event.clone(), field.clone(), null));
            let always = if has(true) || has(false) { "yes" } else { "no" };
            let null = if has(true) { "or null" } else { "" };
            vec![event.clone(), field.clone(), null.to_owned(), always.to_owned()]
        })
        .collect();
    let of_page: BTreeSet<Vec<String>> = table("| event | field | type | always | meaning |")
        .into_iter()
        .map(|row| {
            let null = if row[2].contains("or null") { "or null" } else { "" };
            vec![row[0].clone(), row[1].clone(), null.to_owned(), row[3].clone()]
        })
        .collect();
    assert_eq!(of_page, of_code);
}

#[test]
fn the_phases_of_the_page_are_those_of_the_code() {
    let rows = table("| event | field | type | always | meaning |");
    let row = rows.iter().find(|row| row[0] == "phase" && row[1] == "phase").unwrap();
    for phase in [
        Phase::Fingerprint,
        Phase::Comparing,
        Phase::Sending,
        Phase::Verifying,
        Phase::Inspecting,
        Phase::Publishing,
        Phase::Receiving,
        Phase::Ready,
    ] {
        assert!(row[4].contains(phase.name()), "{}", phase.name());
        assert_eq!(serde_json::to_value(phase).unwrap(), phase.name());
    }
}
