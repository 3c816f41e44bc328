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
    world.file("c.raw", 4 * MIB + 2);
    let plain = on_terminal(&world, 100, "upload c.raw", &[("NO_COLOR", "1")]);
    assert!(!plain.contains(BOLD) && plain.contains("sending"), "{plain:?}");
}

#[test]
fn tables_fit_the_terminal() {
    let world = World::direct();
    let name = format!("{}.raw", "a-long-name-".repeat(10));
    world.file(&name, 100);
    world.run(["upload", &name]).ends(0);
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
