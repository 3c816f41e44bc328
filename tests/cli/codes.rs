//! Exit codes: each one of docs/cli.md is what a real run ends with. And every command: its help, and what it says to nonsense.

use std::{
    collections::BTreeSet,
    fs,
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    MIB,
    run::{Ran, Running},
    server::free_port,
    world::World,
};

const PAGE: &str = include_str!("../../docs/cli.md");

fn of_page() -> BTreeSet<i32> {
    let (_, rest) = PAGE.split_once("| code | meaning |").unwrap();
    let rows = rest.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').next().unwrap().trim().parse().unwrap())
        .collect()
}

fn interrupted(world: &World) -> Ran {
    world.relay.up.limit(4 * MIB);
    world.log_in(world.relay.port, "far");
    world.file("far.raw", 8 * MIB);
    let command = world.command("far", ["upload", "--json", "--slice-size", "1m", "far.raw"]);
    let mut running = Running::start(command, "");
    running.wait_stored(MIB);
    running.interrupt();
    running.end()
}

#[test]
fn every_exit_code_of_the_page_is_met() {
    let mut world = World::direct();
    world.file("disk.raw", 100_000);
    let zeros = "0".repeat(64);
    let nobody = World::address(free_port());
    let mut met = BTreeSet::new();
    let mut ends = |ran: Ran, code: i32, words: &str| {
        let ran = ran.ends(code);
        assert!(ran.out.contains(words) || ran.err.contains(words), "{}\n{}", ran.out, ran.err);
        met.insert(code);
    };
    ends(world.run(["upload", "disk.raw"]), 0, "is ready");
    ends(world.run(["upload", "--parallel", "9", "disk.raw"]), 2, "--parallel");
    ends(world.run(["upload", "none.raw"]), 2, "No such file");
    let mut stranger = world.command("stranger", ["jobs", "list"]);
    stranger.env("LONGSHORE_SERVER", World::address(world.server.port));
    ends(Running::start(stranger, "").end(), 3, "longshore login");
    let full = World::with_settings(&[("LONGSHORE_UPLOADS__OPEN_UPLOADS_MAX", "1")]);
    full.file("first.raw", 100);
    ends(no_quota(&full), 4, "unfinished");
    let away = ["--server", &nobody, "upload", "--give-up-after", "1s", "disk.raw"];
    ends(world.run(away), 5, "run the same command again");
    let other = ["upload", "--name", "other", "--image-id", "x", "--sha256", &zeros, "disk.raw"];
    ends(world.run(other), 6, "declared");
    ends(world.run(["jobs", "show", &"0".repeat(32)]), 7, "there is no job");
    ends(world.run(["inspect", "--format", "qcow2", "disk.raw"]), 8, "format_differs");
    ends(interrupted(&world), 130, "interrupted");
    world.server.kill();
    let mut check = world.command("config", ["store", "check", "--data-dir"]);
    check.arg(world.data());
    stray(&world);
    ends(Running::start(check, "").end(), 9, "without a record");
    assert_eq!(met, of_page());
}

/// A staging entry of nobody.
fn stray(world: &World) {
    let folder = world.data().join("uploads/ab");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("ab0123456789400080000123456789ab.data"), "x").unwrap();
}

/// A second upload where one is allowed.
fn no_quota(world: &World) -> Ran {
    world.log_in(world.relay.port, "far");
    world.relay.up.limit(MIB);
    world.file("far.raw", 8 * MIB);
    let command = world.command("far", ["upload", "--json", "--slice-size", "1m", "far.raw"]);
    let mut running = Running::start(command, "");
    running.wait_stored(MIB);
    let ran = world.run(["upload", "first.raw"]);
    running.kill();
    ran
}

/// The commands as `--help` lists them, those below them too.
fn commands(world: &World, above: &[String]) -> Vec<Vec<String>> {
    let line: Vec<String> = above.iter().cloned().chain(["--help".to_owned()]).collect();
    let help = world.run(&line).ends(0);
    assert!(help.out.contains("Usage: longshore") && help.err.is_empty(), "{line:?}");
    assert!(!help.out.contains('\u{1b}'), "no colours in a pipe: {line:?}");
    let Some((_, rest)) = help.out.split_once("Commands:\n") else { return vec![above.to_vec()] };
    let listed = rest.lines().take_while(|line| !line.is_empty());
    let names = listed.filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    let mut found = vec![above.to_vec()];
    for name in names.filter(|name| *name != "help") {
        let below: Vec<String> = above.iter().cloned().chain([name.to_owned()]).collect();
        found.extend(commands(world, &below));
    }
    found
}

#[test]
fn every_command_has_help_refuses_nonsense_is_completed_and_has_a_manual_page() {
    let world = World::new();
    let commands = commands(&world, &[]);
    assert!(commands.len() > 35, "{} commands were found", commands.len());
    world.run(["man", "man1"]).ends(0);
    let scripts =
        ["bash", "zsh", "fish"].map(|shell| world.run(["completions", shell]).ends(0).out);
    for command in &commands {
        let wrong: Vec<&str> =
            command.iter().map(String::as_str).chain(["--no-such-option"]).collect();
        world.run(&wrong).ends(2).complains("--no-such-option");
        let page = [&["longshore".to_owned()], &command[..]].concat().join("-") + ".1";
        let text = fs::read_to_string(world.path("man1").join(&page)).expect(&page);
        assert!(text.contains(".SH SYNOPSIS"), "{page}");
        for (script, name) in
            scripts.iter().flat_map(|script| command.iter().map(move |name| (script, name)))
        {
            assert!(script.contains(name.as_str()), "{name} is not completed");
        }
    }
}

#[test]
#[ignore = "needs groff"]
fn manual_pages_are_shown_without_a_warning() {
    let world = World::new();
    world.run(["man", "man1"]).ends(0);
    for page in ["longshore.1", "longshore-upload.1", "longshore-doctor.1"] {
        let output = Command::new("groff")
            .args(["-man", "-ww", "-Tutf8", "-P-cbou"])
            .arg(world.path("man1").join(page))
            .output()
            .expect("groff is installed");
        let (shown, warned) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(shown.contains("SYNOPSIS") && warned.is_empty(), "{page}: {warned}");
    }
}

/// The server tells busy clients when to come again; a client that came earlier would be told the same again and again.
#[test]
fn a_busy_server_is_asked_again_when_it_said_and_not_by_all_at_once() {
    let world = World::with_settings(&[("LONGSHORE_UPLOADS__REQUESTS_PER_ACCOUNT_MAX", "1")]);
    world.log_in(world.relay.port, "far");
    world.file("disk.raw", 12 * MIB);
    world.relay.up.limit(4 * MIB);
    let upload = ["upload", "--json", "--slice-size", "1m", "--parallel", "4", "disk.raw"];
    let begun = Instant::now();
    let ran = Running::start(world.command("far", upload), "").end().ends(0);
    let waits: Vec<u64> = ran
        .events()
        .iter()
        .filter(|event| event["event"] == "waiting")
        .map(|event| event["waitMs"].as_u64().unwrap())
        .collect();
    assert!(!waits.is_empty(), "a control: the server was busy:\n{}", ran.out);
    assert!(waits.iter().all(|&wait| wait >= 1000), "earlier than it said: {waits:?}");
    let different: BTreeSet<_> = waits.iter().collect();
    assert!(different.len() > 1 || waits.len() == 1, "no jitter: {waits:?}");
    assert!(begun.elapsed() < Duration::from_mins(1));
    assert_eq!(ran.event("ready")["verified"], true);
}
