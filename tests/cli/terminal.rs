//! What is different on a terminal: the bar, colours, the width of tables. `script` makes one.

use std::process::Command;

use crate::{MIB, run::Running, world::World};

/// Runs `longshore ARGS` on a terminal of so many columns and gives what it shows.
fn on_terminal(world: &World, columns: u32, args: &str, variables: &[(&str, &str)]) -> String {
    let line =
        format!("stty rows 24 cols {columns} && exec {} {args}", env!("CARGO_BIN_EXE_longshore"));
    let mut command = Command::new("script");
    command.args(["-q", "-e", "-c", &line, "/dev/null"]).env_clear();
    command.current_dir(world.folder.path()).env("LONGSHORE_CONFIG_DIR", world.path("config"));
    command.env("PATH", "/usr/bin:/bin").env("TERM", "xterm").env("SHELL", "/bin/sh");
    command.envs(variables.iter().copied());
    Running::start(command, "").end().ends(0).out
}

const BOLD: &str = "\u{1b}[1m";

#[test]
fn colours_are_shown_on_a_terminal_unless_nobody_wants_them() {
    let world = World::slow(4 * MIB);
    world.file("a.raw", 4 * MIB);
    world.file("b.raw", 4 * MIB + 1);
    let shown = on_terminal(&world, 100, "upload a.raw b.raw", &[]);
    assert!(shown.contains(BOLD), "a control: there are colours: {shown:?}");
    assert!(shown.contains("[1/2] a.raw") && shown.contains("[2/2] b.raw"), "{shown:?}");
    assert!(shown.contains("sending") && shown.contains('%'), "{shown:?}");
    // The second file begins where half of all is done.
    let (first, second) = shown.split_once("[2/2] b.raw").unwrap();
    assert!(first.contains(", all 0%"), "{shown:?}");
    assert!(second.contains(", all ") && !second.contains(", all 0%"), "{shown:?}");
    assert!(shown.contains("2 of 2 files are images (8.00 MiB)"), "{shown:?}");
    world.file("c.raw", 4 * MIB + 2);
    let plain = on_terminal(&world, 100, "upload c.raw", &[("NO_COLOR", "1")]);
    assert!(!plain.contains(BOLD) && plain.contains("sending"), "{plain:?}");
    assert!(!plain.contains(", all"), "one file is all: {plain:?}");
}

#[test]
fn in_a_pipe_there_are_plain_lines_with_percent_phases_and_the_total() {
    let world = World::slow(MIB);
    world.file("a.raw", 12 * MIB);
    world.file("b.raw", 4 * MIB);
    let ran = world.run(["upload", "--slice-size", "512k", "a.raw", "b.raw", "none.raw"]).ends(2);
    assert!(!ran.err.contains('\u{1b}') && !ran.err.contains('\r'), "{:?}", ran.err);
    for words in [
        "[1/3] a.raw: 12.00 MiB",
        "[2/3] b.raw: 4.00 MiB",
        "\nsending\n",
        "2 of 3 files are images",
    ] {
        assert!(ran.err.contains(words), "no [{words}] in\n{}", ran.err);
    }
    assert!(ran.err.contains("(16.00 MiB); 1 are not"), "{}", ran.err);
    let percents = |begin: &str, end: &str| -> Vec<u64> {
        let lines = ran.err.lines().filter(|line| line.contains(" % of all files"));
        lines
            .map(|line| {
                let (_, rest) = line.split_once(begin).unwrap();
                rest.split_once(end).unwrap().0.trim().parse().unwrap()
            })
            .collect()
    };
    let of_all = percents(";", "% of all");
    assert!(of_all.len() >= 2, "a line every five seconds: {}", ran.err);
    assert!(of_all.is_sorted() && of_all.iter().any(|&all| all > 0 && all < 100), "{of_all:?}");
    let quiet = world.run(["upload", "-q", "--name", "x", "a.raw"]).ends(0);
    assert_eq!((quiet.out.as_str(), quiet.err.as_str()), ("", ""));
}

#[test]
fn tables_fit_the_terminal() {
    let world = World::direct();
    let name = format!("{}.raw", "a-long-name-".repeat(10));
    world.file(&name, 100);
    world.run(["upload", &name]).ends(0);
    world.run(["schedule", "run", "reconcileStore"]).ends(0);
    for table in ["schedule list", "schedule history"] {
        let shown = on_terminal(&world, 80, table, &[]);
        assert!(shown.lines().count() > 1, "{shown}");
        for line in shown.lines().map(str::trim_end) {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
    for table in ["jobs list", "images list"] {
        let shown = on_terminal(&world, 80, table, &[]);
        assert!(shown.contains('…'), "{shown}");
        for line in shown.lines().map(str::trim_end) {
            assert!(line.chars().count() <= 80, "{line}");
        }
        let piped = world.run(table.split(' ')).ends(0).out;
        assert!(piped.contains(name.trim_end_matches(".raw")), "whole in a pipe: {piped}");
    }
}
